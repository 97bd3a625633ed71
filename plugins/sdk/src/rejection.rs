//! Why a request is not let through to its handler, or by it.
//!
//! Owns the status and the words that the client gets. Must hold nothing that the client may not know: that goes to the log.

use std::borrow::Cow;
use std::fmt;

use crate::{BodyError, IntoResponse, Response, log};

/// An answer to a client whose request cannot be served: a status and a line of text that says what to do about it.
///
/// Extractors reject with it, and a handler may too: it is an error, so that `?` passes it on, also as an [`Error`](crate::Error).
///
/// ```
/// use hotbay_sdk::{Path, Rejection, Result, handler, test};
///
/// #[handler(GET, "/guests/{id}")]
/// fn guest(Path(id): Path<usize>) -> Result<&'static str> {
///     let name = ["ada", "grace"].get(id).copied();
///     Ok(name.ok_or_else(|| Rejection::new(404, format!("there is no guest {id}")))?)
/// }
///
/// let response = test::call(guest, &test::get("/guests/7").param("id", "7"));
/// assert_eq!((response.status_code(), response.body()), (404, &b"there is no guest 7\n"[..]));
/// ```
/// One that is made and dropped is a mistake that the compiler sees:
/// ```compile_fail
/// #![deny(unused_must_use)]
/// fn only_even(id: u32) {
///     if id % 2 == 1 {
///         hotbay_sdk::Rejection::bad_request("the id is odd");
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it is answered only if the handler returns it: `return Err(…)`"]
pub struct Rejection {
    status: u16,
    words: Cow<'static, str>,
    /// A challenge, for 401.
    authenticate: Option<&'static str>,
}

impl Rejection {
    /// An answer of this status, 400 to 599, and these words.
    pub fn new(status: u16, words: impl Into<Cow<'static, str>>) -> Self {
        Self { status, words: words.into(), authenticate: None }
    }

    /// 400: the request is malformed.
    pub fn bad_request(words: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, words)
    }

    /// 401, with the scheme that the client shall use.
    pub fn unauthorized(scheme: &'static str, words: impl Into<Cow<'static, str>>) -> Self {
        Self { authenticate: Some(scheme), ..Self::new(401, words) }
    }

    /// 500, because of what only the log may know.
    pub(crate) fn internal(words: impl fmt::Display) -> Self {
        log::error(words);
        Self::new(500, INTERNAL)
    }

    /// The status of the answer.
    pub fn status_code(&self) -> u16 {
        self.status
    }
}

/// All that a client learns of an error that is not its own; the engine says the same after a panic.
pub(crate) const INTERNAL: &str = "internal server error";

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl std::error::Error for Rejection {}

impl From<BodyError> for Rejection {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::new(413, "the request's body is too large"),
            // Mostly nobody is there to read it, but who has sent a malformed body waits to hear.
            BodyError::Gone => Self::bad_request("the request's body is malformed or ended early"),
        }
    }
}

impl IntoResponse for BodyError {
    fn into_response(self) -> Response {
        Rejection::from(self).into_response()
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let response = Response::text(format!("{}\n", self.words)).with_status(self.status);
        match self.authenticate {
            Some(scheme) => response.with_header("www-authenticate", scheme),
            None => response,
        }
    }
}
