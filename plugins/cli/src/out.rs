//! What commands print, to somebody who may have left: `hotbay check m.so | head -1`.
//!
//! Owns that this is no crash: the first line that nobody reads ends a command without a word. Must not be gone round by `println`, which panics.

use std::fmt::Display;
use std::io::{ErrorKind, Write as _, stderr, stdout};
use std::process::ExitCode;

use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::FileType;
use rustix::process::Signal;

/// Nobody reads standard output any more.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads what is printed")]
pub(crate) struct Closed;

impl Closed {
    /// As shells tell of a program that SIGPIPE has ended: what was asked for is not done, so that it is no success.
    pub fn exit_code() -> ExitCode {
        ExitCode::from(128 + 13)
    }
}

/// Prints a line.
///
/// # Errors
/// [`Closed`], or why else it cannot be written.
pub(crate) fn line(text: impl Display) -> anyhow::Result<()> {
    text_as_it_is(format_args!("{text}\n"))
}

/// Prints text that has its line ends.
///
/// # Errors
/// As [`line`].
pub(crate) fn text_as_it_is(text: impl Display) -> anyhow::Result<()> {
    let mut stdout = stdout().lock();
    match write!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Closed.into()),
        written => written.context("failed to write to standard output"),
    }
}

/// Says something on standard error. Whether it is heard changes nothing.
pub(crate) fn say(text: impl Display) {
    let _ = writeln!(stderr().lock(), "{text}");
}

/// Ends a command that serves, as SIGTERM does, when standard error is a pipe that nobody reads any more: who looked at it has gone away.
///
/// # Errors
/// When the system refuses a thread.
pub(crate) fn end_with_reader() -> anyhow::Result<()> {
    let is_pipe = rustix::fs::fstat(stderr())
        .is_ok_and(|about| FileType::from_raw_mode(about.st_mode) == FileType::Fifo);
    if !is_pipe {
        return Ok(());
    }
    let watch = || {
        let stderr = stderr();
        // That the reader has left is told without being asked for.
        let mut reader = [PollFd::new(&stderr, PollFlags::empty())];
        loop {
            match poll(&mut reader, None) {
                Ok(_) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
        }
        // Of our own process there is nothing to refuse.
        let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::TERM);
    };
    std::thread::Builder::new().name("reader".to_owned()).spawn(watch).context("failed to start a thread")?;
    Ok(())
}
