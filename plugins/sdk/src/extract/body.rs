//! The body as bytes or as text.

use std::convert::Infallible;
use std::str;

use crate::{BodyMode, FromRequest, Rejection, Request};

impl<'r> FromRequest<'r> for &'r [u8] {
    type Rejection = Infallible;
    const BODY: BodyMode = BodyMode::Whole;

    fn from_request(request: &Request<'r>) -> Result<Self, Infallible> {
        Ok(request.body())
    }
}

impl<'r> FromRequest<'r> for Vec<u8> {
    type Rejection = Infallible;
    const BODY: BodyMode = BodyMode::Whole;

    fn from_request(request: &Request<'r>) -> Result<Self, Infallible> {
        Ok(request.body().to_vec())
    }
}

impl<'r> FromRequest<'r> for &'r str {
    type Rejection = Rejection;
    const BODY: BodyMode = BodyMode::Whole;

    fn from_request(request: &Request<'r>) -> Result<Self, Rejection> {
        str::from_utf8(request.body()).map_err(|error| {
            Rejection::bad_request(format!(
                "the body is not UTF-8 text: byte {} is wrong",
                error.valid_up_to()
            ))
        })
    }

    /// A body without a byte is none.
    fn optional(request: &Request<'r>) -> Result<Option<Self>, Rejection> {
        if request.body().is_empty() { Ok(None) } else { Self::from_request(request).map(Some) }
    }
}

impl<'r> FromRequest<'r> for String {
    type Rejection = Rejection;
    const BODY: BodyMode = BodyMode::Whole;

    fn from_request(request: &Request<'r>) -> Result<Self, Rejection> {
        <&str>::from_request(request).map(str::to_owned)
    }

    fn optional(request: &Request<'r>) -> Result<Option<Self>, Rejection> {
        Ok(<&str>::optional(request)?.map(str::to_owned))
    }
}
