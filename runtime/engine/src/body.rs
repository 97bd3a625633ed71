//! The body of an answer on its way to the client.
//!
//! Owns that a connection counts as busy until the body has been taken or dropped, not only until the handler has returned; and the size of
//! the pieces it goes in.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::connection::Busy;

/// A body is handed over in pieces of at most this: they are copied into the connection's buffer, which keeps its size when they are gone. Nothing is copied
/// to make them.
pub(crate) const PIECE: usize = 8 * 1024;

/// What is left of a body, and what is held until it is sent.
pub(crate) struct Sending {
    rest: Bytes,
    _busy: Busy,
}

impl Sending {
    pub fn new(body: Bytes, busy: Busy) -> Self {
        Self { rest: body, _busy: busy }
    }
}

impl http_body::Body for Sending {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let piece =
            if self.rest.len() <= PIECE { std::mem::take(&mut self.rest) } else { self.rest.split_to(PIECE) };
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
