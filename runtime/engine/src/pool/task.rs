//! One call on the pool.
//!
//! Owns its future, and that it is polled by one thread at a time, again after each wake, and dropped by a thread of the pool when it has ended.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use hotbay_loader::Mark;

use super::Inner;

pub(super) type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// It waits for a wake.
const WAITS: u8 = 0;
/// It is in the queue, or on its way there.
const QUEUED: u8 = 1;
/// A thread polls it.
const RUNS: u8 = 2;
/// A wake has come meanwhile.
const RUNS_AGAIN: u8 = 3;
const OVER: u8 = 4;

pub(super) struct Task {
    whose: Mark,
    state: AtomicU8,
    /// Since when nobody waits for it.
    left: OnceLock<Instant>,
    /// Locked by who polls alone; nobody waits for it.
    work: Mutex<Option<Work>>,
    pool: Weak<Inner>,
}

impl Task {
    /// To be put into the queue.
    pub fn new(whose: Mark, work: Work, pool: &Arc<Inner>) -> Arc<Self> {
        let (work, pool) = (Mutex::new(Some(work)), Arc::downgrade(pool));
        Arc::new(Self { whose, state: AtomicU8::new(QUEUED), left: OnceLock::new(), work, pool })
    }

    /// Whose it is.
    pub fn whose(&self) -> Mark {
        self.whose
    }

    /// Nobody waits for it any more.
    pub fn leave(&self, now: Instant) {
        // Whoever waits leaves once.
        let _first = self.left.set(now);
    }

    /// Since when nobody does.
    pub fn left(&self) -> Option<Instant> {
        self.left.get().copied()
    }

    /// Polls it once.
    pub fn run(self: &Arc<Self>) {
        self.state.store(RUNS, Ordering::Release);
        let waker = Waker::from(Arc::clone(self));
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(future) = work.as_mut() else { return };
        let polled =
            catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(&waker))));
        if !matches!(polled, Ok(Poll::Pending)) {
            // A panic is a fault of ours; whoever waits for an answer sees that none comes.
            self.state.store(OVER, Ordering::Release);
            let _dropped = catch_unwind(AssertUnwindSafe(|| *work = None));
            return;
        }
        drop(work);
        if self.state.compare_exchange(RUNS, WAITS, Ordering::AcqRel, Ordering::Acquire).is_err() {
            self.state.store(QUEUED, Ordering::Release);
            self.enqueue();
        }
    }

    /// Drops what has not begun.
    pub fn forget(&self) {
        self.state.store(OVER, Ordering::Release);
        let work = self.work.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(work);
    }

    fn enqueue(self: &Arc<Self>) {
        if let Some(pool) = self.pool.upgrade() {
            pool.wake(Arc::clone(self));
        }
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let change = |state| match state {
            WAITS => Some(QUEUED),
            RUNS => Some(RUNS_AGAIN),
            _ => None,
        };
        let before = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, change);
        if before == Ok(WAITS) {
            self.enqueue();
        }
    }
}
