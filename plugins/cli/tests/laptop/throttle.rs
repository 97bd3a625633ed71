//! A process that is not let run as it would.
//!
//! Owns a cgroup with a tenth of a CPU, version 2 or 1, for one process; where none can be made, as without root, busy neighbours that have the one CPU that
//! the process is pinned to nearly to themselves. Gone on drop.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, setpriority_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// How many neighbours there are, and how nice the process is to them: each has nine times its share, so it has a twentieth of the CPU.
const NEIGHBOURS: usize = 2;
const NICE: i32 = 10;

pub enum Throttle {
    /// The folder, and the one that its processes go back to.
    Cgroup(PathBuf, PathBuf),
    Neighbours(Arc<AtomicBool>, Vec<JoinHandle<()>>),
}

impl Throttle {
    /// Holds up a process from now on.
    pub fn engage(pid: i32) -> Self {
        Self::cgroup(pid).unwrap_or_else(|_cannot| Self::neighbours(pid))
    }

    /// In a word, for people.
    pub fn how(&self) -> &'static str {
        match self {
            Self::Cgroup(..) => "the cgroup",
            Self::Neighbours(..) => "the neighbours' load",
        }
    }

    fn cgroup(pid: i32) -> io::Result<Self> {
        let name = format!("hotbay-test-{}", std::process::id());
        let (parent, limits) = match fs::read_to_string("/sys/fs/cgroup/cgroup.controllers") {
            Ok(_) => (PathBuf::from("/sys/fs/cgroup"), vec![("cpu.max", "10000 100000")]),
            Err(_) => {
                let limits = vec![("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "10000")];
                (PathBuf::from("/sys/fs/cgroup/cpu"), limits)
            }
        };
        let folder = parent.join(name);
        fs::create_dir(&folder)?;
        let throttle = Self::Cgroup(folder.clone(), parent);
        for (file, value) in limits {
            fs::write(folder.join(file), value)?;
        }
        fs::write(folder.join("cgroup.procs"), pid.to_string())?;
        Ok(throttle)
    }

    /// The same by neighbours, in any case.
    pub fn neighbours(pid: i32) -> Self {
        let ours = sched_getaffinity(None).unwrap();
        let mut cpu = CpuSet::new();
        cpu.set((0..CpuSet::MAX_CPU).find(|&cpu| ours.is_set(cpu)).unwrap());
        let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        for thread in threads.flatten() {
            let thread = thread.file_name().to_str().and_then(|name| Pid::from_raw(name.parse().ok()?));
            sched_setaffinity(thread, &cpu).unwrap();
            setpriority_process(thread, NICE).unwrap();
        }
        let over = Arc::new(AtomicBool::new(false));
        let busy = |_| {
            let over = Arc::clone(&over);
            thread::spawn(move || {
                sched_setaffinity(None, &cpu).unwrap();
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })
        };
        let threads = (0..NEIGHBOURS).map(busy).collect();
        Self::Neighbours(over, threads)
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        match self {
            Self::Cgroup(folder, parent) => leave(folder, parent),
            Self::Neighbours(over, threads) => {
                over.store(true, Ordering::Relaxed);
                threads.drain(..).for_each(|thread| drop(thread.join()));
            }
        }
    }
}

/// Moves what is left back, and removes the cgroup.
fn leave(folder: &Path, parent: &Path) {
    let until = Instant::now() + Duration::from_secs(60);
    while fs::remove_dir(folder).is_err() && folder.exists() && Instant::now() < until {
        for pid in fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default().lines() {
            // It may have ended meanwhile.
            let _gone = fs::write(parent.join("cgroup.procs"), pid);
        }
        thread::yield_now();
    }
}
