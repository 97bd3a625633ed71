//! wrk: HTTP/1.1 load from a program that is not ours.
//!
//! Owns its bound: each connection rests between an answer and the next request, so that two cores have room for what is tested, and its figures
//! are of a load that the host could carry.

use std::io::Write;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::NamedTempFile;
use tokio::process::{Child, Command};

use super::node::Process;

/// One thread, and so many connections.
const CONNECTIONS: &str = "8";
/// It is stopped by a signal; this bounds it if the test dies.
const LONGEST: &str = "600";
/// A request that takes longer has failed, as in `load`. Its own two seconds pass on a machine that stands still for a moment.
const TIME_LIMIT: &str = "10s";

/// `delay` is the rest in milliseconds; `done` prints what the usual report rounds.
const SCRIPT: &str = r#"
function delay() return 4 end
function done(summary, latency, requests)
  local e = summary.errors
  print(string.format("tally %d %d %d %d %d %d %d", summary.requests, summary.duration, e.status, e.connect, e.read, e.write, e.timeout))
end
"#;

/// A running wrk.
pub struct Wrk {
    child: Child,
    _script: NamedTempFile,
}

/// What it counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WrkTally {
    /// Answers.
    pub requests: u64,
    /// Between the first and the last.
    pub time: Duration,
    /// Answers with 4xx and 5xx.
    pub bad_answers: u64,
    /// Connections that failed, and reads and writes on connections that stood.
    pub socket_errors: u64,
    /// Requests without an answer in time.
    pub timeouts: u64,
}

impl Wrk {
    /// Starts it, in the network namespace of `neighbour` if there is one: then the load travels as it does between pods.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(address: SocketAddr, path: &str, neighbour: Option<&Process>) -> Self {
        let mut script = NamedTempFile::new().expect("a temporary file can be made");
        script.write_all(SCRIPT.as_bytes()).expect("the file can be written");
        let mut command = match neighbour {
            None => Command::new("wrk"),
            Some(process) => {
                let mut command = Command::new("nsenter");
                // Entering no PID namespace, it becomes wrk itself, and so gets the signal that stops it.
                command.args(["--target", &process.pid.to_string(), "--net", "--", "wrk"]);
                command
            }
        };
        command
            .args(["-t1", "-c", CONNECTIONS, "-d", LONGEST, "--timeout", TIME_LIMIT, "-s"])
            .arg(script.path());
        command.arg(format!("http://{address}{path}"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        Self { child: command.spawn().expect("wrk can be started"), _script: script }
    }

    /// Stops it as Ctrl-C would, and reads what it counted.
    ///
    /// # Panics
    /// When it prints something else.
    pub async fn stop(self) -> WrkTally {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())).expect("wrk still runs");
        kill_process(pid, Signal::INT).expect("wrk still runs");
        let output = self.child.wait_with_output().await.expect("wrk ends");
        let text = String::from_utf8_lossy(&output.stdout);
        let numbers = text
            .lines()
            .find_map(|line| line.strip_prefix("tally "))
            .unwrap_or_else(|| panic!("wrk: {text}"));
        let numbers: Vec<u64> =
            numbers.split(' ').map(|number| number.parse().expect("wrk prints numbers")).collect();
        let [requests, micros, bad_answers, connect, read, write, timeouts] = numbers[..] else {
            panic!("wrk: {text}")
        };
        let time = Duration::from_micros(micros);
        WrkTally { requests, time, bad_answers, socket_errors: connect + read + write, timeouts }
    }
}

impl WrkTally {
    /// Requests that failed.
    pub fn failed(&self) -> u64 {
        self.bad_answers + self.socket_errors + self.timeouts
    }

    /// Adds another stretch of the same load.
    pub fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.time += other.time;
        self.bad_answers += other.bad_answers;
        self.socket_errors += other.socket_errors;
        self.timeouts += other.timeouts;
    }

    /// Answers a second.
    pub fn rate(&self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
        let requests = self.requests as f64;
        requests / self.time.as_secs_f64()
    }
}
