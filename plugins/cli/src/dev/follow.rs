//! What becomes of each build.
//!
//! Owns the project's [`Standing`]: nobody else changes it. Hears of builds, of the control plane and of the keeper's report, and says in the
//! terminal how long a save took to be served.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hotbay_api::{Digest, LocalReport};
use notify::{EventKind, RecursiveMode, Watcher as _};
use tokio::sync::watch;

use super::standing::{Obstacle, Outcome, Standing};
use crate::run::Served;

/// How often the report is looked at if nothing is heard of it.
const LOOK: Duration = Duration::from_millis(250);

/// What is heard.
pub(super) enum Event {
    /// A save compiles, and was handed over.
    Built(Swap),
    /// A save does not come so far.
    Stopped(Obstacle),
    /// What is wrong with the YAML that asks for the module, if anything is.
    Yaml(Option<String>),
    /// What is served from the builds, as the control plane sees it now.
    Told(Vec<Served>),
    /// The report may have changed.
    Report,
}

/// A build on its way.
pub(super) struct Swap {
    pub digest: Digest,
    /// Whether it is another than the one before.
    pub is_new: bool,
    pub saved: Instant,
    /// How long the build tool took.
    pub compiled: Duration,
}

/// Follows on a thread of its own, as long as somebody may send an event.
///
/// # Errors
/// When the system refuses a thread.
pub(super) fn start(
    report: PathBuf,
    standing: watch::Sender<Standing>,
    events_tx: Sender<Event>,
    events: Receiver<Event>,
) -> anyhow::Result<()> {
    let folder = report.parent().context("the report is in no folder")?.to_owned();
    let file = report.clone();
    let heard = move |event: notify::Result<notify::Event>| {
        // What cannot be told may have been the report.
        if event.map_or(true, |event| is_news(&event, &file)) {
            // Nobody follows any more: the command ends.
            let _ = events_tx.send(Event::Report);
        }
    };
    let watcher = notify::recommended_watcher(heard).and_then(|mut watcher| {
        watcher.watch(&folder, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    if let Err(error) = &watcher {
        tracing::debug!(%error, "the report cannot be watched; it is looked at every {LOOK:?}");
    }
    let follow = move || {
        // Kept as long as it is listened to.
        let _watcher = watcher;
        follow(&report, &standing, &events);
    };
    std::thread::Builder::new()
        .name("follow".to_owned())
        .spawn(follow)
        .context("failed to start a thread")?;
    Ok(())
}

/// Whether the report may be another. It is read at every event: reading must be none, or the next one would follow at once, for ever.
fn is_news(event: &notify::Event, report: &Path) -> bool {
    let is_read = matches!(event.kind, EventKind::Access(_));
    !is_read && (event.paths.is_empty() || event.paths.iter().any(|path| path == report))
}

fn follow(report: &Path, standing: &watch::Sender<Standing>, events: &Receiver<Event>) {
    let (mut swap, mut own): (Option<Swap>, Vec<Served>) = (None, Vec::new());
    loop {
        match events.recv_timeout(LOOK) {
            Ok(Event::Built(next)) => {
                standing
                    .send_if_modified(|standing| changed(standing, |standing| standing.built(next.digest)));
                swap = Some(next);
            }
            Ok(Event::Stopped(obstacle)) => {
                swap = None;
                standing
                    .send_if_modified(|standing| changed(standing, |standing| standing.stopped(obstacle)));
            }
            Ok(Event::Yaml(wrong)) => {
                standing.send_if_modified(|standing| changed(standing, |standing| standing.read(wrong)));
            }
            Ok(Event::Told(now)) => own = now,
            Ok(Event::Report) | Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return,
        }
        let said = read(report);
        let mut outcome = Outcome::Pending;
        standing
            .send_if_modified(|standing| changed(standing, |standing| outcome = standing.told(&said, &own)));
        match outcome {
            Outcome::Serves => swap.take().iter().for_each(Swap::tell),
            // The runtime has said why.
            Outcome::Fails | Outcome::Pending => {}
        }
    }
}

/// Whether pages have to be told of a change.
fn changed(standing: &mut Standing, change: impl FnOnce(&mut Standing)) -> bool {
    let before = standing.generation;
    change(standing);
    standing.generation != before
}

impl Swap {
    fn tell(&self) {
        let (compiled, served) = (self.compiled.as_millis(), self.saved.elapsed().as_millis());
        if self.is_new {
            tracing::info!("served {served} ms after the save; {compiled} ms of it compiled");
        } else {
            tracing::debug!("built, and nothing is new");
        }
    }
}

/// What the keeper last said; nothing, before it said anything.
fn read(report: &Path) -> LocalReport {
    let json = std::fs::read(report).unwrap_or_default();
    serde_json::from_slice(&json).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_report_that_is_written_is_news_and_one_that_is_read_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let (report, beside) = (folder.path().join("report.json"), folder.path().join(".report"));
        std::fs::write(&report, "{}").unwrap();
        let (events_tx, events) = mpsc::channel();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            events_tx.send(event.unwrap()).unwrap();
        })
        .unwrap();
        watcher.watch(folder.path(), RecursiveMode::NonRecursive).unwrap();
        read(&report);
        // What comes before this has to do with reading alone.
        std::fs::write(&beside, "{}").unwrap();
        let next = || events.recv_timeout(Duration::from_secs(60)).unwrap();
        let is_beside = |event: &notify::Event| event.paths.contains(&beside);
        let of_reading = std::iter::repeat_with(next).take_while(|event| !is_beside(event));
        let of_reading: Vec<notify::Event> = of_reading.collect();
        assert!(
            !of_reading.is_empty() && of_reading.iter().all(|event| !is_news(event, &report)),
            "{of_reading:?}"
        );
        std::fs::rename(&beside, &report).unwrap();
        while !is_news(&next(), &report) {}
    }
}
