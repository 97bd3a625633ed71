//! One request: look up, limit, call, answer.
//!
//! Owns what a client sees when there is no answer: a short text and a status, never the reason, which goes to the log. Must not touch the table or an
//! instance's life.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hotbay_loader::{Answer, Body, Call, CallFailure, Captures, DropReason, Incoming, Started};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming as RequestBody;

use crate::serve::Shared;
use crate::table::{Found, InFlight, Routes, Target};
use crate::tally::Timed;
use crate::timers::Timers;

/// A body up to this length that has come with the head is handed to the module in one piece.
const INLINE_BODY: u64 = 64 * 1024;
/// The row that counts requests which no module answered.
const NO_MODULE: usize = 0;

/// The client is to see a cut connection, not an answer.
#[derive(Debug, thiserror::Error)]
#[error("the module aborted the call")]
pub(crate) struct Cut;

/// An answer that is waited for. Boxed, so that the many requests that never wait carry no room for it from one place to the next.
pub(crate) type Waiting<'m> = Pin<Box<dyn Future<Output = Result<Response<Full<Bytes>>, Cut>> + Send + 'm>>;

/// How an answer comes.
pub(crate) enum Answering<'m> {
    /// It is here: no module was asked, or its handler answered at once.
    Now(Result<Response<Full<Bytes>>, Cut>),
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
    mut result: Result<Response<Full<Bytes>>, Cut>,
) -> Result<Response<Full<Bytes>>, Cut> {
    // A call that was cut has no status; to the client it is a failure of ours.
    timed.answered(row, result.as_ref().map_or(500, |response| response.status().as_u16()));
    if let Ok(response) = &mut result {
        fit(is_head, response);
    }
    result
}

/// The answer where no module has one; `None`: the request does not name its host.
fn of_ours(found: Option<Found>) -> Response<Full<Bytes>> {
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
    let mut hosts = request.headers().get_all(header::HOST).iter();
    request.version() != Version::HTTP_11 || (hosts.next().is_some() && hosts.next().is_none())
}

/// Leaves out the body where HTTP knows none: HTTP/2 would send it, and the client would see a broken stream.
fn fit(is_head: bool, response: &mut Response<Full<Bytes>>) {
    if matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.body_mut() = Full::default();
    } else if is_head && !response.body().is_end_stream() {
        let length = response.body().size_hint().exact().unwrap_or_default();
        response.headers_mut().entry(header::CONTENT_LENGTH).or_insert_with(|| length.into());
        *response.body_mut() = Full::default();
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
) -> Result<Response<Full<Bytes>>, Cut> {
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
async fn wait(mut call: Call, in_flight: InFlight, timers: &Timers) -> Result<Response<Full<Bytes>>, Cut> {
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
fn concluded(result: Result<Answer, CallFailure>, target: &Target) -> Result<Response<Full<Bytes>>, Cut> {
    match result {
        Ok(answer) => Ok(response(answer)),
        Err(failure) => failed(&failure, target),
    }
}

/// The module's answer as a response. `hyper` adds date and length.
#[inline(always)]
fn response(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}

fn failed(failure: &CallFailure, target: &Target) -> Result<Response<Full<Bytes>>, Cut> {
    tracing::warn!(module = %target.key, error = %failure, "a request failed");
    match failure {
        CallFailure::Aborted => Err(Cut),
        CallFailure::NoHandles => Ok(busy()),
        CallFailure::Panicked(_) | CallFailure::Failed { .. } | CallFailure::NoAnswer => {
            Ok(text(StatusCode::INTERNAL_SERVER_ERROR, "internal server error\n"))
        }
    }
}

/// The body whole if it has come with the head, else as a stream that ends at the module's limit.
async fn take_body(mut body: RequestBody, expects: bool, limit: u64) -> Result<Body, StatusCode> {
    if body.is_end_stream() {
        return Ok(Body::Whole(Bytes::new()));
    }
    let length = body.size_hint().exact();
    if length.is_some_and(|length| length > limit) {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let mut first = None;
    // Asking for the first piece sends "100 Continue", which is the module's to decide when a client waits for it.
    if !expects && length.is_some_and(|length| length <= INLINE_BODY) {
        first = first_piece(&mut body).await?;
        if first.as_ref().map(|piece| piece.len() as u64) == length {
            return Ok(Body::Whole(first.unwrap_or_default()));
        }
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    Ok(Body::Stream(Limited::new(Resumed { first, rest: body }, limit).boxed_unsync()))
}

/// A body of which one piece was taken before.
struct Resumed {
    first: Option<Bytes>,
    rest: RequestBody,
}

impl http_body::Body for Resumed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.first.take() {
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }
}

/// The piece that lies ready, if one does.
async fn first_piece(body: &mut RequestBody) -> Result<Option<Bytes>, StatusCode> {
    let polled = poll_fn(|cx| {
        Poll::Ready(match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => None,
        })
    });
    match polled.await {
        None => Ok(None),
        Some(Ok(frame)) => Ok(frame.into_data().ok()),
        Some(Err(_)) => Err(StatusCode::BAD_REQUEST),
    }
}

fn busy() -> Response<Full<Bytes>> {
    later("too many requests are in flight\n")
}

/// What passes by itself: the client may come again.
fn later(words: &'static str) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, words);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn text(status: StatusCode, words: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(words.as_bytes())));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, is_head: bool) -> (Option<String>, u64) {
        let mut response = Response::new(Full::new(Bytes::from_static(b"four")));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        fit(is_head, &mut response);
        let length = response.headers().get(header::CONTENT_LENGTH);
        (length.map(|value| value.to_str().unwrap().to_owned()), response.body().size_hint().exact().unwrap())
    }

    #[test]
    fn where_http_knows_no_body_none_is_sent() {
        assert_eq!(answered(200, false), (None, 4), "hyper adds the length");
        assert_eq!(answered(200, true), (Some("4".into()), 0));
        assert_eq!(answered(204, false), (None, 0));
        assert_eq!(answered(304, true), (None, 0));
    }

    #[test]
    fn http_1_1_names_exactly_one_host() {
        let names = |version, hosts: &[&str]| {
            let request = Request::builder().version(version);
            let request = hosts.iter().fold(request, |request, host| request.header(header::HOST, *host));
            names_a_host(&request.body(()).unwrap())
        };
        assert!(names(Version::HTTP_11, &["a"]));
        assert!(!names(Version::HTTP_11, &[]));
        assert!(!names(Version::HTTP_11, &["a", "b"]));
        assert!(names(Version::HTTP_10, &[]) && names(Version::HTTP_2, &[]));
    }

    /// Status, length and body of the answer to a HEAD of what has four bytes.
    async fn head<S>(mut send: S) -> (StatusCode, Option<HeaderValue>, Bytes)
    where
        S: FnMut(Request<Full<Bytes>>) -> Pin<Box<dyn Future<Output = hyper::Result<Response<RequestBody>>>>>,
    {
        let request = Request::builder()
            .method(Method::HEAD)
            .uri("http://localhost/")
            .header(header::HOST, "localhost");
        let (parts, body) = send(request.body(Full::default()).unwrap()).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status, parts.headers.get(header::CONTENT_LENGTH).cloned(), body)
    }

    async fn four_bytes(request: Request<RequestBody>) -> Result<Response<Full<Bytes>>, Cut> {
        let mut response = Response::new(Full::new(Bytes::from_static(b"four")));
        fit(*request.method() == Method::HEAD, &mut response);
        Ok(response)
    }

    #[tokio::test]
    async fn head_has_the_length_and_no_body_by_both_protocols() {
        use hyper::service::service_fn;
        use hyper_util::rt::{TokioExecutor, TokioIo};

        let expected = (StatusCode::OK, Some(HeaderValue::from_static("4")), Bytes::new());
        let (client, server) = tokio::io::duplex(1 << 16);
        let builder = hyper::server::conn::http1::Builder::new();
        tokio::spawn(builder.serve_connection(TokioIo::new(server), service_fn(four_bytes)));
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(client)).await.unwrap();
        tokio::spawn(connection);
        assert_eq!(head(|request| Box::pin(sender.send_request(request))).await, expected);

        let (client, server) = tokio::io::duplex(1 << 16);
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        tokio::spawn(builder.serve_connection(TokioIo::new(server), service_fn(four_bytes)));
        let executor = TokioExecutor::new();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(executor, TokioIo::new(client)).await.unwrap();
        tokio::spawn(connection);
        assert_eq!(head(|request| Box::pin(sender.send_request(request))).await, expected);
    }
}
