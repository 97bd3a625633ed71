//! Requests without a host, for the tests of a module.
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
//! ```

use std::any::Any;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use hotbay_abi::{Header, Str};

use crate::Request;
use crate::request::State;

/// A request that a test makes up.
pub struct TestRequest {
    method: String,
    path: String,
    query: Option<String>,
    headers: Pairs,
    params: Pairs,
    body: Vec<u8>,
    state: State,
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

/// A request of `target`, a path and perhaps a query.
pub fn request(method: &str, target: &str) -> TestRequest {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    TestRequest {
        method: method.to_owned(),
        path: path.to_owned(),
        query,
        headers: Pairs::default(),
        params: Pairs::default(),
        body: Vec::new(),
        state: Box::new(()),
    }
}

/// Polls an async handler that needs to wait for nothing; `None` if it would wait.
pub fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

impl TestRequest {
    /// One more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push(name.to_ascii_lowercase().into(), value.as_ref().to_vec());
        self
    }

    /// What the path has in the place of `{name}`; nothing is matched here.
    #[must_use]
    pub fn param(mut self, name: &str, value: &str) -> Self {
        self.params.push(name.into(), value.into());
        self
    }

    /// The body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The module's state, as `create` would make it.
    #[must_use]
    pub fn state<T: Any + Send + Sync>(mut self, state: T) -> Self {
        self.state = Box::new(state);
        self
    }

    /// The request, as a handler gets it.
    pub fn view(&self) -> Request<'_> {
        Request {
            method: &self.method,
            path: &self.path,
            query: self.query.as_deref(),
            authority: None,
            headers: &self.headers.views,
            params: &self.params.views,
            body: &self.body,
            state: &*self.state,
        }
    }
}

impl Pairs {
    fn push(&mut self, name: Vec<u8>, value: Vec<u8>) {
        self.views.push(Header { name: Str::new(&name), value: Str::new(&value) });
        self.bytes.push((name, value));
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
    }

    #[test]
    #[should_panic(expected = "is no u16")]
    fn asking_for_another_state_says_so() {
        get("/").state(5_u8).view().state::<u16>();
    }

    #[test]
    fn polling_once_tells_waiting_from_done() {
        assert_eq!(poll_once(async { 1 }), Some(1));
        assert_eq!(poll_once(std::future::pending::<()>()), None);
    }
}
