//! The C ABI between Hotbay and its modules, as Rust sees it: the mirror of `include/hotbay.h`.
//!
//! Owns layouts and constants; the header says what each item means, who owns what, and on which thread. Must not hold code: `hotbay-loader` is the
//! host's side, `hotbay-sdk` the module's. A test compiles the header with a C and a C++ compiler and compares every offset.

#![allow(unsafe_code, reason = "views over a C boundary, and the promise that its tables may cross threads")]

use std::ffi::{c_char, c_void};

mod tables;

pub use tables::{EntryFn, Host, Metrics, Module};

/// Major version of the ABI. A module of another major version is refused.
pub const ABI_MAJOR: u16 = 1;
/// Minor version of the ABI. A module that needs a newer one is refused.
pub const ABI_MINOR: u16 = 0;
/// Name of the ELF notes that a module carries, without the NUL that ends it in the file.
pub const NOTE_NAME: &str = "Hotbay";
/// Type of the note that holds the manifest, as JSON.
pub const NOTE_MANIFEST: u32 = 1;
/// Type of the note that holds the ABI: `{u16 major, u16 minor, u32 flags}`, little-endian.
pub const NOTE_ABI: u32 = 2;
/// Most bytes of a manifest.
pub const MAX_MANIFEST_BYTES: usize = 256 * 1024;

/// `hb_rc`: what a function answers; negative is final.
pub type Rc = i32;
/// Done.
pub const READY: Rc = 0;
/// Not done; a wake follows.
pub const PENDING: Rc = 1;
/// The body has ended.
pub const EOF: Rc = 2;
/// Failed.
pub const ERR: Rc = -1;
/// The handle is stale.
pub const GONE: Rc = -2;
/// A limit was passed.
pub const LIMIT: Rc = -3;
/// Not allowed.
pub const DENIED: Rc = -4;
/// Not known to this host or module.
pub const UNSUPPORTED: Rc = -5;
/// A panic was caught by the SDK.
pub const PANIC: Rc = -6;

/// `hb_h`: a call or an instance.
pub type Handle = u64;

/// [`Request::flags`]: `body` is the whole body.
pub const REQ_BODY_INLINE: u32 = 1;
/// [`Request::flags`]: the client offers an upgrade.
pub const REQ_UPGRADE_OK: u32 = 2;
/// [`Response::flags`]: the body is the first piece of a stream.
pub const RESP_STREAM: u32 = 1;
/// [`Response::flags`]: the answer leaves HTTP.
pub const RESP_UPGRADE: u32 = 2;
/// [`Response::flags`]: the body is borrowed, and the host copies.
pub const RESP_COPY: u32 = 4;
/// Flag of [`Host::write`]: the piece is borrowed, and the host copies.
pub const WRITE_COPY: u32 = 1;
/// What [`Host::info`] tells: the client's address.
pub const INFO_PEER: u32 = 1;
/// What [`Host::info`] tells: the request's id.
pub const INFO_REQUEST_ID: u32 = 2;
/// What [`Host::info`] tells: the trace that the request belongs to.
pub const INFO_TRACEPARENT: u32 = 3;
/// Level of [`Host::log`]: something failed.
pub const LOG_ERROR: i32 = 1;
/// Level of [`Host::log`]: something may fail soon, or was worked around.
pub const LOG_WARN: i32 = 2;
/// Level of [`Host::log`]: what an operator wants to know.
pub const LOG_INFO: i32 = 3;
/// Level of [`Host::log`]: what an author wants to know.
pub const LOG_DEBUG: i32 = 4;
/// Level of [`Host::log`]: everything.
pub const LOG_TRACE: i32 = 5;
/// Name of the extension whose table is [`Metrics`].
pub const METRICS_ID: &std::ffi::CStr = c"hotbay.metrics/1";
/// Kind of a [`Metrics`] series: only grows.
pub const METRIC_COUNTER: u32 = 1;
/// Kind of a [`Metrics`] series: goes up and down.
pub const METRIC_GAUGE: u32 = 2;
/// Kind of a [`Metrics`] series: counts by upper bounds.
pub const METRIC_HISTOGRAM: u32 = 3;
/// Size of [`Response`] in the first version of the ABI: a shorter one is malformed.
pub const RESPONSE_SIZE_MIN: u32 = 56;
/// [`Module::flags`]: panics unwind.
pub const MOD_PANIC_UNWIND: u32 = 1;

/// Why a call's state is dropped: it is done.
pub const DROP_DONE: i32 = 0;
/// Why a call's state is dropped: the client left.
pub const DROP_DISCONNECT: i32 = 1;
/// Why a call's state is dropped: it took too long.
pub const DROP_TIMEOUT: i32 = 2;
/// Why a call's state is dropped: the engine ends.
pub const DROP_SHUTDOWN: i32 = 3;
/// Why a call's state is dropped: its poll failed.
pub const DROP_ERROR: i32 = 4;

/// `hb_str`: borrowed bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Str {
    /// NULL if absent.
    pub ptr: *const u8,
    /// In bytes.
    pub len: usize,
}

/// `hb_header`: a name and a value.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// In lower case.
    pub name: Str,
    /// Free of CR, LF and NUL.
    pub value: Str,
}

/// `hb_buf`: owned bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Buf {
    /// The bytes.
    pub ptr: *const u8,
    /// How many.
    pub len: usize,
    /// What `release` wants.
    pub owner: *mut c_void,
    /// Called once by the receiver; `None` if the bytes live for ever.
    pub release: Option<unsafe extern "C" fn(owner: *mut c_void)>,
}

/// `hb_request`.
#[repr(C)]
#[derive(Debug)]
#[allow(missing_docs, reason = "the header documents each field")]
pub struct Request {
    pub size: u32,
    pub flags: u32,
    pub handler: u32,
    pub http: u16,
    pub pad: u16,
    pub n_headers: u32,
    pub n_params: u32,
    pub method: Str,
    pub scheme: Str,
    pub authority: Str,
    pub path: Str,
    pub query: Str,
    pub body: Str,
    pub protocol: Str,
    pub headers: *const Header,
    pub params: *const Header,
    pub content_length: i64,
    pub deadline_ns: u64,
    pub request_id: [u64; 2],
}

/// `hb_response`.
#[repr(C)]
#[derive(Debug)]
#[allow(missing_docs, reason = "the header documents each field")]
pub struct Response {
    pub size: u32,
    pub flags: u32,
    pub status: u16,
    pub pad: u16,
    pub n_headers: u32,
    pub headers: *const Header,
    pub body: Buf,
}

/// `hb_config`.
#[repr(C)]
#[derive(Debug)]
#[allow(missing_docs, reason = "the header documents each field")]
pub struct Config {
    pub size: u32,
    pub flags: u32,
    pub name: Str,
    pub config_json: Str,
    pub digest: Str,
}

impl Request {
    /// One that says nothing: of HTTP/1.1, with a body to be read, of unknown length.
    pub const EMPTY: Self = Self {
        size: size_of_table::<Self>(),
        flags: 0,
        handler: 0,
        http: 11,
        pad: 0,
        n_headers: 0,
        n_params: 0,
        method: Str::ABSENT,
        scheme: Str::ABSENT,
        authority: Str::ABSENT,
        path: Str::ABSENT,
        query: Str::ABSENT,
        body: Str::ABSENT,
        protocol: Str::ABSENT,
        headers: std::ptr::null(),
        params: std::ptr::null(),
        content_length: -1,
        deadline_ns: 0,
        request_id: [0, 0],
    };
}

impl Str {
    /// No bytes at all, which is not the same as empty.
    pub const ABSENT: Self = Self { ptr: std::ptr::null(), len: 0 };

    /// A view of `bytes`. Whoever gets it must not use it longer than `bytes` lives.
    pub const fn new(bytes: &[u8]) -> Self {
        Self { ptr: bytes.as_ptr(), len: bytes.len() }
    }

    /// The bytes; `None` if absent.
    ///
    /// # Safety
    /// The view must be valid for `'a`: the header says for each how long that is.
    pub unsafe fn get<'a>(self) -> Option<&'a [u8]> {
        if self.ptr.is_null() {
            return None;
        }
        // SAFETY: not NULL, and the caller promises that `len` bytes are there for `'a`.
        Some(unsafe { std::slice::from_raw_parts(self.ptr, self.len) })
    }
}

/// `size` of a struct of this ABI.
pub const fn size_of_table<T>() -> u32 {
    // No struct here comes near 4 GiB.
    size_of::<T>() as u32
}

/// A C string that names an extension.
pub type ExtensionId = *const c_char;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_is_not_what_is_empty() {
        let text = String::from("abc");
        let views = [Str::ABSENT, Str::new(b""), Str::new(text.as_bytes())];
        // SAFETY: the text lives for the test.
        let read = views.map(|view| unsafe { view.get() });
        assert_eq!(read, [None, Some(&b""[..]), Some(b"abc")]);
    }

    #[test]
    fn every_table_says_its_own_size() {
        assert_eq!(size_of_table::<Host>() as usize, size_of::<Host>());
        assert_eq!(RESPONSE_SIZE_MIN as usize, std::mem::offset_of!(Response, body) + size_of::<Buf>());
    }
}
