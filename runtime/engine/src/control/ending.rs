//! How an engine ends: what is in flight first, then the modules.
//!
//! Owns how long their `stop` may take together. Must not load anything, nor exit: the process does when this is over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hotbay_bay::Scan;
use hotbay_protocol::{DrainKind, ToEngine, ToKeeper};
use tokio::sync::mpsc;

use super::{Control, TICK};
use crate::table::Routes;

/// How long the modules' `stop` may take, however early the requests have ended (the loader's own limit for one of them).
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// When the process has to end, a little before its keeper kills it.
fn last_moment(kind: DrainKind, deadline: Duration) -> Instant {
    Instant::now() + deadline + kind.grace().mul_f32(0.8)
}

impl Control {
    /// Serves what is in flight to its end, and has the modules stop. Removals still take effect; nothing is loaded.
    pub(super) async fn end(
        mut self,
        kind: DrainKind,
        deadline: Duration,
        mut messages: mpsc::Receiver<ToEngine>,
        mut scans: mpsc::Receiver<Scan>,
    ) {
        let server = Arc::clone(&self.server);
        let mut until = last_moment(kind, deadline);
        let mut drained = std::pin::pin!(server.drain(kind, deadline));
        let cut = loop {
            tokio::select! {
                cut = drained.as_mut() => break cut,
                message = messages.recv() => match message {
                    None => return,
                    // In more of a hurry than before.
                    Some(ToEngine::Drain { kind, deadline_ms }) => {
                        let deadline = Duration::from_millis(deadline_ms);
                        until = last_moment(kind, deadline);
                        drained.set(server.drain(kind, deadline));
                    }
                    Some(message) => {
                        let dirty = self.hear(message);
                        self.follow(dirty);
                    }
                },
                Some(scan) = scans.recv() => {
                    let dirty = self.take_scan(&scan);
                    self.follow(dirty);
                }
                // What comes up only now is stopped at once.
                Some(done) = self.done.recv() => drop(done),
            }
        };
        self.link.send(&ToKeeper::Drained { cut: u32::try_from(cut).unwrap_or(u32::MAX) });
        self.stop_modules(until.min(Instant::now() + STOP_LIMIT), messages).await;
    }

    /// Nobody calls them any more: each is stopped, as if it were removed. What has not stopped by then goes with the process, as one does that a call
    /// holds which never returns.
    async fn stop_modules(&mut self, until: Instant, mut messages: mpsc::Receiver<ToEngine>) {
        self.modules.let_go();
        let (nothing, _) = Routes::build(Vec::new());
        self.server.publish(nothing);
        let mut until = until;
        let mut tick = tokio::time::interval(TICK);
        loop {
            let loader = Arc::clone(&self.loader);
            tokio::select! {
                biased;
                Some(done) = self.done.recv() => drop(done),
                () = loader.stopped() => return,
                () = tokio::time::sleep_until(until.into()) => {
                    tracing::warn!(modules = self.loader.leaving(), "modules have not stopped in time and end with the engine");
                    return;
                }
                message = messages.recv() => match message {
                    None => return,
                    Some(ToEngine::Drain { kind, deadline_ms }) => {
                        until = until.min(last_moment(kind, Duration::from_millis(deadline_ms)));
                    }
                    Some(message) => {
                        self.hear(message);
                    }
                },
                // A stop that hangs holds up the others no longer than it may.
                _ = tick.tick() => self.watch(),
            }
        }
    }
}
