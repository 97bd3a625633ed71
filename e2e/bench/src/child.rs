//! Programs that the benchmark starts, and their end.
//!
//! Owns that each ends with the benchmark, however that ends: `setpriv --pdeathsig` has the kernel send it SIGTERM, which all of them heed.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long a program may take to end when it is asked to.
const END: Duration = Duration::from_secs(40);

/// A running program.
pub struct Running {
    child: Child,
    lines: Receiver<(Instant, String)>,
}

impl Running {
    /// Starts it; what it says on standard error can be waited for.
    pub fn start(program: &OsStr, args: &[&OsStr], environment: &[(&str, &str)]) -> anyhow::Result<Self> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "--"]).arg(program).args(args);
        // A runner's own settings are not what is measured.
        for name in ["HOTBAY_LOG", "HOTBAY_LOG_FORMAT", "HOTBAY_DRAIN_TIMEOUT", "HOTBAY_WORKERS"] {
            command.env_remove(name);
        }
        command.envs(environment.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let name = program.to_string_lossy().into_owned();
        let mut child = command.spawn().with_context(|| format!("failed to start {name}"))?;
        let (sender, lines) = channel();
        if let Some(stderr) = child.stderr.take() {
            // Ends with the program.
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    if sender.send((Instant::now(), line)).is_err() {
                        break;
                    }
                }
            });
        }
        Ok(Self { child, lines })
    }

    /// Waits until it says a line that holds `words`, and returns when that was. Lines before are forgotten.
    pub fn says(&self, words: &str, within: Duration) -> anyhow::Result<Instant> {
        self.line(words, within).map(|(at, _)| at)
    }

    /// The same, with the line.
    pub fn line(&self, words: &str, within: Duration) -> anyhow::Result<(Instant, String)> {
        let until = Instant::now() + within;
        let mut last = String::new();
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok((at, line)) if line.contains(words) => return Ok((at, line)),
                Ok((_, line)) => last = line,
                Err(RecvTimeoutError::Timeout) => {
                    bail!("no line with {words:?} in {within:?}; the last was {last:?}")
                }
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("it ended without a line with {words:?}; the last was {last:?}")
                }
            }
        }
    }

    /// Forgets what it has said.
    pub fn forget(&self) {
        while self.lines.try_recv().is_ok() {}
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Asks it to end, and waits until it has.
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.end()
    }

    fn end(&mut self) -> anyhow::Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        signal(self.pid(), Signal::TERM)?;
        let until = Instant::now() + END;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > until {
                self.child.kill()?;
                self.child.wait()?;
                bail!("process {} did not end in {END:?} and was killed", self.pid());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("bench: {error:#}");
        }
    }
}

/// Sends a signal.
pub fn signal(pid: i32, signal: Signal) -> anyhow::Result<()> {
    let id = Pid::from_raw(pid).context("a process id is positive")?;
    kill_process(id, signal).with_context(|| format!("failed to signal process {pid}"))
}

/// The processes that `pid` has started, with their command lines.
pub fn children(pid: i32) -> Vec<(i32, Vec<String>)> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let pids = list.split_whitespace().filter_map(|word| word.parse().ok());
    pids.map(|pid| (pid, command_line(pid))).collect()
}

fn command_line(pid: i32) -> Vec<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|&byte| byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// Resident memory in MiB.
pub fn resident(pid: i32) -> anyhow::Result<f64> {
    Ok(status(pid, "VmRSS:")? / 1024.0)
}

/// The most resident memory that it ever had, in MiB.
pub fn peak(pid: i32) -> anyhow::Result<f64> {
    Ok(status(pid, "VmHWM:")? / 1024.0)
}

/// Threads.
pub fn threads(pid: i32) -> anyhow::Result<f64> {
    status(pid, "Threads:")
}

/// A number of the kernel's list of facts, in its unit.
fn status(pid: i32, name: &str) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let number = status.lines().find_map(|line| line.strip_prefix(name));
    let number = number.with_context(|| format!("{name} is not there"))?;
    Ok(number.trim().trim_end_matches(" kB").parse()?)
}

/// Open files, sockets and the like.
pub fn descriptors(pid: i32) -> anyhow::Result<f64> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.map(|_| 1.0).sum())
}

/// Pieces of the address space, of which the kernel allows a process 65,530 by default.
pub fn mappings(pid: i32) -> anyhow::Result<f64> {
    Ok(fs::read_to_string(format!("/proc/{pid}/maps"))?.lines().map(|_| 1.0).sum())
}

/// User and system time so far of a process and of those that it has started, in seconds.
pub fn cpu_seconds(pids: &[i32]) -> f64 {
    let ticks = |pid: &i32| -> f64 {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // After the name, which may hold anything; there utime and stime are the 12th and 13th.
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        rest.split_whitespace().skip(11).take(2).filter_map(|word| word.parse::<f64>().ok()).sum()
    };
    // The kernel's USER_HZ, which is 100 on every architecture that we build for.
    pids.iter().map(ticks).sum::<f64>() / 100.0
}
