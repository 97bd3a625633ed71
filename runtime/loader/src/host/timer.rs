//! Timers: a handle is woken at a moment.
//!
//! Owns one thread for all of them, which begins with the first timer, and one entry for each handle that is armed, which goes at the latest with the
//! handle. Most timers are time limits that are put off again and again and never come due. So arming one anew for a later moment, or disarming it, leaves
//! its entry where it is and notes the moment in the slot: the thread finds the note when it comes to the entry, and moves it once. Must not wake under its
//! lock.
//!
//! Lock order: a slot's lock, then this module's. The thread holds neither while it wakes.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use hotbay_abi as abi;
use hotbay_abi::{Handle, Rc};
use hotbay_sys::made;

use super::{guarded, now, wake_handle, wake_taken};
use crate::handle::{self, State};

/// Longer waits are cut short and begun again: a module may name any moment.
const LONGEST_WAIT_NS: u64 = 3600 * 1_000_000_000;

static TIMERS: Timers = Timers { inner: Mutex::new(Inner::new()), sooner: Condvar::new() };

struct Timers {
    inner: Mutex<Inner>,
    /// An entry is due earlier than the thread looks.
    sooner: Condvar,
}

struct Inner {
    /// Moments and handles; a handle is in it once at most.
    entries: BTreeSet<(u64, Handle)>,
    /// The thread is there.
    runs: bool,
    /// When it looks again; 0: it is about to.
    looks_at: u64,
}

impl Inner {
    const fn new() -> Self {
        Self { entries: BTreeSet::new(), runs: false, looks_at: 0 }
    }
}

/// What becomes of a timer that is armed.
enum Armed {
    Waits,
    /// Its moment has passed.
    Rings,
}

pub(super) unsafe extern "C" fn timer(any: Handle, at_ns: u64) -> Rc {
    guarded(|| arm(any, at_ns))
}

fn arm(any: Handle, at: u64) -> Rc {
    // Under the slot's lock, so that of two threads that arm one handle, or one that arms and one that closes, the last leaves what it means to.
    let armed = handle::with(any, |state| {
        state.timer_at = at;
        // The thread comes to the entry first, and finds what was noted just now. So it does if the moment has passed already.
        let is_noted = at == 0 || (state.timer_entry != 0 && state.timer_entry <= at);
        if is_noted { Ok(Armed::Waits) } else { TIMERS.enter(any, state) }
    });
    match armed {
        None => abi::GONE,
        Some(Ok(Armed::Waits)) => abi::READY,
        Some(Ok(Armed::Rings)) => {
            wake_handle(any);
            abi::READY
        }
        Some(Err(error)) => {
            tracing::error!(%error, "failed to start the thread for timers of modules");
            abi::ERR
        }
    }
}

/// Takes out the entry of a handle that ends. Its slot's lock is held.
#[cold]
pub(crate) fn forget(handle: Handle, state: &mut State) {
    state.timer_at = 0;
    TIMERS.lock().entries.remove(&(std::mem::take(&mut state.timer_entry), handle));
}

impl Timers {
    /// A poisoned lock is taken all the same: every change to what is behind it is one step.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a handle for the moment noted in its slot, in the place of a later entry that it may have.
    fn enter(&self, handle: Handle, state: &mut State) -> std::io::Result<Armed> {
        let mut inner = self.lock();
        if !inner.runs {
            let thread = std::thread::Builder::new().name("module-timers".to_owned());
            let run = || {
                // Begun in the code of the first module that asked, it rings for all.
                made::belongs_to_nobody();
                TIMERS.run()
            };
            thread.spawn(run).inspect_err(|_| state.timer_at = 0)?;
            inner.runs = true;
        }
        let is_first = state.timer_at < inner.looks_at;
        // The clock costs more than all else here: what the thread sees in time needs none.
        if is_first && state.timer_at <= now() {
            state.timer_at = 0;
            return Ok(Armed::Rings);
        }
        if state.timer_entry != 0 {
            inner.entries.remove(&(state.timer_entry, handle));
        }
        inner.entries.insert((state.timer_at, handle));
        state.timer_entry = state.timer_at;
        // It costs a system call to wake the thread: a moment that is later than the one it waits for can wait until then, and it is woken once.
        if is_first {
            inner.looks_at = 0;
            self.sooner.notify_one();
        }
        Ok(Armed::Waits)
    }

    fn run(&self) {
        let mut taken = Vec::new();
        loop {
            let now = self.wait(&mut taken);
            for (at, handle) in taken.drain(..) {
                let waker = handle::with(handle, |state| self.come_to(at, now, handle, state)).flatten();
                // A waker that panics must not end the timers of all.
                guarded(|| {
                    wake_taken(waker);
                    abi::READY
                });
            }
        }
    }

    /// What is to be done about an entry that was taken out: moved, if its handle was armed anew for later; else its handle is woken, if it is armed.
    fn come_to(&self, at: u64, now: u64, handle: Handle, state: &mut State) -> Option<Waker> {
        // Else it was armed for sooner meanwhile, and that is another entry.
        if state.timer_entry != at {
            return None;
        }
        if state.timer_at > now {
            state.timer_entry = state.timer_at;
            self.lock().entries.insert((state.timer_at, handle));
            return None;
        }
        state.timer_entry = 0;
        if std::mem::take(&mut state.timer_at) == 0 { None } else { state.turn.wake() }
    }

    /// Waits until something is due, takes it out, and returns what time it is.
    fn wait(&self, taken: &mut Vec<(u64, Handle)>) -> u64 {
        let mut inner = self.lock();
        loop {
            let now = now();
            while let Some(first) = inner.entries.first().copied().filter(|(at, _)| *at <= now) {
                inner.entries.remove(&first);
                taken.push(first);
            }
            if !taken.is_empty() {
                return now;
            }
            let longest = now + LONGEST_WAIT_NS;
            inner.looks_at = inner.entries.first().map_or(longest, |(at, _)| longest.min(*at));
            let wait = Duration::from_nanos(inner.looks_at - now);
            inner = self.sooner.wait_timeout(inner, wait).unwrap_or_else(PoisonError::into_inner).0;
            inner.looks_at = 0;
        }
    }
}

#[cfg(test)]
pub(super) fn entries(handle: Handle) -> usize {
    TIMERS.lock().entries.iter().filter(|(_, entered)| *entered == handle).count()
}
