//! Children, and this process as their parent.
//!
//! Owns what must happen between fork and exec, and reaping. A child dies with the thread that started it, leads a process group of its own
//! and blocks no signal but those that its parent says it will take later. Reaping takes whatever has ended, so `std::process::Child::wait` must not be used beside it.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{ChildStdout, Command};

use rustix::process::{DumpableBehavior, Pid, Signal, WaitOptions};

use crate::signals;

/// The descriptor that a child finds its socket on.
pub const CHILD_SOCKET: RawFd = 3;

/// A child that runs. Dropping it neither ends nor reaps it.
#[derive(Debug)]
pub struct Spawned {
    /// Its process id, and that of its group.
    pub pid: i32,
    /// What it writes, if the command pipes it.
    pub stdout: Option<ChildStdout>,
}

/// A child that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its process id, which is free again.
    pub pid: i32,
    /// How it ended.
    pub how: Ending,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
}

/// Starts `command` in a group of its own, with an empty signal mask, to be killed when this thread ends; `socket` becomes its
/// [`CHILD_SOCKET`].
///
/// # Errors
/// When there is no such program or no room for a process.
pub fn spawn(command: Command, socket: Option<OwnedFd>) -> io::Result<Spawned> {
    start(command, socket, &[])
}

/// As [`spawn`] without a socket, but the child begins with `signals` blocked: one that comes before it listens waits until it does, instead of
/// ending it. For children that take them by [`signals::Signals`], or by handlers and then [`signals::unblock`].
///
/// # Errors
/// When there is no such program or no room for a process, or a number is no signal.
pub fn spawn_with_blocked(command: Command, signals: &[i32]) -> io::Result<Spawned> {
    start(command, None, signals)
}

fn start(mut command: Command, socket: Option<OwnedFd>, blocked: &[i32]) -> io::Result<Spawned> {
    let mask = signals::set_of(blocked)?;
    // A copy from 3 upwards: either it is 3, or 3 is taken. So the pipe over which std reports a failed exec cannot be on 3.
    let socket = socket.map(|fd| rustix::io::fcntl_dupfd_cloexec(fd, CHILD_SOCKET)).transpose()?;
    let raw = socket.as_ref().map(AsRawFd::as_raw_fd);
    let parent = rustix::process::getpid();
    command.process_group(0);
    // SAFETY: `before_exec` calls only what is async-signal-safe, and allocates nothing. `raw` is open: `socket` is dropped after the spawn.
    unsafe { command.pre_exec(move || before_exec(raw, parent, &mask)) };
    let mut child = command.spawn()?;
    drop(socket);
    Ok(Spawned { pid: i32::try_from(child.id()).unwrap_or(i32::MAX), stdout: child.stdout.take() })
}

/// Has a child that `command` starts end with SIGTERM when the thread ends that started it.
pub fn end_with_parent(command: &mut Command) {
    let ask = || Ok(rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?);
    // SAFETY: it is one prctl, which is async-signal-safe and allocates nothing.
    unsafe { command.pre_exec(ask) };
}

/// Runs in the child, between fork and exec.
fn before_exec(socket: Option<RawFd>, parent: Pid, mask: &libc::sigset_t) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // The parent may have died before that took effect.
    if rustix::process::getppid() != Some(parent) {
        return Err(io::Error::from(rustix::io::Errno::SRCH));
    }
    // SAFETY: the set is initialised; dup2 and fcntl take numbers, and the child owns all of its descriptors.
    unsafe {
        libc::sigprocmask(libc::SIG_SETMASK, mask, std::ptr::null_mut());
        let inherited = match socket {
            // dup2 onto itself would leave close-on-exec set.
            Some(CHILD_SOCKET) => libc::fcntl(CHILD_SOCKET, libc::F_SETFD, 0),
            Some(socket) => libc::dup2(socket, CHILD_SOCKET),
            None => 0,
        };
        if inherited < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// The socket that [`spawn`] gave this process. To be called once, before anything else opens descriptors.
///
/// # Errors
/// When there is none: the process was not started by a keeper.
pub fn inherited_socket() -> io::Result<OwnedFd> {
    use std::os::fd::FromRawFd;
    // SAFETY: fcntl takes numbers, and fails on a descriptor that is not open.
    if unsafe { libc::fcntl(CHILD_SOCKET, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and by this function's rule nobody else in this process has taken it.
    Ok(unsafe { OwnedFd::from_raw_fd(CHILD_SOCKET) })
}

/// A child that has ended, if there is one. What is left of the group that it led is killed with it. Never waits.
///
/// # Errors
/// When the kernel fails; having no children is no error.
pub fn reap() -> io::Result<Option<Ended>> {
    // The look leaves the child a zombie: until it is reaped, neither its number nor its group's can become another's.
    let Some(pid) = look()? else { return Ok(None) };
    if pid.as_raw_pid() > 1 {
        kill_group(pid.as_raw_pid())?;
    }
    let reaped = rustix::io::retry_on_intr(|| rustix::process::waitpid(Some(pid), WaitOptions::NOHANG));
    let Some((pid, status)) = reaped? else { return Ok(None) };
    let how = match status.terminating_signal() {
        Some(signal) => Ending::Signaled(signal),
        None => Ending::Exited(status.exit_status().unwrap_or_default()),
    };
    Ok(Some(Ended { pid: pid.as_raw_pid(), how }))
}

/// A child that has ended and is not reaped yet.
fn look() -> io::Result<Option<Pid>> {
    loop {
        // SAFETY: a zeroed siginfo_t is valid, waitid writes a whole one or none, and si_pid is what it writes.
        let (result, pid) = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
            (libc::waitid(libc::P_ALL, 0, &mut info, options), info.si_pid())
        };
        if result == 0 {
            return Ok(Pid::from_raw(pid));
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::ECHILD) => return Ok(None),
            Some(libc::EINTR) => {}
            _ => return Err(error),
        }
    }
}

/// Sends SIGKILL to a child's whole group. One that has already gone is no error. Only for a child that was not reaped yet: later its number
/// may be another's.
///
/// # Errors
/// When the kernel refuses.
pub fn kill_group(pid: i32) -> io::Result<()> {
    signal(pid, |pid| rustix::process::kill_process_group(pid, Signal::KILL))
}

/// Sends SIGKILL to a process. One that has already gone is no error.
///
/// # Errors
/// When the kernel refuses.
pub fn kill(pid: i32) -> io::Result<()> {
    signal(pid, |pid| rustix::process::kill_process(pid, Signal::KILL))
}

fn signal(pid: i32, send: impl Fn(Pid) -> rustix::io::Result<()>) -> io::Result<()> {
    // 0, 1 and negative numbers mean groups, everybody, or init.
    let Some(pid) = Some(pid).filter(|&pid| pid > 1).and_then(Pid::from_raw) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not the id of a child"));
    };
    match send(pid) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Ends this process at once: no destructors, no `atexit` functions. Foreign threads may still run, and foreign destructors may not return.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` takes a plain number and does not return.
    unsafe { libc::_exit(code) }
}

/// Makes orphans among this process's descendants its children, so that [`reap`] finds them.
///
/// # Errors
/// When the kernel refuses.
pub fn become_subreaper() -> io::Result<()> {
    // Any number other than none switches it on.
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}

/// Says whether other processes of this user may look into this one's memory and descriptors, and whether it leaves core files.
///
/// # Errors
/// When the kernel refuses.
pub fn set_dumpable(dumpable: bool) -> io::Result<()> {
    let behavior = if dumpable { DumpableBehavior::Dumpable } else { DumpableBehavior::NotDumpable };
    Ok(rustix::process::set_dumpable_behavior(behavior)?)
}
