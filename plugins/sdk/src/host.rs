//! The host's table, and the guard that no panic passes.
//!
//! Owns the one process-wide state of a module: the table, the panic hook, and which call a thread works for. Must not know what a call is.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::atomic::{AtomicPtr, Ordering};
use std::task::{RawWaker, RawWakerVTable, Waker};
use std::{mem, ptr};

use hotbay_abi::{
    ABI_MAJOR, ABI_MINOR, Buf, EOF, ERR, GONE, Handle, Header, Host, LOG_ERROR, PANIC, READY, Rc, Response,
    Str, size_of_table,
};

use crate::{Piece, Trailers};

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
    let size = if host.is_null() { 0 } else { unsafe { (&raw const (*host).size).read() } };
    let fits = size >= size_of_table::<Host>();
    if fits {
        HOST.store(host.cast_mut(), Ordering::Release);
    } else if size as usize >= mem::offset_of!(Host, log_level) {
        // SAFETY: the caller's promise, and these fields lie within its size.
        unsafe { complain(host) };
    }
    fits
}

/// Says why the module refuses its host.
///
/// # Safety
/// `host` must be a table that is valid as far as `log`.
unsafe fn complain(host: *const Host) {
    // SAFETY: the caller's promise.
    let (minor, log) = unsafe { ((&raw const (*host).abi_minor).read(), (&raw const (*host).log).read()) };
    let words = format!(
        "this module needs ABI {ABI_MAJOR}.{ABI_MINOR}, and the host has {ABI_MAJOR}.{minor}: use a newer runtime, or build it with an older SDK"
    );
    // SAFETY: a function of the host's table; the views live as long as this call.
    unsafe { log(0, LOG_ERROR, Str::new(b"hotbay_sdk"), Str::new(words.as_bytes()), Str::ABSENT) };
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

/// From here to the end of the guard the thread works for nobody: the call has its answer, and what panics now is none of its business.
pub(crate) fn resign() {
    CURRENT.set(0);
}

/// What a thread works for while it frees bytes for somebody: nobody, and no function of the host may be called.
pub(crate) const QUIET: Handle = Handle::MAX;

/// As [`guard`], for `release`: a panic is swallowed, and its words too.
pub(crate) fn quietly(body: impl FnOnce()) {
    guard(QUIET, || {
        body();
        READY
    });
}

/// Has panics told to the host instead of standard error. Each `.so` has a std of its own, so this is no business of anybody else's.
pub(crate) fn install_panic_hook() {
    panic::set_hook(Box::new(|info| match current() {
        0 => crate::log::error(describe(info)),
        QUIET => {}
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
    host().map_or(GONE, |host| unsafe { (host.respond)(call, response) })
}

/// The next piece of the request's body, or what the host says instead.
pub(crate) fn read(call: Handle) -> Result<Piece, Rc> {
    let Some(host) = host() else { return Err(GONE) };
    let mut place = Piece::place();
    // SAFETY: a function of the host's table, and `place` may be written.
    match unsafe { (host.read)(call, &mut place) } {
        // SAFETY: READY says that the piece is ours until it is released.
        READY => Ok(unsafe { Piece::new(place) }),
        // A positive answer that this SDK does not know is no progress.
        rc if rc > EOF => Err(ERR),
        rc => Err(rc),
    }
}

/// Hands over the next piece of a streamed answer; it is the host's afterwards if this is READY.
pub(crate) fn write(call: Handle, piece: &Buf, flags: u32) -> Rc {
    // SAFETY: a function of the host's table; the caller made a buffer that is valid for this call, and beyond if it is taken.
    host().map_or(GONE, |host| unsafe { (host.write)(call, piece, flags) })
}

/// Ends a streamed answer.
pub(crate) fn finish(call: Handle, trailers: &Trailers) -> Rc {
    let views: Vec<Header> = trailers
        .iter()
        .map(|(name, value)| Header { name: Str::new(name.as_bytes()), value: Str::new(value) })
        .collect();
    let count = u32::try_from(views.len()).unwrap_or(u32::MAX);
    // SAFETY: a function of the host's table; the views live as long as this call.
    host().map_or(GONE, |host| unsafe { (host.finish)(call, views.as_ptr(), count) })
}

/// Cuts the call.
pub(crate) fn abort(call: Handle) -> Rc {
    // SAFETY: a function of the host's table, which takes any handle.
    host().map_or(GONE, |host| unsafe { (host.abort)(call) })
}

/// What followed the request's body. `None` if the call is over or the body has not ended.
///
/// # Safety
/// The request's views must stay for this call.
pub(crate) unsafe fn trailers(call: Handle) -> Option<Trailers> {
    let host = host()?;
    let (mut first, mut count) = (ptr::null(), 0);
    // SAFETY: a function of the host's table, and both may be written.
    let rc = unsafe { (host.trailers)(call, &mut first, &mut count) };
    if rc != READY || first.is_null() {
        return None;
    }
    let mut trailers = Trailers::new();
    for index in 0..count as usize {
        // SAFETY: READY says that there are so many, for as long as the request's views live: the caller's promise. They are copied.
        let (name, value) = unsafe {
            let header = *first.add(index);
            (header.name.get().unwrap_or_default(), header.value.get().unwrap_or_default())
        };
        trailers.push(String::from_utf8_lossy(name).into_owned().into(), value.to_vec().into());
    }
    Some(trailers)
}

/// What few calls ask for: one of the `INFO_…`; `None` if the host does not know.
///
/// # Safety
/// The request's views must live for `'a`.
pub(crate) unsafe fn info<'a>(call: Handle, what: u32) -> Option<&'a [u8]> {
    let mut out = Str::ABSENT;
    // SAFETY: a function of the host's table, and `out` may be written.
    let rc = unsafe { (host()?.info)(call, what, &mut out) };
    // SAFETY: READY says that the view is set, and it lives as long as the request's: the caller's promise.
    if rc == READY { unsafe { out.get() } } else { None }
}

/// Has `handle` woken at that moment of the host's clock.
pub(crate) fn timer(handle: Handle, at_ns: u64) {
    if let Some(host) = host() {
        // SAFETY: a function of the host's table, which takes any handle; a stale one has nobody who waits.
        unsafe { (host.timer)(handle, at_ns) };
    }
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
