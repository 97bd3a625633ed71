//! The engine's side of the channel to its keeper.
//!
//! Owns sending, the receiving thread, and which probe an answer belongs to. Must not act on messages: `control` does.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hotbay_api::Digest;
use hotbay_logs::Level;
use hotbay_protocol::{Channel, ChannelError, Probe, ProbeOutcome, ToEngine, ToKeeper};
use tokio::sync::{mpsc, oneshot};

/// Messages that wait for `control`: a keeper sends few, and each is small.
const WAITING: usize = 256;

/// The channel, shared by everything that talks to the keeper.
pub(crate) struct Link {
    channel: Arc<Channel>,
    probes: Mutex<Probes>,
}

#[derive(Default)]
struct Probes {
    passed: HashSet<Digest>,
    waiting: HashMap<Digest, Vec<oneshot::Sender<ProbeOutcome>>>,
}

impl Link {
    /// Takes over the channel and starts the receiving thread, which also does what the keeper says of the log: at once, whatever holds `control` up.
    ///
    /// # Errors
    /// When the thread cannot be made.
    pub fn new(channel: Channel, log: Level) -> std::io::Result<(Arc<Self>, mpsc::Receiver<ToEngine>)> {
        let channel = Arc::new(channel);
        let (sender, receiver) = mpsc::channel(WAITING);
        let receiving = Arc::clone(&channel);
        std::thread::Builder::new()
            .name("keeper-link".to_owned())
            .spawn(move || receive(&receiving, &sender, &log))?;
        Ok((Arc::new(Self { channel, probes: Mutex::default() }), receiver))
    }

    /// Sends one message. A keeper that is gone is noticed by the receiving side.
    pub fn send(&self, message: &ToKeeper) {
        if let Err(error) = self.channel.send(message) {
            tracing::warn!(%error, "failed to tell the keeper");
        }
    }

    /// Builds that need no probe, because an earlier engine's passed.
    pub fn trust(&self, verified: Vec<Digest>) {
        self.probes().passed.extend(verified);
    }

    /// How the probe of this build goes; `None` if the keeper is gone.
    pub async fn probe(&self, digest: Digest, path: PathBuf) -> Option<ProbeOutcome> {
        let (answer, outcome) = oneshot::channel();
        let first = {
            let mut probes = self.probes();
            if probes.passed.contains(&digest) {
                return Some(ProbeOutcome::Passed);
            }
            let waiting = probes.waiting.entry(digest).or_default();
            waiting.push(answer);
            waiting.len() == 1
        };
        if first {
            self.send(&ToKeeper::Probe { digest, path });
        }
        outcome.await.ok()
    }

    /// Hands a probe's end to who waits for it.
    pub fn probed(&self, Probe { digest, outcome }: Probe) {
        let waiting = {
            let mut probes = self.probes();
            if outcome == ProbeOutcome::Passed {
                probes.passed.insert(digest);
            }
            probes.waiting.remove(&digest).unwrap_or_default()
        };
        for answer in waiting {
            // Whoever has stopped waiting does not care.
            let _ = answer.send(outcome.clone());
        }
    }

    fn probes(&self) -> MutexGuard<'_, Probes> {
        self.probes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn receive(channel: &Channel, sender: &mpsc::Sender<ToEngine>, log: &Level) {
    loop {
        match channel.receive() {
            Ok((ToEngine::Log { step }, _fds)) => {
                log.set(step);
                hotbay_loader::follow_log_level();
            }
            Ok((message, _fds)) => {
                if sender.blocking_send(message).is_err() {
                    return;
                }
            }
            // A newer keeper's word.
            Err(error @ ChannelError::Malformed { .. }) => {
                tracing::warn!(%error, "a message was not understood")
            }
            // Dropping the sender tells `control`.
            Err(_) => return,
        }
    }
}
