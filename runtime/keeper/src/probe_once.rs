//! One probe for a program that keeps no engine: `hotbay check`.
//!
//! Owns the wait for its end. What a probe may do and what its end means are those of every probe: `probe_run`.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::time::Instant;

use hotbay_api::Digest;
use hotbay_protocol::ProbeOutcome;
use hotbay_sys::process;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::probe_run::ProbeRun;

/// Loads the staged build `path`, whose name says its digest, in a child: `command` with the path added. Waits for its end, some seconds at most.
///
/// # Errors
/// When the child cannot be started or waited for. To be called where this process has no other children: it reaps any.
pub fn probe(command: &[OsString], digest: Digest, path: &Path) -> io::Result<ProbeOutcome> {
    let mut run = ProbeRun::start(command, digest, path, Instant::now())?;
    let pid = Pid::from_raw(run.pid).ok_or(io::ErrorKind::InvalidInput)?;
    // Readable when it has ended.
    let ended = pidfd_open(pid, PidfdFlags::empty())?;
    loop {
        let now = Instant::now();
        run.turn(now);
        let due = run.due().map(|due| due.saturating_duration_since(now));
        let due = due.map(Timespec::try_from).transpose().map_err(io::Error::other)?;
        let mut events = vec![PollFd::new(&ended, PollFlags::IN)];
        events.extend(run.readable().as_ref().map(|output| PollFd::from_borrowed_fd(*output, PollFlags::IN)));
        match poll(&mut events, due.as_ref()) {
            Err(rustix::io::Errno::INTR) => continue,
            polled => polled?,
        };
        if !events[0].revents().is_empty() {
            break;
        }
    }
    loop {
        let child = process::reap()?.ok_or(io::ErrorKind::NotFound)?;
        if child.pid == run.pid {
            return Ok(run.end(child.how));
        }
    }
}
