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

use hotbay_api::{Digest, Trouble};
use hotbay_protocol::ProbeOutcome;
use hotbay_sys::process::{self, Ending};
use hotbay_sys::signals;

use crate::child::program;

/// For dlopen, entry function and self-test; they take some milliseconds.
const TIME_LIMIT: Duration = Duration::from_secs(2);
/// The answer is the last line; a chatty build's other output is read and dropped, so that it does not wait for us.
const OUTPUT_BYTES: usize = 4096;

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

    /// Reads what there is, and ends the probe when its time is over.
    pub fn turn(&mut self, now: Instant) {
        self.read();
        if !self.timed_out && self.deadline <= now {
            self.timed_out = true;
            if let Err(error) = process::kill_group(self.pid) {
                tracing::error!(digest = %self.digest.short(), %error, "probe cannot be killed");
            }
        }
    }

    /// What the end of the process means.
    pub fn end(mut self, how: Ending) -> ProbeOutcome {
        self.read();
        if self.timed_out && how == Ending::Signaled(signals::KILL) {
            ProbeOutcome::TimedOut
        } else {
            outcome(how, &self.output)
        }
    }

    fn read(&mut self) {
        let mut buffer = [0; OUTPUT_BYTES];
        while let Some(stdout) = &mut self.stdout {
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
fn outcome(how: Ending, output: &[u8]) -> ProbeOutcome {
    let last = output.trim_ascii_end().rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
    match (how, serde_json::from_slice::<Trouble>(last)) {
        (Ending::Exited(0), _) => ProbeOutcome::Passed,
        (Ending::Exited(1), Ok(Trouble { reason, message })) => ProbeOutcome::Refused { reason, message },
        (Ending::Exited(code), _) => {
            ProbeOutcome::Crashed { message: format!("loading it ended the probe with exit code {code}") }
        }
        (Ending::Signaled(signal), _) => ProbeOutcome::Crashed {
            message: format!("loading it ended the probe by {}", signals::name(signal)),
        },
    }
}

#[cfg(test)]
mod tests {
    use hotbay_api::Reason;

    use super::*;

    #[test]
    fn only_exit_0_is_a_pass_and_only_exit_1_with_a_reason_a_refusal() {
        let answer = b"chatter\n{\"reason\": \"StaticTls\", \"message\": \"no room\"}\n";
        let refused = ProbeOutcome::Refused { reason: Reason::StaticTls, message: "no room".into() };
        let crashed =
            |what: &str| ProbeOutcome::Crashed { message: format!("loading it ended the probe {what}") };
        assert_eq!(outcome(Ending::Exited(0), b""), ProbeOutcome::Passed);
        assert_eq!(outcome(Ending::Exited(1), answer), refused);
        assert_eq!(outcome(Ending::Exited(1), b"chatter\n"), crashed("with exit code 1"));
        assert_eq!(outcome(Ending::Exited(2), answer), crashed("with exit code 2"));
        assert_eq!(outcome(Ending::Signaled(6), answer), crashed("by SIGABRT"));
    }
}
