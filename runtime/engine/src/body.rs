//! The body of an answer on its way to the client.
//!
//! Owns that a connection counts as busy until the body has been taken or dropped, not only until the handler has returned; and the size of
//! the pieces it goes in.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::Full;

use crate::connection::Busy;

/// A body is handed over in pieces of at most this: they are copied into the connection's buffer, which ought to stay small. Nothing is copied to make them.
const PIECE: usize = 32 * 1024;

/// A whole body, and what is held until it is sent.
pub(crate) struct Sending {
    body: Full<Bytes>,
    /// What is left of a body larger than a piece.
    rest: Bytes,
    _busy: Busy,
}

impl Sending {
    pub fn new(body: Full<Bytes>, busy: Busy) -> Self {
        Self { body, rest: Bytes::new(), _busy: busy }
    }
}

impl http_body::Body for Sending {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => self.rest = frame.into_data().unwrap_or_default(),
                None => return Poll::Ready(None),
            }
        }
        let length = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let whole = self.body.size_hint().exact().unwrap_or_default();
        SizeHint::with_exact(whole + self.rest.len() as u64)
    }
}
