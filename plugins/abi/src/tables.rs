//! The two tables of functions: what the host offers, and what a module offers.

use super::{Buf, Config, ExtensionId, Handle, Header, Rc, Request, Response, Str};
use std::ffi::c_void;

/// The type of the entry symbol `hotbay_module_v1`.
pub type EntryFn = unsafe extern "C" fn(host: *const Host) -> *const Module;

/// `hb_host`. Every function may be called from any thread at any time.
#[repr(C)]
#[derive(Debug)]
#[allow(missing_docs, reason = "the header documents each field")]
pub struct Host {
    pub size: u32,
    pub abi_minor: u32,
    pub respond: unsafe extern "C" fn(call: Handle, response: *const Response) -> Rc,
    pub read: unsafe extern "C" fn(call: Handle, out: *mut Buf) -> Rc,
    pub write: unsafe extern "C" fn(call: Handle, input: *const Buf, flags: u32) -> Rc,
    pub finish: unsafe extern "C" fn(call: Handle, trailers: *const Header, n_trailers: u32) -> Rc,
    pub abort: unsafe extern "C" fn(call: Handle) -> Rc,
    pub wake: unsafe extern "C" fn(any: Handle),
    pub timer: unsafe extern "C" fn(any: Handle, at_ns: u64) -> Rc,
    pub trailers: unsafe extern "C" fn(call: Handle, out: *mut *const Header, n_out: *mut u32) -> Rc,
    pub info: unsafe extern "C" fn(call: Handle, what: u32, out: *mut Str) -> Rc,
    pub fail: unsafe extern "C" fn(any: Handle, reason: Str),
    pub log: unsafe extern "C" fn(any: Handle, level: i32, target: Str, message: Str, fields: Str),
    pub log_level: *const i32,
    pub now_ns: unsafe extern "C" fn() -> u64,
    pub extension: unsafe extern "C" fn(id: ExtensionId) -> *const c_void,
}

/// `hb_module`. A function that a C module left NULL is `None`; the host refuses the image then, but for `extension`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the header documents each field")]
pub struct Module {
    pub size: u32,
    pub abi_minor: u32,
    pub flags: u32,
    pub n_handlers: u32,
    pub create:
        Option<unsafe extern "C" fn(config: *const Config, me: Handle, instance: *mut *mut c_void) -> Rc>,
    pub poll_instance: Option<unsafe extern "C" fn(instance: *mut c_void, me: Handle) -> Rc>,
    pub stop: Option<unsafe extern "C" fn(instance: *mut c_void, me: Handle) -> Rc>,
    pub destroy: Option<unsafe extern "C" fn(instance: *mut c_void)>,
    pub start: Option<
        unsafe extern "C" fn(
            instance: *mut c_void,
            call: Handle,
            request: *const Request,
            state: *mut *mut c_void,
        ) -> Rc,
    >,
    pub poll: Option<unsafe extern "C" fn(state: *mut c_void, call: Handle) -> Rc>,
    pub drop: Option<unsafe extern "C" fn(state: *mut c_void, why: i32)>,
    pub extension: Option<unsafe extern "C" fn(id: ExtensionId) -> *const c_void>,
}

/// `hb_metrics`, the table of the extension [`METRICS_ID`](super::METRICS_ID).
#[repr(C)]
#[derive(Debug)]
#[allow(missing_docs, reason = "the header documents each field")]
pub struct Metrics {
    pub size: u32,
    pub pad: u32,
    pub register_series: unsafe extern "C" fn(
        any: Handle,
        kind: u32,
        family: Str,
        help: Str,
        labels: *const Header,
        n_labels: u32,
        buckets: *const f64,
        n_buckets: u32,
        out: *mut u64,
    ) -> Rc,
    pub add: unsafe extern "C" fn(series: u64, value: f64),
    pub set: unsafe extern "C" fn(series: u64, value: f64),
    pub observe: unsafe extern "C" fn(series: u64, value: f64),
}

// SAFETY: a host table is immutable after it is made, and the header promises that its functions may be called from any thread.
unsafe impl Sync for Host {}
// SAFETY: as above; the pointer in it names a static.
unsafe impl Send for Host {}
