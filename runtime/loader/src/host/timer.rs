//! Timers: a handle is woken at a moment.
//!
//! Owns one thread for all of them, which begins with the first timer, and one entry for each handle that is armed: arming anew replaces it, and the end
//! of a call takes it out, so that nothing is left of a stale handle. Must not wake under its lock.
//!
//! Lock order: a slot's lock, then this module's. The thread holds neither while it wakes.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hotbay_abi as abi;
use hotbay_abi::{Handle, Rc};

use super::{guarded, now, wake_handle};
use crate::handle;

/// Longer waits are cut short and begun again: a module may name any moment.
const LONGEST_WAIT_NS: u64 = 3600 * 1_000_000_000;

static TIMERS: Timers = Timers { inner: Mutex::new(Inner::new()), sooner: Condvar::new() };

struct Timers {
    inner: Mutex<Inner>,
    /// An entry is due earlier than the thread looks.
    sooner: Condvar,
}

struct Inner {
    /// Moments and whom to wake; a handle is in it once at most.
    due: BTreeSet<(u64, Handle)>,
    /// The thread is there.
    runs: bool,
    /// When it looks again; 0: it is about to.
    looks_at: u64,
}

impl Inner {
    const fn new() -> Self {
        Self { due: BTreeSet::new(), runs: false, looks_at: 0 }
    }
}

pub(super) unsafe extern "C" fn timer(any: Handle, at_ns: u64) -> Rc {
    guarded(|| arm(any, at_ns))
}

fn arm(any: Handle, at_ns: u64) -> Rc {
    let is_past = at_ns != 0 && at_ns <= now();
    let at = if is_past { 0 } else { at_ns };
    // Under the slot's lock, so that of two threads that arm one handle, or one that arms and one that closes, the last leaves what it means to.
    let armed = handle::with(any, |state| {
        let before = std::mem::replace(&mut state.timer_at, at);
        TIMERS.replace(any, before, at)
    });
    match armed {
        None => return abi::GONE,
        Some(Err(error)) => {
            tracing::error!(%error, "failed to start the thread for timers of modules");
            return abi::ERR;
        }
        Some(Ok(())) => {}
    }
    if is_past {
        wake_handle(any);
    }
    abi::READY
}

/// Takes out the entry of a handle that ends. Its slot's lock is held.
#[cold]
pub(crate) fn disarm(handle: Handle, at: u64) {
    TIMERS.lock().due.remove(&(at, handle));
}

impl Timers {
    /// A poisoned lock is taken all the same: every change to what is behind it is one step.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves a handle's entry; 0 is none.
    fn replace(&self, handle: Handle, before: u64, at: u64) -> std::io::Result<()> {
        let mut inner = self.lock();
        if before != 0 {
            inner.due.remove(&(before, handle));
        }
        if at == 0 {
            return Ok(());
        }
        if !inner.runs {
            std::thread::Builder::new().name("module-timers".to_owned()).spawn(|| TIMERS.run())?;
            inner.runs = true;
        }
        inner.due.insert((at, handle));
        // It costs a system call to wake the thread: a moment that is later than the one it waits for can wait until then.
        if at < inner.looks_at {
            self.sooner.notify_one();
        }
        Ok(())
    }

    fn run(&self) {
        let mut due = Vec::new();
        loop {
            self.wait(&mut due);
            for (at, handle) in due.drain(..) {
                // Armed anew meanwhile: then that entry stays, and the wake is one too early, which is legal.
                handle::with(handle, |state| {
                    if state.timer_at == at {
                        state.timer_at = 0;
                    }
                });
                // A waker that panics must not end the timers of all.
                guarded(|| {
                    wake_handle(handle);
                    abi::READY
                });
            }
        }
    }

    /// Waits until something is due, and takes it out.
    fn wait(&self, taken: &mut Vec<(u64, Handle)>) {
        let mut inner = self.lock();
        loop {
            let now = now();
            while let Some(first) = inner.due.first().copied().filter(|(at, _)| *at <= now) {
                inner.due.remove(&first);
                taken.push(first);
            }
            if !taken.is_empty() {
                return;
            }
            let longest = now + LONGEST_WAIT_NS;
            inner.looks_at = inner.due.first().map_or(longest, |(at, _)| longest.min(*at));
            let wait = Duration::from_nanos(inner.looks_at - now);
            inner = self.sooner.wait_timeout(inner, wait).unwrap_or_else(PoisonError::into_inner).0;
            inner.looks_at = 0;
        }
    }
}

#[cfg(test)]
pub(super) fn armed(handle: Handle) -> usize {
    TIMERS.lock().due.iter().filter(|(_, armed)| *armed == handle).count()
}
