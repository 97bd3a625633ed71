//! Signals as something to read, for a single-threaded process.
//!
//! Owns blocking them and the descriptor that they arrive on. No handler runs, so a signal never interrupts the program between two
//! statements. A child must be given an empty mask again: [`crate::process::spawn`] does that.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

/// SIGHUP's number.
pub const HANGUP: i32 = libc::SIGHUP;
/// SIGINT's number.
pub const INTERRUPT: i32 = libc::SIGINT;
/// SIGTERM's number.
pub const TERMINATE: i32 = libc::SIGTERM;
/// SIGCHLD's number.
pub const CHILD: i32 = libc::SIGCHLD;
/// SIGKILL's number.
pub const KILL: i32 = libc::SIGKILL;
/// SIGSEGV's number.
pub const SEGV: i32 = libc::SIGSEGV;

/// Blocked signals, readable one by one.
#[derive(Debug)]
pub struct Signals {
    fd: OwnedFd,
}

impl Signals {
    /// Blocks `signals` in this thread (and those that it starts) and makes them readable.
    ///
    /// # Errors
    /// When a number is no signal or there is no descriptor left.
    pub fn block(signals: &[i32]) -> io::Result<Self> {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigemptyset initialises the set before anything reads it; the others take an initialised set and plain numbers.
        let fd = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            for &signal in signals {
                check(libc::sigaddset(set.as_mut_ptr(), signal))?;
            }
            let failed = libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
            if failed != 0 {
                return Err(io::Error::from_raw_os_error(failed));
            }
            check(libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))?
        };
        // SAFETY: signalfd has just made it, and nobody else knows it.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// The next signal's number, or `None` if none is pending. Several of one kind may arrive as one.
    ///
    /// # Errors
    /// When the kernel fails to read.
    pub fn next(&self) -> io::Result<Option<i32>> {
        let mut info = [0; size_of::<libc::signalfd_siginfo>()];
        match rustix::io::retry_on_intr(|| rustix::io::read(&self.fd, &mut info)) {
            // The structure begins with ssi_signo.
            Ok(_) => Ok(Some(i32::from_ne_bytes([info[0], info[1], info[2], info[3]]))),
            Err(rustix::io::Errno::AGAIN) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A signal's name, `signal 77` for one without.
pub fn name(signal: i32) -> String {
    let name = match signal {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGALRM => "SIGALRM",
        libc::SIGTERM => "SIGTERM",
        libc::SIGSYS => "SIGSYS",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGXFSZ => "SIGXFSZ",
        _ => return format!("signal {signal}"),
    };
    name.to_owned()
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocked_signal_is_read_and_ends_nothing() {
        // SIGHUP would end the process. It is sent to this thread alone, since the harness's others do not block it.
        let signals = Signals::block(&[HANGUP]).unwrap();
        assert_eq!(signals.next().unwrap(), None);
        // SAFETY: raise takes a number and touches no memory.
        unsafe { libc::raise(HANGUP) };
        assert_eq!(signals.next().unwrap(), Some(HANGUP));
        assert_eq!(signals.next().unwrap(), None);
    }
}
