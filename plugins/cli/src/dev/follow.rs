//! What becomes of each build.
//!
//! Owns the project's [`Standing`]: nobody else changes it. Hears of builds, of the control plane's refusals and of the keeper's report, and says in the
//! terminal how long a save took to be served.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hotbay_api::{Digest, LocalReport, Trouble};
use notify::{RecursiveMode, Watcher as _};
use tokio::sync::watch;

use super::standing::{Outcome, Standing};
use crate::project::Said;

/// How often the report is looked at if nothing is heard of it.
const LOOK: Duration = Duration::from_millis(250);

/// What is heard.
pub(super) enum Event {
    /// A save compiles, and was handed over.
    Built(Swap),
    /// A save does not compile.
    NotBuilt(Said),
    /// What the control plane refuses now.
    Refused(Vec<Trouble>),
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
/// When the report's folder cannot be watched.
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
        if event.map_or(true, |event| event.paths.is_empty() || event.paths.contains(&file)) {
            // Nobody follows any more: the command ends.
            let _ = events_tx.send(Event::Report);
        }
    };
    let mut watcher = notify::recommended_watcher(heard).context("failed to watch the report")?;
    watcher.watch(&folder, RecursiveMode::NonRecursive).context("failed to watch the report")?;
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

fn follow(report: &Path, standing: &watch::Sender<Standing>, events: &Receiver<Event>) {
    let (mut swap, mut refused): (Option<Swap>, Vec<Trouble>) = (None, Vec::new());
    loop {
        match events.recv_timeout(LOOK) {
            Ok(Event::Built(next)) => {
                standing
                    .send_if_modified(|standing| changed(standing, |standing| standing.built(next.digest)));
                swap = Some(next);
            }
            Ok(Event::NotBuilt(said)) => {
                swap = None;
                standing.send_if_modified(|standing| changed(standing, |standing| standing.refused(said)));
            }
            Ok(Event::Refused(now)) => refused = now,
            Ok(Event::Report) | Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return,
        }
        let said = read(report);
        let mut outcome = Outcome::Pending;
        standing.send_if_modified(|standing| {
            changed(standing, |standing| outcome = standing.told(&said, &refused))
        });
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
