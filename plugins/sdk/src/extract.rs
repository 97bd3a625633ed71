//! What a handler may take as its arguments, each made of the request before the handler is called.
//!
//! ```
//! use hotbay_sdk::{Json, Path, Query, State, handler};
//! # use serde::Deserialize;
//! # #[derive(Deserialize)] struct Page { from: Option<u32> }
//! # #[derive(Deserialize)] struct Entry { text: String }
//! # struct Guests;
//!
//! #[handler(GET, "/guests/{id}")]
//! fn guest(Path(id): Path<u32>, Query(page): Query<Page>, guests: &Guests) -> String {
//!     format!("guest {id} from {:?}", page.from)
//! }
//!
//! #[handler(POST, "/guests")]
//! async fn sign(State(guests): State<'_, Guests>, Json(entry): Json<Entry>) -> String {
//!     entry.text
//! }
//! ```
//!
//! | argument | is | answers, if it cannot be made |
//! | --- | --- | --- |
//! | [`Request`] | all of the request, without a copy | |
//! | [`Path<T>`] | the path's parameters, decoded: a value, a tuple, or a struct by names | 400 |
//! | [`Query<T>`] | what follows the `?` | 400 |
//! | [`Json<T>`] | the body as JSON | 400, 415, 422 |
//! | [`Form<T>`] | a form: the body, or the query of a GET | 400, 415, 422 |
//! | `&[u8]`, `Vec<u8>` | the body's bytes | |
//! | `&str`, `String` | the body as text | 400 |
//! | [`RequestBody`] | the body, piece by piece as it comes | |
//! | [`Upgrade`](crate::Upgrade) | the offer to leave HTTP for another protocol | 426 |
//! | [`Headers`], [`Header<T>`] | all headers; one header by its type | 400, [`Bearer`]: 401 |
//! | [`Method`], [`Uri`] | of the first line | |
//! | [`Peer`] | who asks | |
//! | [`RequestId`], [`TraceParent`] | what names the request in logs | |
//! | `&T`, [`State<T>`] | the module's state, as `create` made it | |
//! | [`Settings<T>`] | the module's config, as its type | |
//! | [`Option<X>`](FromRequest::optional) | `None` where X is absent | as X, if X is there and wrong |
//! | `Result<X, Rejection>` | why there is no X, for the handler to answer | |
//!
//! A body that is larger than the module's limit is answered with 413 before the handler is called, and one that is malformed or
//! breaks off with 400. Several arguments may look at the same whole body, to check its signature and to parse it.
//!
//! Owns which argument means what. Must not answer: a [`Rejection`](crate::Rejection) says what is wrong, and the call's glue hands it over.

use std::convert::Infallible;

use crate::hook::Unmade;
use crate::instance::Shared;
use crate::{BodyMode, IntoResponse, Request, RequestBody, Response};

mod body;
#[cfg(feature = "extract")]
mod form;
mod header;
#[cfg(feature = "extract")]
mod json;
mod origin;
#[cfg(feature = "extract")]
mod path;
#[cfg(feature = "json")]
mod settings;
mod state;
#[cfg(feature = "extract")]
mod track;

#[cfg(feature = "extract")]
pub use form::{Form, Query};
pub use header::{Accept, Bearer, ContentType, Header, Headers, TypedHeader, UserAgent};
#[cfg(feature = "extract")]
pub use json::Json;
pub use origin::{Method, Peer, RequestId, TraceParent, Uri};
#[cfg(feature = "extract")]
pub use path::Path;
#[cfg(feature = "json")]
pub use settings::Settings;
pub use state::State;

/// What a handler may take as an argument.
///
/// ```
/// use hotbay_sdk::{FromRequest, Rejection, Request, handler, test};
///
/// /// The tenant that a request is for.
/// struct Tenant<'r>(&'r str);
///
/// impl<'r> FromRequest<'r> for Tenant<'r> {
///     type Rejection = Rejection;
///
///     fn from_request(request: &Request<'r>) -> Result<Self, Rejection> {
///         let host = request.authority().unwrap_or_default();
///         let (tenant, _) = host.split_once('.').ok_or_else(|| Rejection::new(404, "no such tenant"))?;
///         Ok(Self(tenant))
///     }
/// }
///
/// #[handler(GET, "/whoami")]
/// fn whoami(tenant: Tenant) -> String {
///     tenant.0.to_owned()
/// }
///
/// let request = test::get("/whoami").authority("blue.example.com");
/// assert_eq!(test::call(whoami, &request).body(), b"blue");
/// ```
#[diagnostic::on_unimplemented(
    message = "a handler cannot take `{Self}` as an argument",
    label = "cannot be made of a request",
    note = "a handler takes Request, Path<T>, Query<T>, Json<T>, Form<T>, Headers, Header<T>, &T or State<T> for the module's state, \
            &[u8], &str, String or RequestBody for the body, Option<…> and Result<…, Rejection> of these, \
            and every type that implements hotbay_sdk::FromRequest",
    note = "what Path, Query, Json and Form hold must implement serde::Deserialize"
)]
pub trait FromRequest<'r>: Sized {
    /// What the client is answered if the argument cannot be made: mostly [`Rejection`](crate::Rejection).
    type Rejection: IntoResponse;

    /// Whether the body must have come whole. The default is for arguments that do not look at it.
    const BODY: BodyMode = BodyMode::Stream;

    /// Makes the argument.
    ///
    /// # Errors
    /// When the request does not have it, or has it in a shape that does not fit.
    fn from_request(request: &Request<'r>) -> Result<Self, Self::Rejection>;

    /// What `Option<Self>` is made by: `None` if the request does not have it at all. What is there and does not fit is an error still.
    ///
    /// # Errors
    /// When the request has it in a shape that does not fit.
    fn optional(request: &Request<'r>) -> Result<Option<Self>, Self::Rejection> {
        Self::from_request(request).map(Some)
    }

    /// Looks at the instance before its first request, so that an author's mistake is known then.
    #[doc(hidden)]
    fn prepare(_instance: &mut Shared) -> Result<(), Unmade> {
        Ok(())
    }
}

impl<'r> FromRequest<'r> for Request<'r> {
    type Rejection = Infallible;
    const BODY: BodyMode = BodyMode::Whole;

    #[inline]
    fn from_request(request: &Request<'r>) -> Result<Self, Infallible> {
        Ok(*request)
    }
}

impl<'r> FromRequest<'r> for RequestBody {
    type Rejection = Infallible;

    fn from_request(request: &Request<'r>) -> Result<Self, Infallible> {
        Ok(Self::of(request))
    }
}

impl<'r, T: FromRequest<'r>> FromRequest<'r> for Option<T> {
    type Rejection = T::Rejection;
    const BODY: BodyMode = T::BODY;

    fn from_request(request: &Request<'r>) -> Result<Self, T::Rejection> {
        T::optional(request)
    }

    fn prepare(instance: &mut Shared) -> Result<(), Unmade> {
        T::prepare(instance)
    }
}

impl<'r, T: FromRequest<'r>> FromRequest<'r> for Result<T, T::Rejection> {
    type Rejection = Infallible;
    const BODY: BodyMode = T::BODY;

    fn from_request(request: &Request<'r>) -> Result<Self, Infallible> {
        Ok(T::from_request(request))
    }

    fn prepare(instance: &mut Shared) -> Result<(), Unmade> {
        T::prepare(instance)
    }
}

/// What `#[handler]` says about an argument of its function.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct Argument {
    body: BodyMode,
    pub(crate) prepare: fn(&mut Shared) -> Result<(), Unmade>,
}

impl Argument {
    /// About an argument of this type.
    pub const fn of<'r, T: FromRequest<'r>>() -> Self {
        Self { body: T::BODY, prepare: T::prepare }
    }

    /// When a handler with these arguments is called.
    pub const fn body(arguments: &[Self]) -> BodyMode {
        let (mut body, mut index) = (BodyMode::Stream, 0);
        while index < arguments.len() {
            body = body.and(arguments[index].body);
            index += 1;
        }
        body
    }
}

/// Answers instead of the handler, because an argument cannot be made.
#[doc(hidden)]
#[cold]
pub fn refuse(rejection: impl IntoResponse) -> Response {
    rejection.into_response()
}

#[cfg(test)]
mod tests;
