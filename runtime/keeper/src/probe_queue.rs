//! Which builds are probed, for whom, and which have passed.
//!
//! Owns the order and the number of probes at a time. Pure; `probe_run` runs them.

use std::collections::VecDeque;
use std::path::PathBuf;

use hotbay_api::Digest;
use hotbay_protocol::{Probe, ProbeOutcome, ToEngine};

/// Probes are mostly the linker's work: two a core on the small pods that we expect, so that one that hangs holds up few.
const AT_ONCE: usize = 4;
/// As many as one POLICY holds, and a little more.
const MAX_VERIFIED: usize = 1000;

/// Requested, running and passed probes.
#[derive(Debug, Default)]
pub struct ProbeQueue {
    waiting: VecDeque<Request>,
    running: Vec<Request>,
    verified: VecDeque<Digest>,
}

#[derive(Debug)]
struct Request {
    digest: Digest,
    path: PathBuf,
    engines: Vec<u64>,
}

/// A probe to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The build.
    pub digest: Digest,
    /// Where it is staged.
    pub path: PathBuf,
}

impl ProbeQueue {
    /// Takes an engine's wish. The answer, if it is known already.
    pub fn request(&mut self, engine: u64, digest: Digest, path: PathBuf) -> Option<ToEngine> {
        if self.verified.contains(&digest) {
            return Some(ToEngine::Probed(Probe { digest, outcome: ProbeOutcome::Passed }));
        }
        let known = self.running.iter_mut().chain(&mut self.waiting).find(|request| request.digest == digest);
        match known {
            Some(request) if request.engines.contains(&engine) => {}
            Some(request) => request.engines.push(engine),
            None => self.waiting.push_back(Request { digest, path, engines: vec![engine] }),
        }
        None
    }

    /// The next probe to start, if there is one and room for it.
    pub fn start(&mut self) -> Option<Start> {
        if self.running.len() >= AT_ONCE {
            return None;
        }
        let request = self.waiting.pop_front()?;
        let start = Start { digest: request.digest, path: request.path.clone() };
        self.running.push(request);
        Some(start)
    }

    /// Takes a probe's end: whom to tell, and what.
    pub fn end(&mut self, digest: Digest, outcome: ProbeOutcome) -> Option<(Vec<u64>, ToEngine)> {
        let at = self.running.iter().position(|request| request.digest == digest)?;
        let request = self.running.swap_remove(at);
        if outcome == ProbeOutcome::Passed {
            self.verified.push_back(digest);
            if self.verified.len() > MAX_VERIFIED {
                self.verified.pop_front();
            }
        }
        Some((request.engines, ToEngine::Probed(Probe { digest, outcome })))
    }

    /// Forgets what an engine that is gone has asked for; what runs already ends by itself.
    pub fn forget(&mut self, engine: u64) {
        for request in self.running.iter_mut().chain(&mut self.waiting) {
            request.engines.retain(|&asking| asking != engine);
        }
        self.waiting.retain(|request| !request.engines.is_empty());
    }

    /// Builds that passed, the newest last.
    pub fn verified(&self) -> &VecDeque<Digest> {
        &self.verified
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u8) -> Digest {
        Digest::of(&[number])
    }

    fn started(queue: &mut ProbeQueue) -> Vec<Digest> {
        std::iter::from_fn(|| queue.start()).map(|start| start.digest).collect()
    }

    #[test]
    fn a_build_is_probed_once_for_all_who_ask_and_never_again_once_it_passed() {
        let mut queue = ProbeQueue::default();
        for engine in [1, 2, 2] {
            assert_eq!(queue.request(engine, digest(1), "/stage/1".into()), None);
        }
        assert_eq!(queue.start(), Some(Start { digest: digest(1), path: "/stage/1".into() }));
        assert_eq!(queue.start(), None);
        let passed = ToEngine::Probed(Probe { digest: digest(1), outcome: ProbeOutcome::Passed });
        assert_eq!(queue.end(digest(1), ProbeOutcome::Passed), Some((vec![1, 2], passed.clone())));
        assert_eq!(queue.request(3, digest(1), "/stage/1".into()), Some(passed));
        assert_eq!(queue.verified(), &[digest(1)]);
    }

    #[test]
    fn a_refused_build_is_probed_again_when_asked_for() {
        let mut queue = ProbeQueue::default();
        queue.request(1, digest(1), "/stage/1".into());
        started(&mut queue);
        queue.end(digest(1), ProbeOutcome::TimedOut);
        assert_eq!(queue.request(1, digest(1), "/stage/1".into()), None);
        assert_eq!(started(&mut queue), [digest(1)]);
        assert!(queue.verified().is_empty());
    }

    #[test]
    fn few_run_at_once_and_in_order_and_those_of_the_dead_not_at_all() {
        let mut queue = ProbeQueue::default();
        for number in 0..7 {
            queue.request(u64::from(number % 2), digest(number), "/stage".into());
        }
        assert_eq!(started(&mut queue), [digest(0), digest(1), digest(2), digest(3)]);
        queue.forget(0);
        queue.end(digest(2), ProbeOutcome::TimedOut);
        queue.end(digest(1), ProbeOutcome::TimedOut);
        assert_eq!(started(&mut queue), [digest(5)], "4 and 6 were the dead engine's");
    }
}
