//! One request: look up, limit, call, answer.
//!
//! Owns what a client sees when there is no answer: a short text and a status, never the reason, which goes to the log. Must not touch the table or an
//! instance's life.

mod take_body;

use std::pin::Pin;

use bytes::Bytes;
use hotbay_loader::{Answer, Body, Call, CallFailure, Captures, DropReason, Incoming, Started};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::Body as _;
use hyper::body::Incoming as RequestBody;

use self::take_body::take_body;
use crate::serve::Shared;
use crate::table::{Found, InFlight, Routes, Target};
use crate::tally::Timed;
use crate::timers::Timers;

/// The row that counts requests which no module answered.
const NO_MODULE: usize = 0;

/// The client is to see a cut connection, not an answer.
#[derive(Debug, thiserror::Error)]
#[error("the module aborted the call")]
pub(crate) struct Cut;

/// An answer that is waited for. Boxed, so that the many requests that never wait carry no room for it from one place to the next.
pub(crate) type Waiting<'m> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, Cut>> + Send + 'm>>;

/// How an answer comes.
pub(crate) enum Answering<'m> {
    /// It is here: no module was asked, or its handler answered at once.
    Now(Result<Response<Bytes>, Cut>),
    /// It is waited for.
    Later(Waiting<'m>),
}

/// Answers one request by the routes of this moment.
pub(crate) fn answer(request: Request<RequestBody>, shared: &Shared) -> Answering<'_> {
    let timed = Timed::begin(&shared.memory);
    let is_head = *request.method() == Method::HEAD;
    // The table is let go of here: a slow handler must not hold an old one.
    let found = if names_a_host(&request) { Some(find(&request, &shared.routes.load())) } else { None };
    let (target, captures) = match found {
        Some(Found::Target(target, captures)) => (target, captures),
        other => return Answering::Now(finish(timed, is_head, NO_MODULE, Ok(of_ours(other)))),
    };
    let Some(instance) = &target.instance else {
        return Answering::Now(finish(timed, is_head, NO_MODULE, Ok(later("the module is starting\n"))));
    };
    let row = usize::try_from(instance.mark().row).unwrap_or(NO_MODULE);
    let Some(in_flight) = target.enter() else {
        return Answering::Now(finish(timed, is_head, row, Ok(busy())));
    };
    let (parts, body) = request.into_parts();
    if !body.is_end_stream() {
        return Answering::Later(Box::pin(async move {
            let result = with_body(parts, body, captures, in_flight, &shared.timers).await;
            finish(timed, is_head, row, result)
        }));
    }
    let incoming = Incoming { parts, handler: target.handler, captures, body: Body::Whole(Bytes::new()) };
    match hotbay_loader::start(instance, incoming) {
        Started::Done(result) => Answering::Now(finish(timed, is_head, row, concluded(result, &target))),
        Started::Pending(call) => Answering::Later(Box::pin(async move {
            let result = wait(call, in_flight, &shared.timers).await;
            finish(timed, is_head, row, result)
        })),
    }
}

/// Counts an answer, and gives it the shape that the request's method wants.
#[inline(always)]
fn finish(
    timed: Timed<'_>,
    is_head: bool,
    row: usize,
    mut result: Result<Response<Bytes>, Cut>,
) -> Result<Response<Bytes>, Cut> {
    // A call that was cut has no status; to the client it is a failure of ours.
    timed.answered(row, result.as_ref().map_or(500, |response| response.status().as_u16()));
    if let Ok(response) = &mut result {
        fit(is_head, response);
    }
    result
}

/// The answer where no module has one; `None`: the request does not name its host.
fn of_ours(found: Option<Found>) -> Response<Bytes> {
    match found {
        None => text(StatusCode::BAD_REQUEST, "a request names one host\n"),
        Some(Found::MethodNotAllowed(allow)) => {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
            response.headers_mut().insert(header::ALLOW, allow);
            response
        }
        Some(Found::Nothing | Found::Target(..)) => text(StatusCode::NOT_FOUND, "not found\n"),
    }
}

/// HTTP/1.1 wants exactly one Host header (RFC 9112, 3.2); other versions have other ways.
fn names_a_host<B>(request: &Request<B>) -> bool {
    // A look through the few that there are costs less than a look-up.
    let hosts = || request.headers().iter().filter(|(name, _)| **name == header::HOST).count();
    request.version() != Version::HTTP_11 || hosts() == 1
}

/// Leaves out the body where HTTP knows none: HTTP/2 would send it, and the client would see a broken stream.
fn fit(is_head: bool, response: &mut Response<Bytes>) {
    if matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.body_mut() = Bytes::new();
    } else if is_head && !response.body().is_empty() {
        let length = response.body().len();
        response.headers_mut().entry(header::CONTENT_LENGTH).or_insert_with(|| length.into());
        *response.body_mut() = Bytes::new();
    }
}

fn find(request: &Request<RequestBody>, routes: &Routes) -> Found {
    let uri = request.uri();
    let from_header = || request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = || uri.authority().map(http::uri::Authority::as_str).or_else(from_header);
    routes.find(host, request.method(), uri.path())
}

/// Calls a module with a request that has a body.
async fn with_body(
    parts: Parts,
    body: RequestBody,
    captures: Captures,
    in_flight: InFlight,
    timers: &Timers,
) -> Result<Response<Bytes>, Cut> {
    let target = &in_flight.0;
    // The table leads only to targets whose instance was there when the request came.
    let Some(instance) = &target.instance else { return Ok(busy()) };
    let expects = parts.headers.contains_key(header::EXPECT);
    let body = match take_body(body, expects, target.limits.max_request_body_bytes).await {
        Ok(body) => body,
        Err(status) => return Ok(text(status, "the request's body is too large or broken\n")),
    };
    let incoming = Incoming { parts, handler: target.handler, captures, body };
    match hotbay_loader::start(instance, incoming) {
        Started::Done(result) => concluded(result, target),
        Started::Pending(call) => wait(call, in_flight, timers).await,
    }
}

/// Waits for a handler that did not answer at once, as long as it may take.
async fn wait(mut call: Call, in_flight: InFlight, timers: &Timers) -> Result<Response<Bytes>, Cut> {
    let target = &in_flight.0;
    match timers.timeout(target.timeout, &mut call).await {
        Ok(result) => concluded(result, target),
        Err(_elapsed) => {
            call.set_end(DropReason::Timeout);
            tracing::warn!(module = %target.key, timeout = ?target.timeout, "a request took too long");
            Ok(text(StatusCode::GATEWAY_TIMEOUT, "the handler did not answer in time\n"))
        }
    }
}

/// What a call's end means for the client.
#[inline(always)]
fn concluded(result: Result<Answer, CallFailure>, target: &Target) -> Result<Response<Bytes>, Cut> {
    match result {
        Ok(answer) => Ok(response(answer)),
        Err(failure) => failed(&failure, target),
    }
}

/// The module's answer as a response. `hyper` adds date and length.
#[inline(always)]
fn response(answer: Answer) -> Response<Bytes> {
    let mut response = Response::new(answer.body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}

fn failed(failure: &CallFailure, target: &Target) -> Result<Response<Bytes>, Cut> {
    tracing::warn!(module = %target.key, error = %failure, "a request failed");
    match failure {
        CallFailure::Aborted => Err(Cut),
        CallFailure::NoHandles => Ok(busy()),
        CallFailure::Panicked(_) | CallFailure::Failed { .. } | CallFailure::NoAnswer => {
            Ok(text(StatusCode::INTERNAL_SERVER_ERROR, "internal server error\n"))
        }
    }
}

fn busy() -> Response<Bytes> {
    later("too many requests are in flight\n")
}

/// What passes by itself: the client may come again.
fn later(words: &'static str) -> Response<Bytes> {
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, words);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn text(status: StatusCode, words: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(words.as_bytes()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests;
