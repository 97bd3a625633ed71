//! What a handler is asked: views over the host's memory, never copied.

use std::any::{Any, type_name};
use std::fmt;
use std::str;

use hotbay_abi::{Header, Str};

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
    pub(crate) state: &'a (dyn Any + Send + Sync),
}

// SAFETY: all views are to memory that nobody writes until the call is over, which the lifetime ends with; `state` is Sync.
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
        state: &'a (dyn Any + Send + Sync),
    ) -> Option<Self> {
        // SAFETY: the caller's promise, for this and the next four views.
        let text = |view: Str| unsafe { view.get::<'a>() }.map(text).transpose().ok();
        Some(Self {
            method: text(raw.method)??,
            path: text(raw.path)??,
            query: text(raw.query)?,
            authority: text(raw.authority)?,
            // SAFETY: the caller's promise.
            headers: unsafe { slice(raw.headers, raw.n_headers) },
            // SAFETY: the caller's promise.
            params: unsafe { slice(raw.params, raw.n_params) },
            // SAFETY: the caller's promise.
            body: unsafe { raw.body.get() }.unwrap_or_default(),
            state,
        })
    }

    pub(crate) fn with_body(self, body: &'a [u8]) -> Self {
        Self { body, ..self }
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
        match self.state.downcast_ref() {
            Some(state) => state,
            None => panic!("the module's state is no {}; ask for what `create` makes", type_name::<T>()),
        }
    }

    fn pairs(&self, list: &'a [Header]) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        list.iter().filter_map(|pair| {
            // SAFETY: `view` got the promise that these are valid for `'a`.
            let (name, value) = unsafe { (pair.name.get::<'a>()?, pair.value.get::<'a>()?) };
            // The host gives tokens only, so nothing is lost.
            Some((str::from_utf8(name).ok()?, value))
        })
    }
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
