//! Signals as something to read, for a single-threaded process.
//!
//! Owns blocking them and the descriptor that they arrive on. No handler runs, so a signal never interrupts the program between two
//! statements. A child must be given a mask of its own again: [`crate::process::spawn`] does that.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

/// SIGHUP's number.
pub const HANGUP: i32 = libc::SIGHUP;
/// SIGINT's number.
pub const INTERRUPT: i32 = libc::SIGINT;
/// SIGTERM's number.
pub const TERMINATE: i32 = libc::SIGTERM;
/// SIGUSR1's number.
pub const USER_1: i32 = libc::SIGUSR1;
/// SIGUSR2's number.
pub const USER_2: i32 = libc::SIGUSR2;
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
        let set = set_of(signals)?;
        change_mask(libc::SIG_BLOCK, &set)?;
        // SAFETY: the set is initialised, and the other arguments are plain numbers.
        let fd = unsafe { check(libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))? };
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

/// Has signals do nothing to this process, for as long as nobody sets a handler of his own. Programs that it starts have them as usual: unlike SIG_IGN, a
/// handler is not inherited over exec.
///
/// # Errors
/// When a number is no signal, or one that cannot be ignored.
pub fn ignore(signals: &[i32]) -> io::Result<()> {
    extern "C" fn nothing(_signal: libc::c_int) {}
    signals.iter().try_for_each(|&signal| {
        // SAFETY: a zeroed sigaction is valid and has an empty mask; the handler has the signature that goes without SA_SIGINFO and touches nothing, so it
        // may run at any moment. SA_ONSTACK: on the stack that a foreign thread may have set aside for handlers. SA_RESTART: calls of the system go on.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
            action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
            check(libc::sigaction(signal, &action, std::ptr::null_mut())).map(drop)
        }
    })
}

/// Lets signals come that this process began with blocked (see [`crate::process::spawn_with_blocked`]), once it has handlers for them. They then come to
/// this thread, and to those that it starts: it should be one that lives as long as the process.
///
/// # Errors
/// When a number is no signal.
pub fn unblock(signals: &[i32]) -> io::Result<()> {
    change_mask(libc::SIG_UNBLOCK, &set_of(signals)?)
}

/// A set of these signals.
pub(crate) fn set_of(signals: &[i32]) -> io::Result<libc::sigset_t> {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set before anything reads it; sigaddset takes an initialised one and a plain number.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for &signal in signals {
            check(libc::sigaddset(set.as_mut_ptr(), signal))?;
        }
        Ok(set.assume_init())
    }
}

/// Changes this thread's mask; `how` as in `sigprocmask(2)`.
fn change_mask(how: i32, set: &libc::sigset_t) -> io::Result<()> {
    // SAFETY: the set is initialised, and the old mask is not asked for.
    match unsafe { libc::pthread_sigmask(how, set, std::ptr::null_mut()) } {
        0 => Ok(()),
        failed => Err(io::Error::from_raw_os_error(failed)),
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
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGUSR2 => "SIGUSR2",
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
    fn an_ignored_signal_ends_nothing() {
        ignore(&[USER_1, USER_2]).unwrap();
        // SAFETY: raise takes a number and touches no memory.
        assert_eq!(unsafe { libc::raise(USER_1) }, 0);
        assert!(ignore(&[KILL]).is_err(), "this one cannot be ignored");
        let child = std::process::Command::new("cat").arg("/proc/self/status").output().unwrap();
        let status = String::from_utf8(child.stdout).unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim();
        let mask = u64::from_str_radix(mask, 16).unwrap();
        assert_eq!(mask & (1 << (USER_1 - 1) | 1 << (USER_2 - 1)), 0, "a child has them as usual: {mask:x}");
    }

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
