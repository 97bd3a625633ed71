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
// Whoever makes one promises that the views are valid for `'a`.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
    pub(crate) authority: Option<&'a str>,
    pub(crate) headers: &'a [Header],
    pub(crate) params: &'a [Header],
    pub(crate) body: &'a [u8],
    /// `body` is all there is; otherwise it is read from the host.
    pub(crate) whole: bool,
    /// 10, 11 or 20.
    #[cfg_attr(not(feature = "tower"), expect(dead_code, reason = "only `http` has a place for it"))]
    pub(crate) http: u16,
    /// What the client offers to leave HTTP for.
    pub(crate) protocol: Option<&'a str>,
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
    /// Views over the host's request; `None` if its method, path, query or authority is not UTF-8, which no handler gets to see.
    ///
    /// # Safety
    /// `raw` and all that it points to must stay valid and unchanged for `'a`.
    pub(crate) unsafe fn view(
        raw: &'a hotbay_abi::Request,
        call: Handle,
        link: *const Link,
        shared: &'a Shared,
    ) -> Option<Self> {
        // SAFETY: the caller's promise, for this and the next five views.
        let text = |view: Str| unsafe { view.get::<'a>() }.map(text).transpose().ok();
        Some(Self {
            method: text(raw.method)??,
            path: text(raw.path)??,
            query: text(raw.query)?,
            authority: text(raw.authority)?,
            protocol: if raw.flags & REQ_UPGRADE_OK == 0 { None } else { text(raw.protocol)? },
            whole: raw.flags & REQ_BODY_INLINE != 0,
            http: raw.http,
            call,
            link,
            // SAFETY: the caller's promise.
            headers: unsafe { slice(raw.headers, raw.n_headers) },
            // SAFETY: the caller's promise.
            params: unsafe { slice(raw.params, raw.n_params) },
            // SAFETY: the caller's promise.
            body: unsafe { raw.body.get() }.unwrap_or_default(),
            shared,
        })
    }

    pub(crate) fn with_body(self, body: &'a [u8]) -> Self {
        Self { body, whole: true, ..self }
    }

    /// The method, in capitals as it was sent.
    pub fn method(&self) -> &'a str {
        self.method
    }

    /// The path as it was sent, with its percent-encoding.
    pub fn path(&self) -> &'a str {
        self.path
    }

    /// What follows the `?`, with its percent-encoding; `None` if there is no `?`.
    pub fn query(&self) -> Option<&'a str> {
        self.query
    }

    /// The host, and the port if there is one, that the client asked for.
    pub fn authority(&self) -> Option<&'a str> {
        self.authority
    }

    /// What the path has in the place of `{name}` or `{*name}`, with its percent-encoding.
    pub fn param(&self, name: &str) -> Option<&'a str> {
        self.pairs(self.params)
            .find(|(have, _)| *have == name)
            .and_then(|(_, value)| str::from_utf8(value).ok())
    }

    /// All headers, names in lower case; values may be any bytes. Equal names are in the order sent.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        self.pairs(self.headers)
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
        self.body
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

    #[cfg(feature = "extract")]
    pub(crate) fn params(&self) -> &'a [Header] {
        self.params
    }

    pub(crate) fn raw_headers(&self) -> &'a [Header] {
        self.headers
    }

    fn info(&self, what: u32) -> Option<&'a str> {
        if let Some(told) = self.shared.told(what) {
            return Some(told);
        }
        // SAFETY: the host's view lives as long as the request's, which is `'a`.
        unsafe { host::info(self.call, what) }.and_then(|text| str::from_utf8(text).ok())
    }

    fn pairs(&self, list: &'a [Header]) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        list.iter().filter_map(pair)
    }
}

/// A header's, or a parameter's, name and value.
pub(crate) fn pair<'a>(pair: &'a Header) -> Option<(&'a str, &'a [u8])> {
    // SAFETY: `view` got the promise that these are valid for as long as anybody has a reference to them.
    let (name, value) = unsafe { (pair.name.get::<'a>()?, pair.value.get::<'a>()?) };
    // The host gives tokens only, so nothing is lost.
    Some((str::from_utf8(name).ok()?, value))
}

/// As `str::from_utf8`, and cheaper for what nearly every request is made of: short and plain.
fn text(bytes: &[u8]) -> Result<&str, str::Utf8Error> {
    if bytes.is_ascii() {
        // SAFETY: ASCII is UTF-8.
        return Ok(unsafe { str::from_utf8_unchecked(bytes) });
    }
    str::from_utf8(bytes)
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
        let Self { method, path, query, body, .. } = self;
        let headers: Vec<_> =
            self.headers().map(|(name, value)| (name, String::from_utf8_lossy(value))).collect();
        f.debug_struct("Request")
            .field("method", method)
            .field("path", path)
            .field("query", query)
            .field("headers", &headers)
            .field("body_bytes", &body.len())
            .finish_non_exhaustive()
    }
}
