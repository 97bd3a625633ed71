//! Reports to an API server that lives in memory, takes writes without answering, and loses what it has. Time is tokio's and stands still
//! while anything can go on.

use std::sync::{Arc, Mutex};

use hotbay_api::EntryKey;
use kube::core::Status;

use super::*;
use crate::fill::KnownEntry;

/// Well beyond a lost answer and the next try, and well before anything is written again unasked.
const SOON: Duration = Duration::from_secs(60);
const TEN_MINUTES: Duration = Duration::from_secs(600);

/// The API server, with one pod's report.
#[derive(Clone)]
struct Server(Arc<State>);

struct State {
    stored: watch::Sender<Option<RuntimeReport>>,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    version: u64,
    /// Requests to write, also those that it refused.
    asked: usize,
    /// Writes to come that it takes without an answer.
    answers_to_lose: usize,
}

impl Server {
    fn new() -> Self {
        Self(Arc::new(State { stored: watch::Sender::new(None), counts: Mutex::default() }))
    }

    fn lose_next_answer(&self) {
        self.0.counts.lock().unwrap().answers_to_lose += 1;
    }

    fn asked(&self) -> usize {
        self.0.counts.lock().unwrap().asked
    }

    fn stored(&self) -> Option<RuntimeReport> {
        self.0.stored.borrow().clone()
    }

    /// Stores what anybody writes, under a new resourceVersion if that changes anything.
    fn store(&self, report: &RuntimeReport) -> RuntimeReport {
        let mut counts = self.0.counts.lock().unwrap();
        let mut report = report.clone();
        report.metadata.resource_version = Some(counts.version.to_string());
        if self.stored().as_ref() != Some(&report) {
            counts.version += 1;
            report.metadata.resource_version = Some(counts.version.to_string());
            self.0.stored.send_replace(Some(report.clone()));
        }
        report
    }

    fn delete(&self) {
        self.0.stored.send_replace(None);
    }

    async fn write(&self, report: &RuntimeReport) -> Result<RuntimeReport, kube::Error> {
        self.0.counts.lock().unwrap().asked += 1;
        let version = |report: &RuntimeReport| report.metadata.resource_version.clone();
        match (self.stored().as_ref().map(version), version(report)) {
            (None, Some(_)) => return Err(refusal(404)),
            (Some(there), seen) if there != seen => return Err(refusal(409)),
            _ => {}
        }
        let report = self.store(report);
        let loses = {
            let mut counts = self.0.counts.lock().unwrap();
            let loses = counts.answers_to_lose > 0;
            counts.answers_to_lose -= usize::from(loses);
            loses
        };
        if loses { std::future::pending().await } else { Ok(report) }
    }
}

impl Reports for Server {
    async fn look(&self, _: &str) -> Result<Option<RuntimeReport>, kube::Error> {
        Ok(self.stored())
    }

    async fn post(&self, report: &RuntimeReport) -> Result<RuntimeReport, kube::Error> {
        self.write(report).await
    }

    async fn put(&self, _: &str, report: &RuntimeReport) -> Result<RuntimeReport, kube::Error> {
        self.write(report).await
    }
}

fn refusal(code: u16) -> kube::Error {
    kube::Error::Api(Status::failure("", "").with_code(code).boxed())
}

/// An agent that reports to a [`Server`].
struct Case {
    server: Server,
    known: watch::Sender<Known>,
    /// Of the runtime, which says nothing.
    _local: watch::Sender<Local>,
}

impl Case {
    /// One that knows of an entry with this sequence, and has said so.
    async fn new(sequence: i64) -> Self {
        let (known, known_rx) = watch::channel(Known::default());
        let (local, local_rx) = watch::channel(Local::default());
        let server = Server::new();
        let publisher = Publisher::new(server.clone(), "pod".into(), "uid".into());
        let pace = Pace::new(SOON, "uid");
        tokio::spawn(
            Reporter::new("default".into(), "uid".into(), publisher, known_rx, local_rx, pace).run(),
        );
        let case = Self { server, known, _local: local };
        case.knows(sequence);
        case.server_has(sequence, SOON).await;
        case
    }

    /// The cluster's only entry has this sequence now.
    fn knows(&self, sequence: i64) {
        let key = EntryKey::new("shop", "hello").unwrap();
        let entries = [KnownEntry { key, sequence: sequence as u64, trouble: None }];
        self.known.send_replace(Known { synced: true, entries: Some(entries.into()) });
    }

    /// Waits until the API server has the report of that.
    async fn server_has(&self, sequence: i64, within: Duration) {
        let says = |report: &RuntimeReport| {
            report.spec.exceptions.iter().map(|entry| entry.sequence).collect::<Vec<_>>() == [sequence]
        };
        let mut stored = self.server.0.stored.subscribe();
        let arrives = stored.wait_for(|report| report.as_ref().is_some_and(says));
        let arrived = tokio::time::timeout(within, arrives).await.is_ok();
        assert!(arrived, "the report must be of sequence {sequence}: {:?}", self.server.stored());
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_was_lost_is_corrected_though_what_was_written_before_holds_again() {
    let case = Case::new(1).await;
    case.server.lose_next_answer();
    case.knows(2);
    case.server_has(2, SOON).await;
    // The agent still waits for the answer.
    case.knows(1);
    case.server_has(1, SOON).await;
}

#[tokio::test(start_paused = true)]
async fn a_report_that_was_deleted_or_changed_comes_back_within_10_minutes() {
    let case = Case::new(1).await;
    let written = case.server.stored().unwrap();
    case.server.delete();
    case.server_has(1, TEN_MINUTES).await;
    let there = case.server.stored().unwrap();
    assert_eq!(
        (there.spec, there.metadata.owner_references),
        (written.spec.clone(), written.metadata.owner_references.clone())
    );
    let mut changed = written;
    changed.spec.exceptions.clear();
    case.server.store(&changed);
    case.server_has(1, TEN_MINUTES).await;
}

#[tokio::test(start_paused = true)]
async fn a_report_that_nobody_touches_is_written_again_seldom_and_stays_the_same_object() {
    let case = Case::new(1).await;
    let (written, asked) = (case.server.stored(), case.server.asked());
    tokio::time::sleep(TEN_MINUTES * 6).await;
    let writes = case.server.asked() - asked;
    assert!((6..=7).contains(&writes), "{writes} writes in an hour");
    assert_eq!(case.server.stored(), written);
}
