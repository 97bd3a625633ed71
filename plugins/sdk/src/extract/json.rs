//! JSON in and out.

use serde::{Deserialize, Serialize};
use serde_json::error::Category;

use super::track;
use crate::{BodyMode, FromRequest, IntoResponse, Rejection, Request, Response};

/// The body as JSON; as an answer, JSON with 200.
///
/// The request must say `content-type: application/json` (or `…+json`), else it is answered with 415; what is no JSON with 400; what does not
/// fit `T` with 422 and the field's path. `T` may borrow from the body, `Json<Entry<'_>>`: a
/// text then is a `Cow<str>` with `#[serde(borrow)]`, because a `&str` cannot hold what JSON escapes, such as a quote. `Option<Json<T>>` is `None` without a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<'r, T: Deserialize<'r>> FromRequest<'r> for Json<T> {
    type Rejection = Rejection;
    const BODY: BodyMode = BodyMode::Whole;

    fn from_request(request: &Request<'r>) -> Result<Self, Rejection> {
        match request.header("content-type") {
            Some(kind) if is_json(kind) => parse(request.body()).map(Self),
            Some(kind) => Err(Rejection::new(
                415,
                format!("the body is {kind}; send JSON as content-type: application/json"),
            )),
            None => Err(Rejection::new(
                415,
                "the body's type is not said; send JSON as content-type: application/json",
            )),
        }
    }

    fn optional(request: &Request<'r>) -> Result<Option<Self>, Rejection> {
        if request.body().is_empty() { Ok(None) } else { Self::from_request(request).map(Some) }
    }
}

fn is_json(kind: &str) -> bool {
    let kind = kind.split_once(';').map_or(kind, |(kind, _)| kind).trim();
    let has = |end: &str| {
        kind.len() >= end.len()
            && kind.as_bytes()[kind.len() - end.len()..].eq_ignore_ascii_case(end.as_bytes())
    };
    kind.eq_ignore_ascii_case("application/json") || (has("+json") && kind.contains('/'))
}

fn parse<'r, T: Deserialize<'r>>(body: &'r [u8]) -> Result<T, Rejection> {
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        Category::Data => {
            let place = track::place::<T, _>(&mut serde_json::Deserializer::from_slice(body), &error);
            Rejection::new(422, format!("the JSON does not fit: {place}"))
        }
        _ => Rejection::bad_request(format!("the body is not JSON: {error}")),
    })
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        Response::json(&self.0)
    }
}
