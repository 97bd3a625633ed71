//! The process's own figures, under the names that every dashboard knows.
//!
//! Owns their reading from /proc at each scrape; what cannot be read is left out.

use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Linux tells user space times in hundredths of a second, whatever the kernel's own tick is.
const TICKS_PER_SECOND: f64 = 100.0;
/// Fields of /proc/self/stat after the name in brackets, counted from 0.
const USER_TICKS: usize = 11;
const SYSTEM_TICKS: usize = 12;
const START_TICKS: usize = 19;

/// Reads /proc when it is asked.
#[derive(Debug)]
pub struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let mut put = |name: &str, help: &str, metric: Option<&dyn Encode>| match metric {
            Some(metric) => metric.put(&mut encoder, name, help),
            None => Ok(()),
        };
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let resident = bytes_of(&status, "VmRSS:").map(ConstGauge::new);
        let virtual_bytes = bytes_of(&status, "VmSize:").map(ConstGauge::new);
        let threads = field(&status, "Threads:").map(ConstGauge::new);
        let cpu = cpu_seconds(&stat).map(ConstCounter::new);
        let start = start_seconds(&stat).map(ConstGauge::new);
        let open = fs::read_dir("/proc/self/fd").ok().and_then(|fds| i64::try_from(fds.count()).ok());
        let most = fs::read_to_string("/proc/self/limits").ok().and_then(|limits| max_fds(&limits));
        let (open, most) = (open.map(ConstGauge::new), most.map(ConstGauge::new));
        put("process_resident_memory_bytes", "Memory that is in RAM", some(&resident))?;
        put("process_virtual_memory_bytes", "Address space", some(&virtual_bytes))?;
        put("process_threads", "Threads", some(&threads))?;
        put("process_cpu_seconds", "CPU time, user and system", some(&cpu))?;
        put("process_start_time_seconds", "When the process began, since 1970", some(&start))?;
        put("process_open_fds", "Open file descriptors", some(&open))?;
        put("process_max_fds", "The most that may be open", some(&most))
    }
}

/// A metric of either type.
trait Encode {
    fn put(&self, encoder: &mut DescriptorEncoder, name: &str, help: &str) -> std::fmt::Result;
}

impl<M: EncodeMetric> Encode for M {
    fn put(&self, encoder: &mut DescriptorEncoder, name: &str, help: &str) -> std::fmt::Result {
        let metric = encoder.encode_descriptor(name, help, None, self.metric_type())?;
        self.encode(metric)
    }
}

fn some<M: Encode>(metric: &Option<M>) -> Option<&dyn Encode> {
    metric.as_ref().map(|metric| metric as &dyn Encode)
}

fn field(status: &str, name: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn bytes_of(status: &str, name: &str) -> Option<i64> {
    Some(field(status, name)? * 1024)
}

/// A field of /proc/self/stat. The name before them may hold spaces and brackets itself.
fn ticks(stat: &str, index: usize) -> Option<f64> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(index)?.parse().ok()
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    Some((ticks(stat, USER_TICKS)? + ticks(stat, SYSTEM_TICKS)?) / TICKS_PER_SECOND)
}

fn start_seconds(stat: &str) -> Option<f64> {
    let boot = fs::read_to_string("/proc/stat").ok()?;
    let boot: f64 = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(boot + ticks(stat, START_TICKS)? / TICKS_PER_SECOND)
}

/// The soft limit; none if it is unlimited.
fn max_fds(limits: &str) -> Option<i64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_moves_no_field() {
        let stat = "7 (a) b)) S 1 2 3 4 5 6 7 8 9 10 150 50 13 14 15 16 17 18 4200 20";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(ticks(stat, START_TICKS), Some(4200.0));
    }

    #[test]
    fn the_soft_limit_counts() {
        assert_eq!(
            max_fds("Limit\nMax open files            1024                 4096   files\n"),
            Some(1024)
        );
        assert_eq!(max_fds("Max open files            unlimited            unlimited  files\n"), None);
    }
}
