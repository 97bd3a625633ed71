//! Which handlers hold the threads that serve.
//!
//! Owns the judgement, and the thread that looks. Every request leaves a mark on its thread when it enters module code, so nothing is timed on the way
//! of a request: what is still there at the next look is looked at closely. Wall time proves nothing. In a pod with `cpu: 200m` all threads stand still for
//! 80 of each 100 ms, and on a busy node they wait for a CPU; so a module answers for what its thread burnt by the CPU clock, and for
//! looks at which it slept, and for nothing else.
//!
//! Must not act on what it finds, but for one thing that cannot wait: `control` does.
//!
//! That one thing: of tokio's threads one waits for sockets, the others for each other. If it comes to a call that holds it, nobody waits for sockets, however
//! many threads are idle. So whenever a call lasts, another thread is woken, and takes that place.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hotbay_protocol::{CallSlot, Stay};
use hotbay_sys::thread::{RunState, ThreadId};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// How often threads are looked at.
const TICK: Duration = Duration::from_millis(10);
/// The most that counts between two looks: on a busy machine each comes a little late.
const LONGEST_TICK: Duration = Duration::from_millis(20);
/// A handler that burns or sleeps as long has held its thread: others' requests waited for it that long.
const STALL: Duration = Duration::from_millis(50);
/// Once this long is enough.
const LONG: Duration = Duration::from_millis(500);
/// Or so many stalls of one instance within [`WINDOW`].
const OFTEN: usize = 3;
const WINDOW: Duration = Duration::from_secs(60);
/// When every thread is held as long, the engine serves nobody.
const ALL_HELD: Duration = Duration::from_millis(250);

/// Something that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// A call was there at two looks. Nothing is wrong with that. Found once for each.
    Lasts,
    /// A call holds its thread. Found once for each.
    Stall(Stay),
    /// Calls of this instance are not to run on these threads any more.
    Demote(Stay, Deed),
    /// All threads are held.
    AllHeld,
}

/// What an instance did to be demoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// A single call held its thread, up to now so long.
    Long(Duration),
    /// Several calls did, the last of them so long.
    Often(Duration),
    /// It held the last free thread, or one of those before.
    All(Duration),
}

impl std::fmt::Display for Deed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Long(held) | Self::Often(held) | Self::All(held)) = self;
        let millis = held.as_millis();
        match self {
            Self::Long(_) => write!(f, "held a thread of the engine for {millis} ms"),
            Self::Often(_) => {
                write!(
                    f,
                    "held a thread of the engine {OFTEN} times in a minute, the last time for {millis} ms"
                )
            }
            Self::All(_) => write!(f, "was among those that held all threads of the engine for {millis} ms"),
        }
    }
}

/// A thread that serves, as far as it is looked at.
pub(crate) trait Thread {
    /// Odd while it is in module code, and another number for each stay there.
    fn sequence(&self) -> u64;
    /// Whose code it is in, if that stay is not over.
    fn stay(&self, sequence: u64) -> Option<Stay>;
    /// What it has burnt; `None` if nobody can say.
    fn cpu_time(&self) -> Option<Duration>;
    /// What it does; `None` if nobody can say.
    fn state(&self) -> Option<RunState>;
}

/// The judgement. Pure.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    last: Option<Instant>,
    watched: Vec<Watched>,
    /// When each instance stalled lately.
    stalls: HashMap<(usize, u64), VecDeque<Instant>>,
}

/// What is remembered of a thread.
#[derive(Debug, Default)]
struct Watched {
    sequence: u64,
    case: Option<Case>,
}

/// A stay that has lasted for two looks.
#[derive(Debug)]
struct Case {
    stay: Stay,
    cpu_before: Option<Duration>,
    burnt: Duration,
    slept: Duration,
    is_stall: bool,
    is_demoted: bool,
}

impl Judge {
    /// Looks at every thread once; always the same ones in the same order, though there may be more each time.
    pub fn look(&mut self, now: Instant, threads: &[impl Thread]) -> Vec<Finding> {
        // Who looks may have been held up as well. What the threads did meanwhile was not seen, so it counts for little.
        let passed = self.last.map_or(TICK, |last| now.duration_since(last)).min(LONGEST_TICK);
        self.last = Some(now);
        self.watched.resize_with(threads.len(), Watched::default);
        let mut findings = Vec::new();
        for (watched, thread) in self.watched.iter_mut().zip(threads) {
            findings.extend(watched.look(thread, passed));
            if let Some(case) = &mut watched.case {
                findings.extend(case.judge(now, &mut self.stalls));
            }
        }
        self.judge_all(&mut findings);
        findings
    }

    fn judge_all(&mut self, findings: &mut Vec<Finding>) {
        let cases = || self.watched.iter().filter_map(|watched| watched.case.as_ref());
        if self.watched.is_empty()
            || cases().filter(|case| case.held() >= ALL_HELD).count() < self.watched.len()
        {
            return;
        }
        for case in self.watched.iter_mut().filter_map(|watched| watched.case.as_mut()) {
            if !std::mem::replace(&mut case.is_demoted, true) {
                findings.push(Finding::Demote(case.stay, Deed::All(case.held())));
            }
        }
        findings.push(Finding::AllHeld);
    }
}

impl Watched {
    fn look(&mut self, thread: &impl Thread, passed: Duration) -> Option<Finding> {
        let sequence = thread.sequence();
        if sequence.is_multiple_of(2) || sequence != self.sequence {
            *self = Self { sequence, case: None };
            return None;
        }
        let is_new = self.case.is_none();
        match &mut self.case {
            None => {
                let case = |stay| Case::new(stay, thread.cpu_time());
                self.case = thread.stay(sequence).map(case);
            }
            Some(case) => case.add(thread, passed),
        }
        // It may have left while it was looked at; what was seen then is not this stay's.
        if thread.sequence() != sequence {
            self.case = None;
        }
        (is_new && self.case.is_some()).then_some(Finding::Lasts)
    }
}

impl Case {
    fn new(stay: Stay, cpu_before: Option<Duration>) -> Self {
        let (burnt, slept) = (Duration::ZERO, Duration::ZERO);
        Self { stay, cpu_before, burnt, slept, is_stall: false, is_demoted: false }
    }

    fn add(&mut self, thread: &impl Thread, passed: Duration) {
        if let (Some(before), Some(now)) = (self.cpu_before, thread.cpu_time()) {
            self.burnt = now.saturating_sub(before);
        }
        if thread.state() == Some(RunState::Sleeps) {
            self.slept += passed;
        }
    }

    /// How long it has held its thread for its own sake.
    fn held(&self) -> Duration {
        self.burnt + self.slept
    }

    fn judge(&mut self, now: Instant, stalls: &mut HashMap<(usize, u64), VecDeque<Instant>>) -> Vec<Finding> {
        let (mut findings, mut often) = (Vec::new(), false);
        if !self.is_stall && self.burnt.max(self.slept) >= STALL {
            self.is_stall = true;
            findings.push(Finding::Stall(self.stay));
            often = count(stalls, self.stay, now) >= OFTEN;
        }
        let deed = match self.held() {
            held if held >= LONG => Some(Deed::Long(held)),
            held if often => Some(Deed::Often(held)),
            _ => None,
        };
        if let Some(deed) = deed.filter(|_| !self.is_demoted) {
            self.is_demoted = true;
            findings.push(Finding::Demote(self.stay, deed));
        }
        findings
    }
}

/// Notes a stall; how many there were lately.
fn count(stalls: &mut HashMap<(usize, u64), VecDeque<Instant>>, stay: Stay, now: Instant) -> usize {
    let recent = |at: &Instant| now.duration_since(*at) <= WINDOW;
    stalls.retain(|_, times| times.back().is_some_and(recent));
    let times = stalls.entry((stay.row, stay.fingerprint)).or_default();
    times.retain(recent);
    times.push_back(now);
    // More are not needed to know that it is often.
    if times.len() > OFTEN {
        times.pop_front();
    }
    times.len()
}

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
