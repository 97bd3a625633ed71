//! The table of functions that modules call.
//!
//! Owns the checks on everything that comes from a module: handles, names and values of headers, sizes. Must not block, nor call back into a
//! module but to release what it gave.

mod buf;
mod headers;
mod info;
mod log;
mod metrics;
mod read;
mod respond;
pub(crate) mod timer;
mod write;

use std::ffi::{CStr, c_void};
use std::sync::OnceLock;
use std::task::Waker;

use hotbay_abi as abi;
use hotbay_abi::{ExtensionId, Handle, Host, Rc, Str, size_of_table};

use crate::handle;

pub use info::RequestIds;
pub use log::follow_log_level;

/// Most bytes that are kept of what a module says with `fail`.
const MAX_WORDS: usize = 1024;

static HOST: OnceLock<Host> = OnceLock::new();

/// The one table of this process.
pub(crate) fn table() -> &'static Host {
    HOST.get_or_init(|| Host {
        size: size_of_table::<Host>(),
        abi_minor: u32::from(abi::ABI_MINOR),
        respond: respond::respond,
        read: read::read,
        write: write::write,
        finish: write::finish,
        abort: write::abort,
        wake,
        timer: timer::timer,
        trailers: read::trailers,
        info: info::info,
        fail,
        log: log::log,
        log_level: log::LEVEL.as_ptr(),
        now_ns,
        extension,
    })
}

/// Runs a host function so that nothing unwinds into the module.
fn guarded(function: impl FnOnce() -> Rc) -> Rc {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(function)).unwrap_or_else(|payload| {
        // Dropping it may panic once more.
        std::mem::forget(payload);
        abi::ERR
    })
}

unsafe extern "C" fn wake(any: Handle) {
    wake_handle(any);
}

/// Has the task behind `any` polled again; coalescing.
pub(crate) fn wake_handle(any: Handle) {
    let waker = handle::with(any, |state| state.turn.wake());
    wake_taken(waker.flatten());
}

/// Wakes outside every lock.
fn wake_taken(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

unsafe extern "C" fn fail(any: Handle, reason: Str) {
    // SAFETY: the text is borrowed for this call.
    let words = unsafe { text(reason, MAX_WORDS) };
    handle::with(any, |state| state.words.replace(words));
}

/// A module's text, shortened and without control characters, so that it cannot forge log lines.
///
/// # Safety
/// `view` must be valid for this call.
unsafe fn text(view: Str, limit: usize) -> String {
    // SAFETY: the caller promises it.
    let bytes = unsafe { view.get() }.unwrap_or_default();
    let shortened = bytes.get(..limit).unwrap_or(bytes);
    String::from_utf8_lossy(shortened).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

unsafe extern "C" fn now_ns() -> u64 {
    now()
}

/// Of the clock that modules' moments are of.
fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

unsafe extern "C" fn extension(id: ExtensionId) -> *const c_void {
    // SAFETY: a module gives a C string, or NULL.
    let known = !id.is_null() && unsafe { CStr::from_ptr(id) } == abi::METRICS_ID;
    if known { (&raw const metrics::TABLE).cast() } else { std::ptr::null() }
}

#[cfg(test)]
mod tests;
