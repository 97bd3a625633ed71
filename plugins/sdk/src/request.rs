//! What a handler is asked: views over the host's memory, never copied.

use std::any::{Any, type_name};
use std::fmt;
use std::net::SocketAddr;
use std::str;

use hotbay_abi::{
    Handle, Header, INFO_PEER, INFO_REQUEST_ID, INFO_TRACEPARENT, REQ_BODY_INLINE, REQ_UPGRADE_OK, Str,
};

use crate::host;
use crate::instance::Shared;
use crate::link::Link;

/// The state of an instance, of whatever type `create` made.
pub(crate) type State = Box<dyn Any + Send + Sync>;

/// A request. Everything in it lives until the call is over, so an async handler may keep it over an `.await`.
// Small, because it is handed on by value: to the handler, and into its future.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    raw: &'a hotbay_abi::Request,
    /// All there is; `None` if it is read from the host.
    whole: Option<&'a [u8]>,
    /// The call that it belongs to; 0 in a test.
    pub(crate) call: Handle,
    /// What a reader or an upgrade needs; NULL if there is neither. The call holds it.
    pub(crate) link: *const Link,
    pub(crate) shared: &'a Shared,
}

// SAFETY: all views are to memory that nobody writes until the call is over, which the lifetime ends with; `Shared` is Sync.
unsafe impl Send for Request<'_> {}
// SAFETY: as above.
unsafe impl Sync for Request<'_> {}

impl<'a> Request<'a> {
    /// Views over the host's request.
    ///
    /// # Safety
    /// `raw` and all that it points to must stay valid and unchanged for `'a`, and be as the ABI promises: what it calls UTF-8 is.
    pub(crate) unsafe fn view(
        raw: &'a hotbay_abi::Request,
        call: Handle,
        link: *const Link,
        shared: &'a Shared,
    ) -> Self {
        let inline = raw.flags & REQ_BODY_INLINE != 0;
        // SAFETY: the caller's promise.
        let whole = inline.then(|| unsafe { raw.body.get() }.unwrap_or_default());
        Self { raw, whole, call, link, shared }
    }

    pub(crate) fn with_body(self, body: &'a [u8]) -> Self {
        Self { whole: Some(body), ..self }
    }

    /// The body, if it is all here.
    pub(crate) fn whole(&self) -> Option<&'a [u8]> {
        self.whole
    }

    /// 10, 11 or 20; what is above 20 is taken for 20.
    #[cfg(feature = "tower")]
    pub(crate) fn http(&self) -> u16 {
        self.raw.http
    }

    /// What the client offers to leave HTTP for.
    pub(crate) fn protocol(&self) -> Option<&'a str> {
        // SAFETY: the ABI promises UTF-8.
        if self.raw.flags & REQ_UPGRADE_OK == 0 { None } else { unsafe { text(self.raw.protocol) } }
    }

    /// The method, in capitals as it was sent.
    pub fn method(&self) -> &'a str {
        // SAFETY: the ABI promises UTF-8, and `view` was promised that it stays.
        unsafe { text(self.raw.method) }.unwrap_or_default()
    }

    /// The path as it was sent, with its percent-encoding.
    pub fn path(&self) -> &'a str {
        // SAFETY: as of `method`.
        unsafe { text(self.raw.path) }.unwrap_or_default()
    }

    /// What follows the `?`, with its percent-encoding; `None` if there is no `?`.
    pub fn query(&self) -> Option<&'a str> {
        // SAFETY: as of `method`.
        unsafe { text(self.raw.query) }
    }

    /// The host, and the port if there is one, that the client asked for; `None` if it did not say, or what it said is not UTF-8.
    pub fn authority(&self) -> Option<&'a str> {
        // SAFETY: as of `method`; a header `Host` may have any bytes.
        unsafe { self.raw.authority.get() }.and_then(|authority| str::from_utf8(authority).ok())
    }

    /// What the path has in the place of `{name}` or `{*name}`, with its percent-encoding.
    pub fn param(&self, name: &str) -> Option<&'a str> {
        self.params()
            .iter()
            .filter_map(pair)
            .find(|(have, _)| *have == name)
            .and_then(|(_, value)| str::from_utf8(value).ok())
    }

    /// All headers, names in lower case; values may be any bytes. Equal names are in the order sent.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        self.raw_headers().iter().filter_map(pair)
    }

    /// The first header of this name, if it is UTF-8; the case of `name` does not matter.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.header_bytes(name).and_then(|value| str::from_utf8(value).ok())
    }

    /// The first header of this name, whatever bytes it has.
    pub fn header_bytes(&self, name: &str) -> Option<&'a [u8]> {
        self.headers().find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The whole body; empty if there is none.
    pub fn body(&self) -> &'a [u8] {
        self.whole.unwrap_or_default()
    }

    /// The module's state, as `create` made it.
    ///
    /// # Panics
    /// If `create` makes something else than `T`: a mistake that is the same at every request, so it is a 500 with these words.
    #[allow(clippy::panic, reason = "an author's mistake, not a request's; the guard makes a 500 of it")]
    pub fn state<T: Any>(&self) -> &'a T {
        match self.shared.state() {
            Some(state) => state,
            None => panic!("the module's state is no {}; ask for what `create` makes", type_name::<T>()),
        }
    }

    /// The address that the request comes from: the client's, or that of a proxy before the runtime.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.info(INFO_PEER)?.parse().ok()
    }

    /// The request's id as it stands in the logs.
    pub fn request_id(&self) -> Option<&'a str> {
        self.info(INFO_REQUEST_ID)
    }

    /// The trace that the request belongs to, as W3C Trace Context writes it; `None` if the client sent none that is well-formed.
    pub fn traceparent(&self) -> Option<&'a str> {
        self.info(INFO_TRACEPARENT)
    }

    pub(crate) fn params(&self) -> &'a [Header] {
        // SAFETY: `view` was promised that these are valid.
        unsafe { slice(self.raw.params, self.raw.n_params) }
    }

    pub(crate) fn raw_headers(&self) -> &'a [Header] {
        // SAFETY: as above.
        unsafe { slice(self.raw.headers, self.raw.n_headers) }
    }

    fn info(&self, what: u32) -> Option<&'a str> {
        if let Some(told) = self.shared.told(what) {
            return Some(told);
        }
        // SAFETY: the host's view lives as long as the request's, which is `'a`.
        unsafe { host::info(self.call, what) }.and_then(|text| str::from_utf8(text).ok())
    }
}

/// A header's, or a parameter's, name and value.
pub(crate) fn pair<'a>(pair: &'a Header) -> Option<(&'a str, &'a [u8])> {
    // SAFETY: `view` got the promise that these are valid for as long as anybody has a reference to them.
    let (name, value) = unsafe { (pair.name.get::<'a>()?, pair.value.get::<'a>()?) };
    // The host gives tokens only, so nothing is lost.
    Some((str::from_utf8(name).ok()?, value))
}

/// # Safety
/// The view must be of UTF-8 that stays for `'a`.
unsafe fn text<'a>(view: Str) -> Option<&'a str> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { view.get() }?;
    debug_assert!(str::from_utf8(bytes).is_ok(), "the host gave {bytes:?} where the ABI promises UTF-8");
    // SAFETY: as above.
    Some(unsafe { str::from_utf8_unchecked(bytes) })
}

/// # Safety
/// `first` must be the start of `count` values that are valid for `'a`, or `count` be 0.
unsafe fn slice<'a, T>(first: *const T, count: u32) -> &'a [T] {
    if count == 0 || first.is_null() {
        return &[];
    }
    // SAFETY: the caller's promise; a u32 fits a usize on LP64.
    unsafe { std::slice::from_raw_parts(first, count as usize) }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> =
            self.headers().map(|(name, value)| (name, String::from_utf8_lossy(value))).collect();
        f.debug_struct("Request")
            .field("method", &self.method())
            .field("path", &self.path())
            .field("query", &self.query())
            .field("headers", &headers)
            .field("body_bytes", &self.body().len())
            .finish_non_exhaustive()
    }
}
