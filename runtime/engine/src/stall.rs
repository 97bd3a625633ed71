//! Which handlers hold the threads that serve.
//!
//! Owns the judgement. Every request leaves a mark on its thread when it enters module code, so nothing is timed on the way
//! of a request: what is still there at the next look is looked at closely. Wall time proves nothing. In a pod with `cpu: 200m` all threads stand still for
//! 80 of each 100 ms, and on a busy node they wait for a CPU; so a module answers for what its thread burnt by the CPU clock, and for
//! looks at which it slept, and for nothing else. Who sleeps may wait for one that would run and is not let, as for a lock; so for sleepers time passes no
//! faster than for the slowest of those, but never slower than [`SLOWEST`]: one that naps, and is awake whenever it is looked at, would stop it for all.
//!
//! Must not act on what it finds: `watch` and `control` do.

#[cfg(test)]
mod tests;
mod watch;

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use hotbay_protocol::Stay;
use hotbay_sys::thread::RunState;

pub(crate) use self::watch::Watch;

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

/// The share of the time that passes for sleepers at least, though somebody gets less of a CPU: a pod with `cpu: 50m` gets as much, and with less a handler
/// that waits for such a one may be blamed after 20 times its limits. Without it threads that take turns in napping keep an engine that serves nobody.
const SLOWEST: f64 = 0.05;

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
    /// Of that, since the look before.
    burnt_lately: Duration,
    /// As it was at this look, but for the first.
    state: Option<RunState>,
    slept: Duration,
    is_stall: bool,
    is_demoted: bool,
}

impl Judge {
    /// Looks at every thread once; always the same ones in the same order, though there may be more each time.
    pub fn look(&mut self, now: Instant, threads: &[impl Thread]) -> Vec<Finding> {
        // Who looks may have been held up as well. What the threads did meanwhile was not seen, so it counts for little.
        let elapsed = self.last.map_or(TICK, |last| now.duration_since(last));
        self.last = Some(now);
        self.watched.resize_with(threads.len(), Watched::default);
        let looks = self.watched.iter_mut().zip(threads);
        let mut findings: Vec<Finding> = looks.filter_map(|(watched, thread)| watched.look(thread)).collect();
        let cases = || self.watched.iter().filter_map(|watched| watched.case.as_ref());
        let pace = cases().filter_map(|case| case.pace(elapsed)).fold(1.0, f64::min);
        let passed = elapsed.min(LONGEST_TICK).mul_f64(pace.max(SLOWEST));
        for case in self.watched.iter_mut().filter_map(|watched| watched.case.as_mut()) {
            case.sleep(passed);
            findings.extend(case.judge(now, &mut self.stalls));
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
    fn look(&mut self, thread: &impl Thread) -> Option<Finding> {
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
            Some(case) => case.add(thread),
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
        Self {
            stay,
            cpu_before,
            burnt: Duration::ZERO,
            burnt_lately: Duration::ZERO,
            state: None,
            slept: Duration::ZERO,
            is_stall: false,
            is_demoted: false,
        }
    }

    fn add(&mut self, thread: &impl Thread) {
        if let (Some(before), Some(now)) = (self.cpu_before, thread.cpu_time()) {
            let burnt = now.saturating_sub(before);
            self.burnt_lately = burnt.saturating_sub(std::mem::replace(&mut self.burnt, burnt));
        }
        self.state = thread.state();
    }

    /// If it would run: what share of the `elapsed` time it was let.
    fn pace(&self, elapsed: Duration) -> Option<f64> {
        self.cpu_before.filter(|_| self.state == Some(RunState::Runs) && !elapsed.is_zero())?;
        Some((self.burnt_lately.as_secs_f64() / elapsed.as_secs_f64()).min(1.0))
    }

    /// So much time has passed for who sleeps.
    fn sleep(&mut self, passed: Duration) {
        if self.state == Some(RunState::Sleeps) {
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
