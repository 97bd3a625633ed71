//! A thread of this process, as another thread of it sees it: what it has burnt, and whether it runs.
//!
//! Owns the reading of its CPU clock and of its line in /proc. Judges nothing.

use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

/// Names a thread to others. Good for as long as the thread lives; later its readings are errors, or another thread's.
#[derive(Clone, Copy, Debug)]
pub struct ThreadId {
    number: i32,
    clock: libc::clockid_t,
}

/// What the kernel says that a thread is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// It runs, or would if it were let: also one that is throttled, or waits for a CPU.
    Runs,
    /// It waits for something, with or without ears for signals.
    Sleeps,
    /// Somebody has stopped it, or it ends.
    Stopped,
}

impl ThreadId {
    /// The calling thread.
    ///
    /// # Errors
    /// When the kernel has no CPU clock for it.
    pub fn current() -> io::Result<Self> {
        let mut clock = MaybeUninit::uninit();
        // SAFETY: pthread_self cannot fail and names a live thread, this one; the clock's number is ours to be written.
        let error = unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), clock.as_mut_ptr()) };
        if error != 0 {
            return Err(io::Error::from_raw_os_error(error));
        }
        // SAFETY: pthread_getcpuclockid has written it, for it answered 0.
        let clock = unsafe { clock.assume_init() };
        Ok(Self { number: rustix::thread::gettid().as_raw_pid(), clock })
    }

    /// CPU time that it has used.
    ///
    /// # Errors
    /// When the thread is gone.
    pub fn cpu_time(self) -> io::Result<Duration> {
        let mut time = MaybeUninit::<libc::timespec>::uninit();
        // SAFETY: clock_gettime takes any number for a clock, and writes a whole timespec or fails.
        if unsafe { libc::clock_gettime(self.clock, time.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it answered 0, so it has written.
        let time = unsafe { time.assume_init() };
        let (secs, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
        Ok(Duration::new(secs.unwrap_or(0), nanos.unwrap_or(0)))
    }

    /// What it is doing.
    ///
    /// # Errors
    /// When the thread is gone, or /proc is not what it should be.
    pub fn state(self) -> io::Result<RunState> {
        let line = std::fs::read_to_string(format!("/proc/self/task/{}/stat", self.number))?;
        parse_state(&line).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no thread's state"))
    }
}

/// `12 (a name) S …`; the name may hold anything.
fn parse_state(line: &str) -> Option<RunState> {
    let (_, rest) = line.rsplit_once(") ")?;
    Some(match rest.chars().next()? {
        'R' => RunState::Runs,
        'S' | 'D' | 'I' => RunState::Sleeps,
        _ => RunState::Stopped,
    })
}

/// Has the calling thread give way to those that have not called this: so many steps of `nice`.
///
/// # Errors
/// When the kernel refuses.
pub fn give_way(steps: i32) -> io::Result<()> {
    // To Linux, "this process" is this thread.
    Ok(rustix::process::setpriority_process(None, steps)?)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_state_is_found_behind_any_name() {
        assert_eq!(parse_state("7 (worker) R 1 7"), Some(RunState::Runs));
        assert_eq!(parse_state("7 (a) R (b) D 1 7"), Some(RunState::Sleeps));
        assert_eq!(parse_state("7 (worker) t 1 7"), Some(RunState::Stopped));
        assert_eq!(parse_state("nonsense"), None);
    }

    #[test]
    fn a_thread_that_waits_burns_nothing_and_one_that_works_does() {
        let (names_tx, names) = mpsc::channel();
        let (work, worked) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            names_tx.send(ThreadId::current().unwrap()).unwrap();
            worked.recv().unwrap();
            let mine = ThreadId::current().unwrap();
            let before = mine.cpu_time().unwrap();
            while mine.cpu_time().unwrap() - before < Duration::from_millis(20) {}
            names_tx.send(mine).unwrap();
            worked.recv().unwrap_err();
        });
        let other = names.recv().unwrap();
        wait_for("it waits for us", || other.state().ok() == Some(RunState::Sleeps));
        let before = other.cpu_time().unwrap();
        work.send(()).unwrap();
        assert_eq!(names.recv().unwrap().number, other.number);
        assert!(other.cpu_time().unwrap() - before >= Duration::from_millis(20));
        drop(work);
        thread.join().unwrap();
        // The kernel takes a moment longer to forget it.
        wait_for("it is gone", || other.state().is_err());
    }

    fn wait_for(what: &str, is: impl Fn() -> bool) {
        let until = Instant::now() + Duration::from_secs(60);
        while !is() {
            assert!(Instant::now() < until, "{what}");
            std::thread::yield_now();
        }
    }

    #[test]
    fn only_the_thread_that_asked_gives_way() {
        let nice = |thread| rustix::process::getpriority_process(thread).unwrap();
        let before = nice(None);
        std::thread::spawn(move || {
            give_way(before + 3).unwrap();
            assert_eq!(nice(None), before + 3);
        })
        .join()
        .unwrap();
        assert_eq!(nice(None), before);
    }
}
