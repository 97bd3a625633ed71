//! What a call shares with the tasks that read its body or speak its new protocol.
//!
//! Owns the wakers of those tasks. The host wakes a call by polling it, whoever it was that waited, and so the call passes the wake on. Only
//! calls that read from the host have one. Must not read or write: `request_body` and `upgrade` do.

use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use hotbay_abi::Handle;

use crate::host;

/// One call's.
#[derive(Debug)]
pub(crate) struct Link {
    /// The call, as the host knows it. Stale when the call is over, and then every function says GONE.
    pub call: Handle,
    /// 10, 11 or 20.
    pub http: u16,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Both ends of an upgraded connection are done with.
    closed: bool,
    /// The call is over, and so are the request's views.
    over: bool,
}

/// The call's own share, which ends the others'.
#[derive(Debug)]
pub(crate) struct Held(pub Arc<Link>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.lock().over = true;
        self.0.pass_on();
    }
}

/// Which wait it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    Reader,
    Writer,
}

impl Link {
    pub fn new(call: Handle, http: u16) -> Arc<Self> {
        Arc::new(Self { call, http, waiting: Mutex::default() })
    }

    /// The link behind a request's pointer.
    ///
    /// # Safety
    /// `link` must be NULL, or come from `Arc::as_ptr` of a link that is still held by its call.
    pub unsafe fn of(link: *const Self) -> Option<Arc<Self>> {
        if link.is_null() {
            return None;
        }
        // SAFETY: the caller's promise; the count is raised for the one that is made.
        unsafe {
            Arc::increment_strong_count(link);
            Some(Arc::from_raw(link))
        }
    }

    /// To be called before the host is asked: if it says PENDING, `waker` is woken when it may be asked again. The call's own waker needs no
    /// passing on.
    pub fn wait(&self, side: Side, waker: &Waker) {
        if waker.will_wake(&host::waker(self.call)) {
            return;
        }
        let mut waiting = self.lock();
        let place = match side {
            Side::Reader => &mut waiting.reader,
            Side::Writer => &mut waiting.writer,
        };
        let old = match place {
            Some(known) if known.will_wake(waker) => None,
            place => place.replace(waker.clone()),
        };
        drop(waiting);
        drop(old);
    }

    /// The call was polled, or is over: whoever waits asks the host again.
    pub fn pass_on(&self) {
        let mut waiting = self.lock();
        let wakers = [waiting.reader.take(), waiting.writer.take()];
        drop(waiting);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// Looks at the request's views from a task that may outlive the call: they stay while `look` runs. `None` if they are gone.
    pub fn while_alive<T>(&self, look: impl FnOnce() -> Option<T>) -> Option<T> {
        let waiting = self.lock();
        if waiting.over { None } else { look() }
    }

    /// The upgraded connection is not used any more.
    pub fn close(&self) {
        self.lock().closed = true;
        host::wake(self.call);
    }

    /// Whether it is.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it is held.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// No link: the whole request is there.
pub(crate) const NO_LINK: *const Link = ptr::null();
