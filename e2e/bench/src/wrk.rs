//! wrk: load from a program that is not ours, to this host only.
//!
//! Owns its bounds: so many connections for so many seconds.

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

/// Load to make.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Threads of wrk.
    pub threads: u32,
    /// Connections.
    pub connections: u32,
    /// Seconds that it lasts.
    pub seconds: u32,
    /// Milliseconds that a connection rests after each answer; 0: none.
    pub rest: u32,
}

/// A wrk at work.
pub struct Wrk {
    child: Child,
    _folder: TempDir,
}

/// What it counted.
#[derive(Clone, Copy, Debug)]
pub struct Tally {
    /// Answers a second.
    pub rate: f64,
    /// Answers.
    pub requests: f64,
    /// Answers other than 2xx and 3xx, socket errors, time-outs.
    pub failed: f64,
    /// Milliseconds that 99 % of the answers took at most.
    pub p99: f64,
    /// Milliseconds that the slowest took.
    pub slowest: f64,
}

impl Load {
    /// Its command line, for people.
    pub fn words(&self) -> String {
        let rest = if self.rest == 0 {
            String::new()
        } else {
            format!(", each resting {} ms after an answer", self.rest)
        };
        format!("`wrk -t{} -c{} -d{}s`{rest}", self.threads, self.connections, self.seconds)
    }

    /// Begins. The rest, and all figures of the report, are wrk's own.
    pub fn start(&self, address: SocketAddr, path: &str) -> anyhow::Result<Wrk> {
        ensure!(address.ip().is_loopback(), "load goes to this host only, not to {address}");
        let folder = tempfile::tempdir()?;
        let script = folder.path().join("report.lua");
        let delay = if self.rest == 0 {
            String::new()
        } else {
            format!("function delay() return {} end\n", self.rest)
        };
        fs::write(&script, delay + REPORT)?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "--", "wrk", "-t", &self.threads.to_string()]);
        command.args(["-c", &self.connections.to_string(), "-d", &format!("{}s", self.seconds), "--latency"]);
        command.arg("-s").arg(&script).arg(format!("http://{address}{path}"));
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("failed to start wrk")?;
        Ok(Wrk { child, _folder: folder })
    }

    /// Runs to its end.
    pub fn run(&self, address: SocketAddr, path: &str) -> anyhow::Result<Tally> {
        self.start(address, path)?.finish()
    }
}

const REPORT: &str = r#"
function done(summary, latency, requests)
  local e = summary.errors
  print(string.format("tally %d %d %d %d %d", summary.requests, summary.duration,
    e.status + e.connect + e.read + e.write + e.timeout, latency:percentile(99), latency.max))
end
"#;

impl Wrk {
    /// Waits for its end.
    pub fn finish(self) -> anyhow::Result<Tally> {
        let output = self.child.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        parse(&text).with_context(|| format!("wrk said: {text}"))
    }
}

fn parse(text: &str) -> Option<Tally> {
    let line = text.lines().find_map(|line| line.strip_prefix("tally "))?;
    let numbers: Vec<f64> = line.split(' ').map_while(|word| word.parse().ok()).collect();
    let [requests, micros, failed, p99, slowest] = numbers[..] else { return None };
    Some(Tally { rate: requests / (micros / 1e6), requests, failed, p99: p99 / 1e3, slowest: slowest / 1e3 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tally_is_read_in_its_units() {
        let tally = parse("Running 2s test\n  noise\ntally 3000 2000000 4 1500 20000\n").unwrap();
        assert!((tally.rate - 1500.0).abs() < 1e-9 && (tally.p99 - 1.5).abs() < 1e-9);
        assert!((tally.failed - 4.0).abs() < 1e-9 && (tally.slowest - 20.0).abs() < 1e-9);
        assert!(parse("unable to connect").is_none());
    }
}
