//! The table of functions that modules call.
//!
//! Owns the checks on everything that comes from a module: handles, names and values of headers, sizes. Must not block, nor call back into a
//! module but to release what it gave.

mod read;
mod respond;

use std::ffi::c_void;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};
use std::task::Waker;

use hotbay_abi as abi;
use hotbay_abi::{ExtensionId, Handle, Host, Rc, Str, size_of_table};

use crate::handle::{self, Reply};
use crate::marks::module_name;

/// Most bytes that are kept of what a module says with `fail`.
const MAX_WORDS: usize = 1024;

/// The most detailed level that modules may log at: 1 error … 5 trace, 0 none.
static LOG_LEVEL: AtomicI32 = AtomicI32::new(3);
static HOST: OnceLock<Host> = OnceLock::new();

/// Has modules log what is kept of it at this moment, and no more: what is not wanted is not even formatted. To be called when logging has begun, and
/// each time that what is logged has changed.
pub fn follow_log_level() {
    // As `log_line` has them: a filter for one of our own crates costs modules nothing.
    let wanted = [
        tracing::enabled!(target: "module", tracing::Level::TRACE),
        tracing::enabled!(target: "module", tracing::Level::DEBUG),
        tracing::enabled!(target: "module", tracing::Level::INFO),
        tracing::enabled!(target: "module", tracing::Level::WARN),
        tracing::enabled!(target: "module", tracing::Level::ERROR),
    ];
    let level = wanted.iter().zip([5, 4, 3, 2, 1]).find_map(|(wanted, level)| wanted.then_some(level));
    LOG_LEVEL.store(level.unwrap_or(0), Ordering::Relaxed);
}

/// The one table of this process.
pub(crate) fn table() -> &'static Host {
    HOST.get_or_init(|| Host {
        size: size_of_table::<Host>(),
        abi_minor: u32::from(abi::ABI_MINOR),
        respond: respond::respond,
        read: read::read,
        abort,
        wake,
        fail,
        log,
        log_level: LOG_LEVEL.as_ptr(),
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

unsafe extern "C" fn abort(call: Handle) -> Rc {
    let aborted = handle::with_call(call, |state| {
        let open = matches!(state.reply, Reply::Open);
        if open {
            state.reply = Reply::Aborted;
        }
        (open, if state.running { None } else { state.waker.take() })
    });
    match aborted {
        Some((true, waker)) => {
            wake_taken(waker);
            abi::READY
        }
        _ => abi::GONE,
    }
}

unsafe extern "C" fn wake(any: Handle) {
    wake_handle(any);
}

/// Has the task behind `any` polled again; coalescing.
pub(crate) fn wake_handle(any: Handle) {
    let waker = handle::with(any, |state| {
        state.woken = true;
        if state.running { None } else { state.waker.take() }
    });
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

unsafe extern "C" fn log(any: Handle, level: i32, target: Str, message: Str) {
    if level > LOG_LEVEL.load(Ordering::Relaxed) {
        return;
    }
    // On a thread that is ending, tracing's own thread-local buffer may be gone already, and says so by a panic.
    guarded(|| {
        // SAFETY: the texts are borrowed for this call.
        unsafe { log_line(any, level, target, message) };
        abi::READY
    });
}

/// # Safety
/// The texts must be valid for this call.
unsafe fn log_line(any: Handle, level: i32, target: Str, message: Str) {
    // SAFETY: the texts are borrowed for this call.
    let (target, message) = unsafe { (text(target, 256), text(message, 16 * 1024)) };
    let module = handle::with(any, |state| state.mark.row).and_then(module_name).unwrap_or_default();
    match level {
        ..=1 => tracing::error!(target: "module", module, origin = target, "{message}"),
        2 => tracing::warn!(target: "module", module, origin = target, "{message}"),
        3 => tracing::info!(target: "module", module, origin = target, "{message}"),
        4 => tracing::debug!(target: "module", module, origin = target, "{message}"),
        _ => tracing::trace!(target: "module", module, origin = target, "{message}"),
    }
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
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

unsafe extern "C" fn extension(_id: ExtensionId) -> *const c_void {
    // No extension exists yet; NULL says "absent", as the header has it.
    std::ptr::null()
}

#[cfg(test)]
mod tests;
