//! A probe's process: one staged build, loaded once by a child that may die of it.
//!
//! Owns its start, its time limit, its output and what its end means. A probe exits with 0 when the build loads; with 1 and a last line
//! `{"reason": …, "message": …}` when the build is refused; anything else is a crash.

use std::ffi::OsString;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::process::{ChildStdout, Stdio};
use std::time::{Duration, Instant};

use hotbay_api::{Digest, Reason, Trouble};
use hotbay_protocol::{ProbeOutcome, probe_passed};
use hotbay_sys::process::{self, Ending};
use hotbay_sys::signals;

use crate::child::program;

/// For dlopen, entry function and self-test; they take some milliseconds.
const TIME_LIMIT: Duration = Duration::from_secs(2);
/// The answer is the last line; a chatty build's other output is read and dropped, so that it does not wait for us.
const OUTPUT_BYTES: usize = 4096;
/// More than a pipe holds: what a probe says at its end is heard whole, and one that never stops talking does not keep us from its deadline.
const READS_A_TURN: usize = 32;

/// A probe that runs.
#[derive(Debug)]
pub struct ProbeRun {
    pub pid: i32,
    pub digest: Digest,
    deadline: Instant,
    timed_out: bool,
    stdout: Option<ChildStdout>,
    output: Vec<u8>,
}

impl ProbeRun {
    /// Starts `command` with the path added.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &[OsString], digest: Digest, path: &Path, now: Instant) -> io::Result<Self> {
        let mut command = program(command)?;
        command.arg(path).stdout(Stdio::piped());
        let child = process::spawn(command, None)?;
        if let Some(stdout) = &child.stdout {
            rustix::io::ioctl_fionbio(stdout, true)?;
        }
        let deadline = now + TIME_LIMIT;
        Ok(Self {
            pid: child.pid,
            digest,
            deadline,
            timed_out: false,
            stdout: child.stdout,
            output: Vec::new(),
        })
    }

    /// What to poll for output.
    pub fn readable(&self) -> Option<BorrowedFd<'_>> {
        self.stdout.as_ref().map(AsFd::as_fd)
    }

    /// When it will be killed.
    pub fn due(&self) -> Option<Instant> {
        Some(self.deadline).filter(|_| !self.timed_out)
    }

    /// Ends the probe when its time is over, and reads some of what there is.
    pub fn turn(&mut self, now: Instant) {
        if !self.timed_out && self.deadline <= now {
            self.timed_out = true;
            if let Err(error) = process::kill_group(self.pid) {
                tracing::error!(digest = %self.digest.short(), %error, "probe cannot be killed");
            }
        }
        self.read();
    }

    /// What the end of the process means.
    pub fn end(mut self, how: Ending) -> ProbeOutcome {
        self.read();
        if self.timed_out && how == Ending::Signaled(signals::KILL) {
            ProbeOutcome::TimedOut
        } else {
            outcome(self.digest, how, &self.output)
        }
    }

    fn read(&mut self) {
        let mut buffer = [0; OUTPUT_BYTES];
        for _ in 0..READS_A_TURN {
            let Some(stdout) = &mut self.stdout else { return };
            match stdout.read(&mut buffer) {
                Ok(length) if length > 0 => {
                    self.output.extend_from_slice(&buffer[..length]);
                    self.output.drain(..self.output.len().saturating_sub(OUTPUT_BYTES));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The end, or an error that will not go away.
                _ => self.stdout = None,
            }
        }
    }
}

/// The outcome by exit code and output.
fn outcome(digest: Digest, how: Ending, output: &[u8]) -> ProbeOutcome {
    let last = output.trim_ascii_end().rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
    match (how, serde_json::from_slice::<Trouble>(last)) {
        (Ending::Exited(0), _) if last == probe_passed(&digest).as_bytes() => ProbeOutcome::Passed,
        (Ending::Exited(1), Ok(Trouble { reason, message })) => ProbeOutcome::Refused { reason, message },
        (Ending::Exited(code), _) => {
            ProbeOutcome::Crashed { message: format!("loading it ended the probe with exit code {code}") }
        }
        // Not ours, see `end`: most likely the kernel's, for want of memory. Worth another try, unlike a crash.
        (Ending::Signaled(signals::KILL), _) => ProbeOutcome::Refused {
            reason: Reason::StartFailed,
            message: "the probe was killed from outside; is there enough memory?".to_owned(),
        },
        (Ending::Signaled(signal), _) => ProbeOutcome::Crashed {
            message: format!("loading it ended the probe by {}", signals::name(signal)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns until the probe has ended.
    fn run_to_end(script: &str) -> ProbeOutcome {
        let begin = Instant::now();
        let command: Vec<OsString> = ["/bin/sh", "-c", script].map(OsString::from).into();
        let mut probe = ProbeRun::start(&command, Digest::of(b""), Path::new("module"), begin).unwrap();
        let pid = rustix::process::Pid::from_raw(probe.pid).unwrap();
        loop {
            assert!(begin.elapsed() < Duration::from_secs(60), "the probe does not end");
            probe.turn(Instant::now());
            let waited = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::NOHANG).unwrap();
            if let Some((_, status)) = waited {
                let code = status.exit_status().map(Ending::Exited);
                return probe.end(code.unwrap_or(Ending::Signaled(signals::KILL)));
            }
        }
    }

    #[test]
    fn a_flood_of_output_does_not_outlast_the_deadline() {
        assert_eq!(run_to_end("exec cat /dev/zero"), ProbeOutcome::TimedOut);
    }

    #[test]
    fn a_probe_that_is_killed_from_outside_may_be_tried_again() {
        let outcome = outcome(Digest::of(b""), Ending::Signaled(signals::KILL), b"");
        assert!(matches!(outcome, ProbeOutcome::Refused { reason: Reason::StartFailed, .. }), "{outcome:?}");
    }

    #[test]
    fn only_exit_0_is_a_pass_and_only_exit_1_with_a_reason_a_refusal() {
        let answer = b"chatter\n{\"reason\": \"StaticTls\", \"message\": \"no room\"}\n";
        let refused = ProbeOutcome::Refused { reason: Reason::StaticTls, message: "no room".into() };
        let crashed =
            |what: &str| ProbeOutcome::Crashed { message: format!("loading it ended the probe {what}") };
        let digest = Digest::of(b"module");
        let outcome = |how, output: &[u8]| outcome(digest, how, output);
        assert_eq!(outcome(Ending::Exited(0), probe_passed(&digest).as_bytes()), ProbeOutcome::Passed);
        assert_eq!(
            outcome(Ending::Exited(0), b"chatter\n"),
            crashed("with exit code 0"),
            "the module exited by itself"
        );
        assert_eq!(outcome(Ending::Exited(1), answer), refused);
        assert_eq!(outcome(Ending::Exited(1), b"chatter\n"), crashed("with exit code 1"));
        assert_eq!(outcome(Ending::Exited(2), answer), crashed("with exit code 2"));
        assert_eq!(outcome(Ending::Signaled(6), answer), crashed("by SIGABRT"));
    }
}
