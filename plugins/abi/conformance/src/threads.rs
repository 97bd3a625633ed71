//! Which threads this process has, how long each had to wait for a CPU, and what all of them got of one.
//!
//! Owns the look into /proc and at the process's clock. A thread that ends tells nobody, so its end can only be looked for again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use rustix::thread::sched_getaffinity;
use rustix::time::{ClockId, clock_gettime};

/// A thread that was told to end needs a moment for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// The threads of a moment.
pub(crate) struct Threads(BTreeSet<String>);

impl Threads {
    /// Those that there are.
    pub fn now() -> Self {
        Self(ids().collect())
    }

    /// Those that are there now and were not then, after a while to end in; their names.
    pub fn left(&self) -> Vec<String> {
        let until = Instant::now() + PATIENCE;
        loop {
            let new: Vec<String> = Self::now().0.difference(&self.0).cloned().collect();
            if new.is_empty() || Instant::now() > until {
                return new.iter().map(|id| name(id)).collect();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// How long each thread has waited for a CPU up to a moment: as the kernel counts it, also for one that a cgroup throttles.
pub(crate) struct Waits(BTreeMap<String, Duration>);

impl Waits {
    /// Those of now. A kernel that does not count has none, and then the clock alone can tell.
    pub fn now() -> Self {
        Self(ids().filter_map(|id| waited(&id).map(|waited| (id, waited))).collect())
    }

    /// The longest that any thread has waited since then: what the module waits for may be done by another thread than the one that called it. One that has
    /// ended meanwhile is not known any more.
    pub fn longest_since(&self) -> Duration {
        let before = |id: &String| self.0.get(id).copied().unwrap_or_default();
        let grown = Self::now().0.into_iter().map(|(id, waited)| waited.saturating_sub(before(&id)));
        grown.max().unwrap_or_default()
    }
}

/// What this process has used of its CPUs up to now, with all of its threads: also of those that have ended.
pub(crate) fn used() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

/// How many CPUs this process may run on. A cgroup's quota does not count here: what it takes is waited for.
pub(crate) fn cpus() -> u32 {
    // A machine may have more CPUs than fit into the set.
    let all = || available_parallelism().map_or(1, |all| u32::try_from(all.get()).unwrap_or(u32::MAX));
    sched_getaffinity(None).map_or_else(|_| all(), |set| set.count())
}

/// The second of three numbers: nanoseconds on a CPU, waiting for one, and how often it got one.
fn waited(id: &str) -> Option<Duration> {
    let line = std::fs::read_to_string(format!("/proc/self/task/{id}/schedstat")).ok()?;
    line.split_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}

fn ids() -> impl Iterator<Item = String> {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    tasks.map(|task| task.file_name().to_string_lossy().into_owned())
}

fn name(id: &str) -> String {
    let name = std::fs::read_to_string(format!("/proc/self/task/{id}/comm")).unwrap_or_default();
    name.trim_end().to_owned()
}
