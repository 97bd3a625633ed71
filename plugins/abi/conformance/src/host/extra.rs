//! What few modules ask for: info, log, the clock, extensions.

use std::ffi::{CStr, c_void};
use std::sync::atomic::{AtomicU64, Ordering};

use hotbay_abi::{self as abi, ExtensionId, Handle, Header, Metrics, Rc, Str};
use rustix::time::{ClockId, clock_gettime};

use super::{bytes, with_any, with_call};
use crate::{Rule, report};

pub(super) fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

pub(super) unsafe extern "C" fn now_ns() -> u64 {
    now()
}

pub(super) unsafe extern "C" fn info(call: Handle, what: u32, out: *mut Str) -> Rc {
    with_call(call, "info", |call| {
        let index = usize::try_from(what).ok().and_then(|what| what.checked_sub(1));
        let Some(view) = index.and_then(|index| call.views.info.get(index)) else { return abi::UNSUPPORTED };
        // SAFETY: the module passes a place that may be written to.
        unsafe { out.write(*view) };
        abi::READY
    })
}

/// Reads what it is given, as a host would: a view that is not valid crashes here.
pub(super) unsafe extern "C" fn log(any: Handle, _level: i32, target: Str, message: Str, fields: Str) {
    let read = [target, message, fields].map(|view| bytes(view).iter().fold(0_u8, |sum, byte| sum ^ byte));
    std::hint::black_box(read);
    with_any(any, "log", |_| {});
}

pub(super) unsafe extern "C" fn extension(id: ExtensionId) -> *const c_void {
    // SAFETY: an extension is named by a C string.
    let known = !id.is_null() && unsafe { CStr::from_ptr(id) } == abi::METRICS_ID;
    if known { (&raw const METRICS).cast() } else { std::ptr::null() }
}

static SERIES: AtomicU64 = AtomicU64::new(1);

static METRICS: Metrics = Metrics {
    size: abi::size_of_table::<Metrics>(),
    pad: 0,
    register_series,
    add: count,
    set: count,
    observe: count,
};

#[allow(clippy::too_many_arguments, reason = "the header has them")]
unsafe extern "C" fn register_series(
    any: Handle,
    kind: u32,
    family: Str,
    help: Str,
    labels: *const Header,
    n_labels: u32,
    buckets: *const f64,
    n_buckets: u32,
    out: *mut u64,
) -> Rc {
    let _read = (bytes(family).len(), bytes(help).len(), labels, buckets);
    if !(abi::METRIC_COUNTER..=abi::METRIC_HISTOGRAM).contains(&kind) {
        return abi::UNSUPPORTED;
    }
    let bounds = n_buckets == 0 || (kind == abi::METRIC_HISTOGRAM && !buckets.is_null());
    if !bounds || bytes(family).is_empty() || (n_labels > 0 && labels.is_null()) {
        report::broken(Rule::Answer, "register_series was called with what no host takes");
        return abi::ERR;
    }
    let rc = with_any(any, "register_series", |_| {});
    if rc == abi::READY {
        // SAFETY: the module passes a place that may be written to.
        unsafe { out.write(SERIES.fetch_add(1, Ordering::Relaxed)) };
    }
    rc
}

unsafe extern "C" fn count(series: u64, _value: f64) {
    if series == 0 || series >= SERIES.load(Ordering::Relaxed) {
        report::broken(Rule::Handles, "a series that was never given out");
    }
}
