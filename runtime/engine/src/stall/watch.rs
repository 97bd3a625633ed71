//! The thread that looks.
//!
//! Owns the list of threads that serve, and when they are looked at. Must not judge, nor act on what is found, but for one thing that cannot wait.
//!
//! That one thing: of tokio's threads one waits for sockets, the others for each other. If it comes to a call that holds it, nobody waits for sockets, however
//! many threads are idle. So whenever a call lasts, another thread is woken, and takes that place.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hotbay_protocol::{CallSlot, Stay};
use hotbay_sys::thread::{RunState, ThreadId};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::{Finding, Judge, TICK, Thread};

/// The threads that are looked at. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch {
    threads: Arc<Mutex<Vec<Worker>>>,
}

#[derive(Debug)]
struct Worker {
    slot: CallSlot,
    thread: Option<ThreadId>,
}

impl Watch {
    /// Has the calling thread looked at, which leaves its marks in `slot` and lives as long as the process.
    pub fn attach_thread(&self, slot: CallSlot) {
        let thread = ThreadId::current()
            .inspect_err(|error| tracing::warn!(%error, "a thread's stalls will not be seen"))
            .ok();
        self.threads().push(Worker { slot, thread });
    }

    /// Starts to look at threads of `workers`, on a thread of its own, which ends when nobody listens any more.
    ///
    /// # Errors
    /// When the thread cannot be made.
    pub fn spawn(&self, workers: Handle, findings: mpsc::UnboundedSender<Finding>) -> std::io::Result<()> {
        let watch = self.clone();
        let look = move || {
            let mut judge = Judge::default();
            while !findings.is_closed() {
                std::thread::sleep(TICK);
                let found = judge.look(Instant::now(), &watch.threads());
                for finding in found {
                    match finding {
                        // Whoever comes to run it waits for sockets afterwards, if nobody does.
                        Finding::Lasts => drop(workers.spawn(async {})),
                        // If nobody listens the process ends.
                        finding => {
                            let _unheard = findings.send(finding);
                        }
                    }
                }
            }
        };
        std::thread::Builder::new().name("stalls".to_owned()).spawn(look).map(|_thread| ())
    }

    fn threads(&self) -> MutexGuard<'_, Vec<Worker>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Thread for Worker {
    fn sequence(&self) -> u64 {
        self.slot.sequence()
    }

    fn stay(&self, sequence: u64) -> Option<Stay> {
        self.slot.stay(sequence)
    }

    fn cpu_time(&self) -> Option<Duration> {
        self.thread?.cpu_time().ok()
    }

    fn state(&self) -> Option<RunState> {
        self.thread?.state().ok()
    }
}
