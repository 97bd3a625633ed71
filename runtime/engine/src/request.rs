//! One request: look up, limit, call, answer.
//!
//! Owns what a client sees when there is no answer: a short text and a status, never the reason, which goes to the log. Must not touch the table or an
//! instance's life.

mod failed;
mod pooled;
mod take_body;
mod tunnel;
mod upgrade;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use hotbay_loader::{
    Answer, AnswerBody, Body, Call, CallFailure, Captures, DropReason, Incoming, RequestIds, Started,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::Body as _;
use hyper::body::Incoming as RequestBody;

use self::failed::failed;
pub(crate) use self::failed::tell;
use self::take_body::take_body;
pub(crate) use self::tunnel::Tunnel;
use crate::body::{Further, Payload, Sending, Streaming};
use crate::serve::Shared;
use crate::table::{Found, InFlight, Routes, Target};
use crate::tally::Timed;

/// The row that counts requests which no module answered.
const NO_MODULE: usize = 0;

/// The client is to see a cut connection, not an answer.
#[derive(Debug, thiserror::Error)]
#[error("the module cut the call")]
pub(crate) struct Cut;

/// An answer that is waited for. Boxed, so that the many requests that never wait carry no room for it from one place to the next.
pub(crate) type Waiting<'m> = Pin<Box<dyn Future<Output = Result<Response<Payload>, Cut>> + Send + 'm>>;

/// How an answer comes.
pub(crate) enum Answering<'m> {
    /// It is here: no module was asked, or its handler answered at once. In the shape that it is sent in, so that it is not moved into another.
    Now(Result<Response<Sending>, Cut>),
    /// It is waited for.
    Later(Waiting<'m>),
}

/// Answers one request by the routes of this moment.
pub(crate) fn answer(
    request: Request<RequestBody>,
    peer: Option<SocketAddr>,
    shared: &Shared,
) -> Answering<'_> {
    let timed = Timed::begin(&shared.memory);
    let is_head = *request.method() == Method::HEAD;
    // The table is let go of here: a slow handler must not hold an old one.
    let found = if names_a_host(&request) { Some(find(&request, &shared.routes.load())) } else { None };
    let (target, captures) = match found {
        Some(Found::Target(target, captures)) => (target, captures),
        other => return now(finish(timed, is_head, NO_MODULE, Ok(of_ours(other)))),
    };
    let Some(instance) = &target.instance else {
        return now(finish(timed, is_head, NO_MODULE, Ok(later("the module is starting\n"))));
    };
    let row = usize::try_from(instance.mark().row).unwrap_or(NO_MODULE);
    let Some(in_flight) = target.enter() else {
        return now(finish(timed, is_head, row, Ok(busy())));
    };
    if !request.extensions().is_empty() || !request.body().is_end_stream() || target.pooled {
        // Taken apart there: what is moved here is moved for every request.
        return Answering::Later(Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let offered = upgrade::offer(&mut parts);
            let result = with_body(parts, peer, body, captures, in_flight, shared).await;
            let result = match offered {
                Some(offered) => offered.conclude(result),
                None => result,
            };
            finish(timed, is_head, row, result)
        }));
    }
    let (parts, _empty) = request.into_parts();
    let incoming =
        Incoming { parts, handler: target.handler, captures, body: Body::Whole(Bytes::new()), peer };
    match hotbay_loader::start(instance, incoming) {
        // Nearly all: an answer that is whole, brought into its shape in one place.
        Started::Done(Ok(Answer { status, mut headers, body: AnswerBody::Whole(mut body) })) => {
            timed.answered(row, status.as_u16());
            fit(is_head, status, &mut headers, &mut body);
            Answering::Now(Ok(headed(status, headers, Sending::new(Payload::Whole(body)))))
        }
        Started::Done(result) => now(finish(timed, is_head, row, concluded(result, in_flight, shared))),
        Started::Pending(call) => Answering::Later(Box::pin(async move {
            let result = wait(call, in_flight, shared).await;
            finish(timed, is_head, row, result)
        })),
    }
}

/// An answer that needs no waiting, of which there are few others than a handler's own.
#[cold]
fn now(result: Result<Response<Payload>, Cut>) -> Answering<'static> {
    Answering::Now(result.map(|response| response.map(Sending::new)))
}

/// Counts an answer, and gives it the shape that the request's method wants.
fn finish(
    timed: Timed<'_>,
    is_head: bool,
    row: usize,
    mut result: Result<Response<Payload>, Cut>,
) -> Result<Response<Payload>, Cut> {
    match &mut result {
        Ok(response) if matches!(response.body(), Payload::Further(_)) => begin(timed, row, response),
        Ok(response) => {
            let status = response.status();
            timed.answered(row, status.as_u16());
            let mut headers = std::mem::take(response.headers_mut());
            if let Payload::Whole(body) = response.body_mut() {
                fit(is_head, status, &mut headers, body);
            }
            *response.headers_mut() = headers;
        }
        // A call that was cut has no status; to the client it is a failure of ours.
        Err(Cut) => timed.answered(row, 500),
    }
    result
}

/// Counts an answer that goes on after its head, which is in flight until it is over.
#[cold]
fn begin(timed: Timed<'_>, row: usize, response: &mut Response<Payload>) {
    let underway = timed.begun(row, response.status().as_u16());
    let Payload::Further(further) = response.body_mut() else { return };
    match &mut **further {
        Further::Stream(stream) => stream.set_timed(underway),
        Further::Upgrade(tunnel) => tunnel.streaming().set_timed(underway),
    }
}

/// The answer where no module has one; `None`: the request does not name its host.
fn of_ours(found: Option<Found>) -> Response<Payload> {
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
#[inline(always)]
fn fit(is_head: bool, status: StatusCode, headers: &mut HeaderMap, body: &mut Bytes) {
    if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        headers.remove(header::CONTENT_LENGTH);
        *body = Bytes::new();
    } else if is_head && !body.is_empty() {
        let length = body.len();
        headers.entry(header::CONTENT_LENGTH).or_insert_with(|| length.into());
        *body = Bytes::new();
    }
}

fn find(request: &Request<RequestBody>, routes: &Routes) -> Found {
    let uri = request.uri();
    let from_header = || request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = || uri.authority().map(http::uri::Authority::as_str).or_else(from_header);
    let plain = request.extensions().is_empty();
    let method = if plain { request.method() } else { upgrade::method_of_route(request) };
    routes.find(host, method, uri.path())
}

/// Calls a module with a request that has a body, or by the pool.
async fn with_body(
    parts: Parts,
    peer: Option<SocketAddr>,
    body: RequestBody,
    captures: Captures,
    in_flight: InFlight,
    shared: &Shared,
) -> Result<Response<Payload>, Cut> {
    let target = &in_flight.0;
    // The table leads only to targets whose instance was there when the request came.
    let Some(instance) = &target.instance else { return Ok(busy()) };
    let expects = parts.headers.contains_key(header::EXPECT);
    let body = match take_body(body, expects, target.limits.max_request_body_bytes).await {
        Ok(body) => body,
        Err(status) => return Ok(unread(status)),
    };
    let incoming = Incoming { parts, handler: target.handler, captures, body, peer };
    if target.pooled {
        return pooled::call(incoming, in_flight, shared).await;
    }
    match hotbay_loader::start(instance, incoming) {
        Started::Done(result) => concluded(result, in_flight, shared),
        Started::Pending(call) => wait(call, in_flight, shared).await,
    }
}

/// A call that is waited for, which learns why if that ends.
struct Awaited<'s> {
    call: Call,
    shared: &'s Shared,
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        if self.shared.ending.load(Ordering::Relaxed) {
            self.call.set_end(DropReason::Shutdown);
        }
    }
}

/// Waits for a handler that did not answer at once, as long as it may take.
async fn wait(call: Call, in_flight: InFlight, shared: &Shared) -> Result<Response<Payload>, Cut> {
    let target = &in_flight.0;
    let mut awaited = Awaited { call, shared };
    match shared.timers.timeout(target.timeout, &mut awaited.call).await {
        Ok(result) => concluded(result, in_flight, shared),
        Err(_elapsed) => {
            awaited.call.set_end(DropReason::Timeout);
            Ok(too_late(target, &awaited.call.request()))
        }
    }
}

/// The answer to a request whose handler has not answered within its time limit.
fn too_late(target: &Target, request: &RequestIds) -> Response<Payload> {
    let RequestIds { request_id, trace_id } = request;
    tracing::warn!(module = %target.key, request_id, trace_id, timeout = ?target.timeout, "a request took too long");
    text(StatusCode::GATEWAY_TIMEOUT, "the handler did not answer in time\n")
}

/// What a call's end, or its answer's beginning, means for the client.
fn concluded(
    result: Result<Answer, CallFailure>,
    in_flight: InFlight,
    shared: &Shared,
) -> Result<Response<Payload>, Cut> {
    match result {
        Ok(answer) => Ok(response(answer, in_flight, shared)),
        Err(failure) => failed(&failure, &in_flight.0),
    }
}

/// The module's answer as a response. `hyper` adds date and length.
fn response(answer: Answer, in_flight: InFlight, shared: &Shared) -> Response<Payload> {
    let Answer { status, headers, body } = answer;
    let payload = match body {
        AnswerBody::Whole(body) => Payload::Whole(body),
        AnswerBody::Stream(stream) => Payload::stream(Streaming::new(stream, in_flight, &shared.ending)),
    };
    headed(status, headers, payload)
}

#[inline(always)]
fn headed<B>(status: StatusCode, headers: HeaderMap, body: B) -> Response<B> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    // An empty map holds no memory, and to drop one costs 60 instructions.
    std::mem::forget(std::mem::replace(response.headers_mut(), headers));
    response
}

/// The answer to a request whose body cannot be had.
fn unread(status: StatusCode) -> Response<Payload> {
    text(status, "the request's body is too large or broken\n")
}

fn busy() -> Response<Payload> {
    later("too many requests are in flight\n")
}

/// What passes by itself: the client may come again.
fn later(words: &'static str) -> Response<Payload> {
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, words);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn text(status: StatusCode, words: &'static str) -> Response<Payload> {
    let mut response = Response::new(Payload::Whole(Bytes::from_static(words.as_bytes())));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests;
