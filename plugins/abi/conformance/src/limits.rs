//! How long the functions of an instance's life may take, and what an author is told whose module takes longer.
//!
//! Owns the header's times, and who is to blame when they have passed: the clock counts, but not while the kernel had the module wait for a CPU that others had.
//! Must not call the module by itself: `drive` says what is to be timed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::threads::{self, Waits};
use crate::{Rule, report};

/// What the header gives one call of such a function.
const CALL: Duration = Duration::from_secs(3);
/// How long create may be pending, with all of its polls and what is between them.
const START: Duration = Duration::from_secs(30);
/// The same of stop.
const STOP: Duration = Duration::from_secs(10);

/// Whether a limit was passed in this process.
static PASSED: AtomicBool = AtomicBool::new(false);

/// A function of the table that has a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hook {
    Create,
    PollInstance,
    Stop,
    Destroy,
}

impl Hook {
    const ALL: [Self; 4] = [Self::Create, Self::PollInstance, Self::Stop, Self::Destroy];

    /// The one that the header calls so.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hook| hook.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::PollInstance => "poll_instance",
            Self::Stop => "stop",
            Self::Destroy => "destroy",
        }
    }

    /// How long what it has begun may be pending.
    pub fn pending(self) -> Duration {
        if self == Self::Create { START } else { STOP }
    }

    /// The limit, and how a module keeps it that has much to do.
    pub fn advice(self) -> String {
        let instead = match self {
            Self::Create | Self::Stop => {
                let pending = self.pending();
                format!("answer HB_PENDING, and wake the instance when it may go on; then it has {pending:?}")
            }
            Self::PollInstance => {
                "have a thread of its own do what blocks, and answer HB_PENDING until that is done".to_owned()
            }
            Self::Destroy => "do in stop what takes its time, which may answer HB_PENDING".to_owned(),
        };
        let name = self.name();
        format!("the header gives {name} {CALL:?}, for all other instances wait meanwhile: {instead}")
    }
}

/// What is to be said of the time that a call took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    InTime,
    /// It would have been, had it been let run. A host's clock ticks all the same.
    HeldUp,
    TooLong,
}

/// How a time was spent.
#[derive(Clone, Copy, Debug)]
struct Spent {
    /// By the clock.
    took: Duration,
    /// For so long of it some thread would have run and was not let: whoever had the CPUs.
    waited: Duration,
    /// CPU time of the whole process meanwhile.
    used: Duration,
    /// On so many CPUs.
    cpus: u32,
}

impl Spent {
    /// How long it took by the module's own fault. What the process used would have taken its share of all CPUs also if nobody else had been there: for that
    /// its threads have only waited for each other, which is no excuse.
    fn own(self) -> Duration {
        let alone = self.used / self.cpus.max(1);
        self.took.saturating_sub(self.waited).max(alone).min(self.took)
    }

    fn verdict(self) -> Verdict {
        if self.took <= CALL {
            Verdict::InTime
        } else if self.own() <= CALL {
            Verdict::HeldUp
        } else {
            Verdict::TooLong
        }
    }
}

/// A clock, what the kernel has had threads wait for a CPU meanwhile, and what it gave them.
pub(crate) struct Watch {
    began: Instant,
    waits: Waits,
    used: Duration,
}

impl Watch {
    pub fn start() -> Self {
        let (waits, used) = (Waits::now(), threads::used());
        Self { began: Instant::now(), waits, used }
    }

    fn read(&self) -> Spent {
        let took = self.began.elapsed();
        let used = threads::used().saturating_sub(self.used);
        Spent { took, waited: self.waits.longest_since(), used, cpus: threads::cpus() }
    }

    /// How long it took by the module's own fault.
    pub fn own(&self) -> Duration {
        self.read().own()
    }
}

/// Makes a call of `hook`, and reports it if it takes too long.
pub(crate) fn timed<T>(hook: Hook, call: impl FnOnce() -> T) -> T {
    let watch = Watch::start();
    let came = call();
    let spent = watch.read();
    let (name, Spent { took, waited, .. }) = (hook.name(), spent);
    match spent.verdict() {
        Verdict::InTime => {}
        Verdict::HeldUp => report::remark(
            Rule::Returns,
            &format!(
                "{name} took {took:.2?}, and for {waited:.2?} of that a thread of it was not let run: this machine has too little time; {}",
                hook.advice()
            ),
        ),
        Verdict::TooLong => pass(Rule::Returns, &format!("{name} took {took:.2?}; {}", hook.advice())),
    }
    came
}

/// Reports that a limit was passed, which is a breach of this rule.
pub(crate) fn pass(rule: Rule, words: &str) {
    PASSED.store(true, Ordering::Relaxed);
    report::broken(rule, words);
}

/// Whether a limit was passed, by the module's own fault, since this process began.
pub(crate) fn passed() -> bool {
    PASSED.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(took_ms: u64, waited_ms: u64, used_ms: u64, cpus: u32) -> Spent {
        let [took, waited, used] = [took_ms, waited_ms, used_ms].map(Duration::from_millis);
        Spent { took, waited, used, cpus }
    }

    fn judged(took_ms: u64, waited_ms: u64) -> Verdict {
        spent(took_ms, waited_ms, 0, 2).verdict()
    }

    #[test]
    fn the_clock_counts_less_what_the_kernel_took() {
        assert_eq!(judged(3000, 0), Verdict::InTime);
        assert_eq!(judged(3001, 0), Verdict::TooLong);
        assert_eq!(judged(60_000, 57_000), Verdict::HeldUp);
        assert_eq!(judged(60_000, 56_999), Verdict::TooLong);
        // A thread may have begun to wait before the clock was read.
        assert_eq!(judged(3001, 5000), Verdict::HeldUp);
    }

    #[test]
    fn a_throttled_process_is_not_blamed() {
        assert_eq!(spent(3090, 2790, 300, 2).verdict(), Verdict::HeldUp);
        assert_eq!(spent(3090, 2790, 300, 1).own(), Duration::from_millis(300));
    }

    #[test]
    fn threads_that_wait_for_each_other_are_blamed() {
        // Eight busy threads have two CPUs to themselves: each runs for 2.5 s of the 10.
        let eight = spent(10_000, 7500, 20_000, 2);
        assert_eq!((eight.verdict(), eight.own()), (Verdict::TooLong, eight.took));
        // Half of the CPUs' time went to neighbours; alone, the eight would still have taken 5 s.
        let beside = spent(10_000, 8750, 10_000, 2);
        assert_eq!((beside.verdict(), beside.own()), (Verdict::TooLong, Duration::from_secs(5)));
        // Nine tenths went to them.
        assert_eq!(spent(10_000, 9750, 2000, 2).verdict(), Verdict::HeldUp);
    }

    #[test]
    fn no_more_is_blamed_than_the_clock_says() {
        assert_eq!(spent(3100, 0, 9000, 1).own(), Duration::from_millis(3100));
    }

    #[test]
    fn each_is_found_by_the_name_that_a_child_writes() {
        for hook in Hook::ALL {
            assert_eq!(Hook::named(hook.name()), Some(hook));
        }
        assert_eq!(Hook::named("start"), None);
    }
}
