//! What a handler may return.
//!
//! ```
//! use hotbay_sdk::{IntoResponse, Json, Redirect, Rejection, StatusCode, handler, test};
//!
//! #[handler(POST, "/guests/{name}")]
//! fn sign(hotbay_sdk::Path(name): hotbay_sdk::Path<String>) -> Result<impl IntoResponse, Rejection> {
//!     if name.is_empty() {
//!         return Err(Rejection::bad_request("a guest has a name"));
//!     }
//!     Ok((StatusCode::CREATED, [("location", format!("/guests/{name}"))], Json(name)))
//! }
//!
//! let response = test::call(sign, &test::request("POST", "/guests/ada").param("name", "ada"));
//! assert_eq!((response.status_code(), response.header("location")), (201, Some("/guests/ada")));
//! ```
//!
//! Owns what each type is answered as. Must not send anything.

use std::borrow::Cow;
use std::convert::Infallible;

use crate::{Body, Response};

mod status;

pub use status::StatusCode;

/// What a handler may return.
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    label = "cannot be made an answer",
    note = "a handler returns Response, &'static str, String, Vec<u8>, Json<T>, Html<T>, Redirect, StatusCode, Body, (), \
            Option<…>, Result<…, …> or a tuple (status, [(name, value)], …, body) of these, \
            and every type that implements hotbay_sdk::IntoResponse",
    note = "for `?` on any error, return hotbay_sdk::Result<…>"
)]
pub trait IntoResponse {
    /// Makes the answer.
    fn into_response(self) -> Response;
}

/// What may stand before the body in a tuple: a status, or headers.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither a status nor headers",
    label = "cannot stand before the body of an answer",
    note = "before the body stand StatusCode or u16, [(name, value)], Vec<(name, value)>, and Option of these"
)]
pub trait IntoResponseParts {
    /// Puts itself into an answer.
    fn add_to(self, response: Response) -> Response;
}

/// HTML with 200.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Html<T>(pub T);

/// Sends the client elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it is answered only if the handler returns it"]
pub struct Redirect {
    status: StatusCode,
    location: Cow<'static, str>,
}

impl Redirect {
    /// 303: look there, with GET; as after a form was posted.
    pub fn to(location: impl Into<Cow<'static, str>>) -> Self {
        Self { status: StatusCode::SEE_OTHER, location: location.into() }
    }

    /// 307: send the same there, this time.
    pub fn temporary(location: impl Into<Cow<'static, str>>) -> Self {
        Self { status: StatusCode::TEMPORARY_REDIRECT, location: location.into() }
    }

    /// 308: send the same there, from now on.
    pub fn permanent(location: impl Into<Cow<'static, str>>) -> Self {
        Self { status: StatusCode::PERMANENT_REDIRECT, location: location.into() }
    }
}

impl IntoResponse for Redirect {
    fn into_response(self) -> Response {
        Response::status(self.status.as_u16()).with_header("location", self.location)
    }
}

impl<T: Into<Body>> IntoResponse for Html<T> {
    fn into_response(self) -> Response {
        Response::ok("text/html; charset=utf-8", self.0.into())
    }
}

impl IntoResponse for Response {
    #[inline]
    fn into_response(self) -> Response {
        self
    }
}

impl IntoResponse for Infallible {
    fn into_response(self) -> Response {
        match self {}
    }
}

/// 200 without a body.
impl IntoResponse for () {
    fn into_response(self) -> Response {
        Response::status(200)
    }
}

/// The status without a body.
impl IntoResponse for StatusCode {
    fn into_response(self) -> Response {
        Response::status(self.as_u16())
    }
}

/// 200; what kind of body it is, a header must say.
impl IntoResponse for Body {
    fn into_response(self) -> Response {
        Response::status(200).with_body(self)
    }
}

macro_rules! text {
    ($($text:ty)*) => {
        $(impl IntoResponse for $text {
            fn into_response(self) -> Response {
                Response::text(self)
            }
        })*
    };
}

text! { &'static str String Cow<'static, str> }

macro_rules! bytes {
    ($($bytes:ty)*) => {
        $(impl IntoResponse for $bytes {
            fn into_response(self) -> Response {
                Response::ok("application/octet-stream", self.into())
            }
        })*
    };
}

bytes! { &'static [u8] Vec<u8> bytes::Bytes }

/// What `b"…"` is.
impl<const N: usize> IntoResponse for &'static [u8; N] {
    fn into_response(self) -> Response {
        self.as_slice().into_response()
    }
}

/// `Err` is an answer too.
impl<T: IntoResponse, E: IntoResponse> IntoResponse for Result<T, E> {
    fn into_response(self) -> Response {
        match self {
            Ok(answer) => answer.into_response(),
            Err(error) => error.into_response(),
        }
    }
}

/// `None` is 404.
impl<T: IntoResponse> IntoResponse for Option<T> {
    fn into_response(self) -> Response {
        match self {
            Some(answer) => answer.into_response(),
            None => Response::text("not found\n").with_status(404),
        }
    }
}

impl IntoResponseParts for StatusCode {
    fn add_to(self, response: Response) -> Response {
        response.with_status(self.as_u16())
    }
}

impl IntoResponseParts for u16 {
    fn add_to(self, response: Response) -> Response {
        response.with_status(self)
    }
}

impl<K, V, const N: usize> IntoResponseParts for [(K, V); N]
where
    K: Into<Cow<'static, str>>,
    V: Into<Cow<'static, str>>,
{
    fn add_to(self, response: Response) -> Response {
        self.into_iter().fold(response, |response, (name, value)| response.with_header(name, value))
    }
}

impl<K, V> IntoResponseParts for Vec<(K, V)>
where
    K: Into<Cow<'static, str>>,
    V: Into<Cow<'static, str>>,
{
    fn add_to(self, response: Response) -> Response {
        self.into_iter().fold(response, |response, (name, value)| response.with_header(name, value))
    }
}

impl<P: IntoResponseParts> IntoResponseParts for Option<P> {
    fn add_to(self, response: Response) -> Response {
        match self {
            Some(parts) => parts.add_to(response),
            None => response,
        }
    }
}

/// The body is last; what stands first has the last word.
macro_rules! tuple {
    ($($part:ident)*) => {
        impl<$($part: IntoResponseParts,)* B: IntoResponse> IntoResponse for ($($part,)* B,) {
            #[allow(non_snake_case, reason = "the variables are called as their types")]
            fn into_response(self) -> Response {
                let ($($part,)* body,) = self;
                let response = body.into_response();
                tuple!(@add response $($part)*)
            }
        }
    };
    (@add $response:ident) => { $response };
    (@add $response:ident $first:ident $($rest:ident)*) => {
        $first.add_to(tuple!(@add $response $($rest)*))
    };
}

tuple! { P1 }
tuple! { P1 P2 }
tuple! { P1 P2 P3 }
tuple! { P1 P2 P3 P4 }
tuple! { P1 P2 P3 P4 P5 }
tuple! { P1 P2 P3 P4 P5 P6 }
tuple! { P1 P2 P3 P4 P5 P6 P7 }

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(answer: impl IntoResponse) -> (u16, Option<String>, Vec<u8>) {
        let response = answer.into_response();
        let kind = response.header("content-type").map(str::to_owned);
        (response.status_code(), kind, response.body().to_vec())
    }

    fn kind(kind: &str) -> Option<String> {
        Some(kind.to_owned())
    }

    #[test]
    fn each_type_has_its_status_its_kind_and_its_body() {
        let text = kind("text/plain; charset=utf-8");
        assert_eq!(seen("a"), (200, text.clone(), b"a".to_vec()));
        assert_eq!(seen("a".to_owned()), (200, text.clone(), b"a".to_vec()));
        assert_eq!(seen(Cow::Borrowed("a")), (200, text.clone(), b"a".to_vec()));
        let bytes = kind("application/octet-stream");
        assert_eq!(seen(vec![1]), (200, bytes.clone(), vec![1]));
        assert_eq!(seen(&b"a"[..]), (200, bytes.clone(), b"a".to_vec()));
        assert_eq!(seen(b"a"), (200, bytes, b"a".to_vec()));
        assert_eq!(seen(Html("<p>")), (200, kind("text/html; charset=utf-8"), b"<p>".to_vec()));
        assert_eq!(seen(()), (200, None, vec![]));
        assert_eq!(seen(StatusCode::NO_CONTENT), (204, None, vec![]));
        assert_eq!(seen(Response::text("a").with_status(418)), (418, text.clone(), b"a".to_vec()));
        assert_eq!(seen(Some("a")), (200, text.clone(), b"a".to_vec()));
        assert_eq!(seen(None::<&'static str>), (404, text.clone(), b"not found\n".to_vec()));
        assert_eq!(seen(Ok::<_, StatusCode>("a")), (200, text, b"a".to_vec()));
        assert_eq!(seen(Err::<&'static str, _>(StatusCode::CONFLICT)), (409, None, vec![]));
    }

    #[test]
    fn a_redirect_says_where_and_how() {
        for (redirect, status) in
            [(Redirect::to("/a"), 303), (Redirect::temporary("/a"), 307), (Redirect::permanent("/a"), 308)]
        {
            let response = redirect.into_response();
            assert_eq!((response.status_code(), response.header("location")), (status, Some("/a")));
        }
    }

    #[test]
    fn what_stands_first_in_a_tuple_has_the_last_word() {
        let response =
            (201, [("content-type", "a/b")], vec![("x-a", "1".to_owned())], "made").into_response();
        let headers = (response.header("content-type"), response.header("x-a"));
        assert_eq!((response.status_code(), headers), (201, (Some("a/b"), Some("1"))));
        assert_eq!((None::<StatusCode>, (StatusCode::ACCEPTED, "later")).into_response().status_code(), 202);
        assert_eq!((StatusCode::OK, StatusCode::ACCEPTED).into_response().status_code(), 200);
    }
}
