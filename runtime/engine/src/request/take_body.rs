//! A request's body as a module gets it.
//!
//! Owns whether it goes in one piece or as a stream, and its limit. Must not wait for more than has come: the module does.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hotbay_loader::Body;
use http::StatusCode;
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming as RequestBody;

/// A body up to this length that has come with the head is handed to the module in one piece.
const INLINE_BODY: u64 = 64 * 1024;

/// The body whole if it has come with the head, else as a stream that ends at the module's limit.
pub(super) async fn take_body(mut body: RequestBody, expects: bool, limit: u64) -> Result<Body, StatusCode> {
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
