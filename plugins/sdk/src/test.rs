//! Requests without a host, for the tests of a module.
//!
//! A handler is a function, so a test may call it with whatever it takes. [`call`] does what the host's call does: it makes the arguments of
//! a request, and an answer of what is returned or of what does not fit.
//!
//! ```
//! use hotbay_sdk::{Request, Response, test};
//!
//! fn hello(request: Request) -> Response {
//!     Response::text(request.param("name").unwrap_or("you").to_owned())
//! }
//!
//! let request = test::get("/hello/ada").param("name", "ada");
//! assert_eq!(hello(request.view()).body(), b"ada");
//! assert_eq!(test::call(hello, &request).body(), b"ada");
//! ```

use std::any::Any;
use std::net::SocketAddr;

use hotbay_abi::{Header, INFO_PEER, INFO_REQUEST_ID, INFO_TRACEPARENT, REQ_BODY_INLINE, Str};

use crate::Request;
use crate::instance::Shared;
use crate::link::NO_LINK;

mod call;
mod wait;

pub use call::{Callable, call};
pub use wait::{block_on, collect, poll_once};

/// A request that a test makes up.
pub struct TestRequest {
    method: String,
    path: String,
    query: Option<String>,
    authority: Option<String>,
    headers: Pairs,
    params: Pairs,
    body: Vec<u8>,
    shared: Shared,
    /// The host's kind of view over the rest. What it points to is on the heap, and stays where it is when this moves.
    pub(crate) raw: hotbay_abi::Request,
}

/// Pairs of bytes, and the host's kind of view over them.
#[derive(Default)]
struct Pairs {
    views: Vec<Header>,
    /// What the views point to: the heap's bytes, which stay where they are when this moves.
    bytes: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A GET of `target`, a path and perhaps a query.
pub fn get(target: &str) -> TestRequest {
    request("GET", target)
}

/// A request of `target`, a path and perhaps a query. From now on, what is written with the crates `log` and `tracing` goes to standard error, unless the
/// test has installed something else before.
pub fn request(method: &str, target: &str) -> TestRequest {
    crate::log::install();
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    TestRequest {
        method: method.to_owned(),
        path: path.to_owned(),
        query,
        authority: None,
        headers: Pairs::default(),
        params: Pairs::default(),
        body: Vec::new(),
        shared: Shared::new(Box::new(()), None),
        raw: hotbay_abi::Request::EMPTY,
    }
    .viewed()
}

/// A POST to `target`, a path and perhaps a query.
pub fn post(target: &str) -> TestRequest {
    request("POST", target)
}

impl TestRequest {
    /// One more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push(name.to_ascii_lowercase().into(), value.as_ref().to_vec());
        self.viewed()
    }

    /// What the path has in the place of `{name}`; nothing is matched here.
    #[must_use]
    pub fn param(mut self, name: &str, value: &str) -> Self {
        self.params.push(name.into(), value.into());
        self.viewed()
    }

    /// The body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.viewed()
    }

    /// JSON as the body, with its content type.
    #[cfg(feature = "json")]
    #[must_use]
    pub fn json(self, json: &str) -> Self {
        self.header("content-type", "application/json").body(json)
    }

    /// A form as the body, written as `name=ada&mail=…`, with its content type.
    #[must_use]
    pub fn form(self, form: &str) -> Self {
        self.header("content-type", "application/x-www-form-urlencoded").body(form)
    }

    /// The host, and the port if there is one, that the client asks for.
    #[must_use]
    pub fn authority(mut self, authority: &str) -> Self {
        self.authority = Some(authority.to_owned());
        self.viewed()
    }

    /// The module's state, as `create` would make it.
    #[must_use]
    pub fn state<T: Any + Send + Sync>(mut self, state: T) -> Self {
        self.shared.set_state(state);
        self
    }

    /// The module's config as its type, for `Settings<T>`.
    #[must_use]
    pub fn settings<T: Any + Send + Sync>(mut self, settings: T) -> Self {
        self.shared.keep_settings(settings);
        self
    }

    /// The address that the request comes from.
    #[must_use]
    pub fn peer(mut self, peer: SocketAddr) -> Self {
        self.shared.tell(INFO_PEER, peer.to_string());
        self
    }

    /// The request's id.
    #[must_use]
    pub fn request_id(mut self, id: &str) -> Self {
        self.shared.tell(INFO_REQUEST_ID, id.to_owned());
        self
    }

    /// The trace that the request belongs to: `00-<trace id>-<parent id>-<flags>`.
    #[must_use]
    pub fn traceparent(mut self, traceparent: &str) -> Self {
        self.shared.tell(INFO_TRACEPARENT, traceparent.to_owned());
        self
    }

    /// The request, as a handler gets it.
    pub fn view(&self) -> Request<'_> {
        // SAFETY: what the views point to is owned, and cannot change while it is borrowed; its texts were `str`s.
        unsafe { Request::view(&self.raw, 0, NO_LINK, &self.shared) }
    }

    /// With the host's kind of view over what it says now.
    fn viewed(mut self) -> Self {
        let text = |text: &str| Str::new(text.as_bytes());
        let optional = |known: &Option<String>| known.as_deref().map_or(Str::ABSENT, text);
        self.raw = hotbay_abi::Request {
            flags: REQ_BODY_INLINE,
            n_headers: self.headers.count(),
            n_params: self.params.count(),
            method: text(&self.method),
            authority: optional(&self.authority),
            path: text(&self.path),
            query: optional(&self.query),
            body: Str::new(&self.body),
            headers: self.headers.first(),
            params: self.params.first(),
            ..hotbay_abi::Request::EMPTY
        };
        self
    }
}

impl Pairs {
    fn push(&mut self, name: Vec<u8>, value: Vec<u8>) {
        self.views.push(Header { name: Str::new(&name), value: Str::new(&value) });
        self.bytes.push((name, value));
    }

    /// NULL if there are none, as hosts give it.
    fn first(&self) -> *const Header {
        if self.views.is_empty() { std::ptr::null() } else { self.views.as_ptr() }
    }

    fn count(&self) -> u32 {
        u32::try_from(self.views.len()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_shows_what_it_was_made_of() {
        let request =
            request("POST", "/a?b=c").header("X-Bytes", b"\xff").header("x-bytes", "2").param("id", "7");
        let request = request.body("hi").state(5_u8);
        let view = request.view();
        assert_eq!((view.method(), view.path(), view.query()), ("POST", "/a", Some("b=c")));
        assert_eq!((view.header("x-bytes"), view.header_bytes("X-BYTES")), (None, Some(&b"\xff"[..])));
        assert_eq!(view.headers().count(), 2);
        assert_eq!((view.param("id"), view.param("other")), (Some("7"), None));
        assert_eq!((view.body(), *view.state::<u8>()), (&b"hi"[..], 5));
        assert_eq!(get("/").view().query(), None);
        assert!(get("/").raw.headers.is_null() && get("/").raw.params.is_null(), "as hosts have it");
    }

    #[test]
    #[should_panic(expected = "is no u16")]
    fn asking_for_another_state_says_so() {
        get("/").state(5_u8).view().state::<u16>();
    }
}
