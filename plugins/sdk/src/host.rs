//! The host's table, and the guard that no panic passes.
//!
//! Owns the one process-wide state of a module: the table, the panic hook, and which call a thread works for. Must not know what a call is.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::atomic::{AtomicPtr, Ordering};
use std::task::{RawWaker, RawWakerVTable, Waker};
use std::{mem, ptr};

use hotbay_abi::{Buf, Handle, Host, PANIC, Rc, Response, Str, size_of_table};

static HOST: AtomicPtr<Host> = AtomicPtr::new(ptr::null_mut());

thread_local! {
    /// What this thread works for; 0 outside the guard. Without a destructor, so that it costs no thread any registration.
    static CURRENT: Cell<Handle> = const { Cell::new(0) };
}

/// Keeps the host's table for good. False if the host is older than this SDK needs; nothing is kept then.
///
/// # Safety
/// `host` must be NULL or a table that is valid for ever.
pub(crate) unsafe fn keep(host: *const Host) -> bool {
    // SAFETY: the caller's promise; every version of the table begins with its size.
    let fits = !host.is_null() && unsafe { (&raw const (*host).size).read() } >= size_of_table::<Host>();
    if fits {
        HOST.store(host.cast_mut(), Ordering::Release);
    }
    fits
}

/// The host; `None` in a unit test, where nobody called the entry.
pub(crate) fn host() -> Option<&'static Host> {
    // SAFETY: only `keep` stores, and its caller promised that the table is valid for ever and large enough.
    unsafe { HOST.load(Ordering::Acquire).as_ref() }
}

/// The handle that this thread works for, or 0.
pub(crate) fn current() -> Handle {
    CURRENT.get()
}

/// Runs `body` on behalf of `handle`; a panic becomes [`PANIC`], after the hook has passed its words on.
pub(crate) fn guard(handle: Handle, body: impl FnOnce() -> Rc) -> Rc {
    let outer = CURRENT.replace(handle);
    // Unwind safety: what panicked is only ever dropped afterwards; what is shared between calls is the author's, as in any server.
    let result = panic::catch_unwind(AssertUnwindSafe(body));
    CURRENT.set(outer);
    result.unwrap_or_else(|payload| {
        // Its destructor is the author's too, and may panic again.
        mem::forget(payload);
        PANIC
    })
}

/// Has panics told to the host instead of standard error. Each `.so` has a std of its own, so this is no business of anybody else's.
pub(crate) fn install_panic_hook() {
    panic::set_hook(Box::new(|info| match current() {
        0 => crate::log::error(describe(info)),
        call => fail(call, &describe(info)),
    }));
}

fn describe(info: &PanicHookInfo<'_>) -> String {
    let words = info.payload_as_str().unwrap_or("a value that is no text");
    match info.location() {
        Some(place) => format!("panicked at {}:{}: {words}", place.file(), place.line()),
        None => format!("panicked: {words}"),
    }
}

/// Words for people, shown with the failure that follows.
pub(crate) fn fail(handle: Handle, words: &str) {
    if let Some(host) = host() {
        // SAFETY: a function of the host's table; the view lives as long as this call.
        unsafe { (host.fail)(handle, Str::new(words.as_bytes())) };
    }
}

/// Hands an answer over; an owned body is the host's afterwards, whatever is returned.
pub(crate) fn respond(call: Handle, response: &Response) -> Rc {
    // SAFETY: a function of the host's table; the caller made a table that is valid for this call.
    host().map_or(hotbay_abi::GONE, |host| unsafe { (host.respond)(call, response) })
}

/// The next piece of the request's body is appended to `body`.
pub(crate) fn read(call: Handle, body: &mut Vec<u8>) -> Rc {
    let Some(host) = host() else { return hotbay_abi::GONE };
    let mut piece = Buf { ptr: ptr::null(), len: 0, owner: ptr::null_mut(), release: None };
    // SAFETY: a function of the host's table, and `piece` may be written.
    let rc = unsafe { (host.read)(call, &mut piece) };
    if rc == hotbay_abi::READY {
        // SAFETY: READY says that the piece is ours to read until it is released.
        body.extend_from_slice(unsafe { Str { ptr: piece.ptr, len: piece.len }.get() }.unwrap_or_default());
        if let Some(release) = piece.release {
            // SAFETY: released exactly once, here, and not used afterwards.
            unsafe { release(piece.owner) };
        }
    }
    rc
}

/// Has `handle` polled again.
pub(crate) fn wake(handle: Handle) {
    if let Some(host) = host() {
        // SAFETY: a function of the host's table, which takes any handle from any thread, also a stale one.
        unsafe { (host.wake)(handle) };
    }
}

/// The waker of `handle`. It is the handle itself, so that a clone costs nothing and two of one call are seen to be the same.
pub(crate) fn waker(handle: Handle) -> Waker {
    // SAFETY: no function of the vtable follows the pointer, there is nothing to own, and `wake` may be called on any thread.
    unsafe { Waker::from_raw(raw_waker(handle)) }
}

fn raw_waker(handle: Handle) -> RawWaker {
    // LP64 only, as the header says: a handle fits.
    RawWaker::new(ptr::without_provenance(handle as usize), &VTABLE)
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(
    |data| raw_waker(data.addr() as Handle),
    |data| wake(data.addr() as Handle),
    |data| wake(data.addr() as Handle),
    |_| {},
);

const _: () = assert!(size_of::<usize>() == size_of::<Handle>(), "the ABI is LP64 only");
