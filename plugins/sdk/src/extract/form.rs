//! What browsers write behind a `?` or send from a form.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_html_form::Deserializer;

use super::track;
use crate::{BodyMode, FromRequest, Rejection, Request};

const FORM: &str = "application/x-www-form-urlencoded";

/// What follows the `?`, as a struct or a map; a name that comes twice fills a `Vec`. What does not fit is answered with 400.
///
/// `Option<Query<T>>` is `None` if there is no `?`; without `Option`, that is the same as an empty query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Query<T>(pub T);

impl<'r, T: DeserializeOwned> FromRequest<'r> for Query<T> {
    type Rejection = Rejection;

    fn from_request(request: &Request<'r>) -> Result<Self, Rejection> {
        let query = request.query().unwrap_or_default();
        parse(query.as_bytes())
            .map(Self)
            .map_err(|place| Rejection::bad_request(format!("the query does not fit: {place}")))
    }

    fn optional(request: &Request<'r>) -> Result<Option<Self>, Rejection> {
        request.query().map(|_| Self::from_request(request)).transpose()
    }
}

/// A form as browsers send it: the body, of `content-type: application/x-www-form-urlencoded`, or the query of a GET or HEAD.
///
/// Another content type is answered with 415, a body that does not fit with 422, a query with 400. `Option<Form<T>>` is `None` without one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Form<T>(pub T);

impl<'r, T: DeserializeOwned> FromRequest<'r> for Form<T> {
    type Rejection = Rejection;
    const BODY: BodyMode = BodyMode::Whole;

    fn from_request(request: &Request<'r>) -> Result<Self, Rejection> {
        if in_query(request) {
            return Query::from_request(request).map(|Query(form)| Self(form));
        }
        let kind = request.header("content-type").unwrap_or("not said");
        let essence = kind.split_once(';').map_or(kind, |(essence, _)| essence).trim();
        if !essence.eq_ignore_ascii_case(FORM) {
            return Err(Rejection::new(
                415,
                format!("the body's type is {kind}; send a form as content-type: {FORM}"),
            ));
        }
        parse(request.body())
            .map(Self)
            .map_err(|place| Rejection::new(422, format!("the form does not fit: {place}")))
    }

    fn optional(request: &Request<'r>) -> Result<Option<Self>, Rejection> {
        let absent = if in_query(request) { request.query().is_none() } else { request.body().is_empty() };
        if absent { Ok(None) } else { Self::from_request(request).map(Some) }
    }
}

fn in_query(request: &Request<'_>) -> bool {
    matches!(request.method(), "GET" | "HEAD")
}

fn parse<'r, T: Deserialize<'r>>(text: &'r [u8]) -> Result<T, String> {
    serde_html_form::from_bytes(text)
        .map_err(|error| track::place::<T, _>(Deserializer::from_bytes(text), &error))
}
