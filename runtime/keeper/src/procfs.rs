//! What the kernel says of a process: memory, CPU time, age.
//!
//! Owns the parsing of /proc. What cannot be read is absent, never a guess: a process may be gone by the time it is looked at.

use std::fs;
use std::sync::OnceLock;

/// The kernel tells times in hundredths of a second, on every architecture that we build for.
const TICKS_PER_SECOND: f64 = 100.0;

/// One process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Process {
    /// Resident memory.
    pub resident_bytes: Option<u64>,
    /// CPU time of its own, user and system, in the kernel's ticks. Whole numbers: a sum of them does not depend on their order.
    pub cpu_ticks: Option<u64>,
    /// CPU time of the children that it has reaped.
    pub reaped_cpu_ticks: Option<u64>,
    /// Seconds since the epoch.
    pub start_time: Option<f64>,
    /// Open descriptors.
    pub open_fds: Option<u64>,
}

impl Process {
    /// Process `pid` as it is now; `self` stands for this one.
    pub fn read(pid: &str) -> Self {
        let text = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let stat = text("stat");
        let field = |number| stat_field(&stat, number);
        let sum = |one, other| field(one)?.checked_add(field(other)?);
        Self {
            resident_bytes: resident(&text("status")),
            cpu_ticks: sum(14, 15),
            reaped_cpu_ticks: sum(16, 17),
            start_time: booted().zip(field(22)).map(|(boot, ticks)| boot + seconds(ticks)),
            open_fds: fs::read_dir(format!("/proc/{pid}/fd")).ok().map(|fds| fds.count() as u64),
        }
    }
}

/// Ticks as seconds.
#[expect(clippy::cast_precision_loss, reason = "ticks of a million years are still exact")]
pub fn seconds(ticks: u64) -> f64 {
    ticks as f64 / TICKS_PER_SECOND
}

/// A field of /proc/PID/stat, counted from 1 as proc(5) does. The second one is a name that may hold spaces and brackets.
fn stat_field(stat: &str, number: usize) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(number.checked_sub(3)?)?.trim().parse().ok()
}

/// When the machine was started, read once: the file grows with processors and interrupts, the line stays.
fn booted() -> Option<f64> {
    static BOOTED: OnceLock<Option<f64>> = OnceLock::new();
    *BOOTED.get_or_init(|| fs::read_to_string("/proc/stat").ok().and_then(|all| boot_time(&all)))
}

fn boot_time(stat: &str) -> Option<f64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.parse().ok()
}

fn resident(status: &str) -> Option<u64> {
    let kib: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?
        .trim()
        .strip_suffix(" kB")?
        .parse()
        .ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_after_a_name_with_brackets() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 7 3 20 0 9 0 12345 1000 50";
        assert_eq!(
            [14, 15, 16, 17, 22].map(|number| stat_field(stat, number)),
            [250, 50, 7, 3, 12345].map(Some)
        );
        assert_eq!(stat_field("", 14), None);
    }

    #[test]
    fn this_process_has_memory_an_age_and_a_descriptor() {
        let own = Process::read("self");
        assert!(own.resident_bytes.unwrap() > 100_000 && own.start_time.unwrap() > 1e9, "{own:?}");
        assert!(own.open_fds.unwrap() >= 3 && own.cpu_ticks.is_some(), "{own:?}");
        assert_eq!(Process::read("0"), Process::default(), "there is no process 0");
    }
}
