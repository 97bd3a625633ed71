//! The body of an answer on its way to the client.
//!
//! Owns that a connection counts as busy until the body has been taken or dropped, not only until the handler has returned; and the size of
//! the pieces it goes in.

mod source;
mod streaming;

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

pub(crate) use self::source::{CallEnd, Source, pumped};
pub(crate) use self::streaming::Streaming;
use crate::connection::Busy;
use crate::request::{Cut, Tunnel};

/// A body is handed over in pieces of at most this: they are copied into the connection's buffer, which keeps its size when they are gone. Nothing is copied
/// to make them.
pub(crate) const PIECE: usize = 8 * 1024;

/// What follows an answer's head. No larger than `Bytes`, as it is moved a few times for each request.
pub(crate) enum Payload {
    /// All of it, or what is left of that.
    Whole(Bytes),
    /// The call goes on.
    Further(Box<Further>),
}

const _: () = assert!(size_of::<Payload>() == size_of::<Bytes>());

/// How a call goes on after its answer's head.
pub(crate) enum Further {
    /// With the rest of the answer.
    Stream(Streaming),
    /// Without HTTP.
    Upgrade(Tunnel),
}

impl Payload {
    /// A stream.
    pub fn stream(streaming: Streaming) -> Self {
        Self::Further(Box::new(Further::Stream(streaming)))
    }

    /// Whether nothing follows.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }
}

/// What is left of a body, and what is held until it is sent.
pub(crate) struct Sending {
    payload: Payload,
    /// None before it is [sent](Self::send), and after an upgrade, which has it.
    busy: Option<Busy>,
}

impl Sending {
    /// What is to be sent.
    pub fn new(payload: Payload) -> Self {
        Self { payload, busy: None }
    }

    /// From now on it holds its connection.
    pub fn send(&mut self, busy: Busy) {
        self.busy = Some(busy);
    }

    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    pub fn payload_mut(&mut self) -> &mut Payload {
        &mut self.payload
    }
}

/// The first of `bytes`.
pub(crate) fn split_piece(bytes: &mut Bytes) -> Bytes {
    if bytes.len() <= PIECE { std::mem::take(bytes) } else { bytes.split_to(PIECE) }
}

impl http_body::Body for Sending {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let Self { payload, busy } = &mut *self;
        match payload {
            Payload::Whole(rest) if rest.is_empty() => Poll::Ready(None),
            Payload::Whole(rest) => Poll::Ready(Some(Ok(Frame::data(split_piece(rest))))),
            Payload::Further(further) => match &mut **further {
                Further::Stream(stream) => stream.poll_frame(busy.as_mut(), cx),
                // Taken out before anything is sent.
                Further::Upgrade(_) => Poll::Ready(Some(Err(Cut))),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.payload {
            Payload::Whole(rest) => rest.is_empty(),
            Payload::Further(further) => matches!(&**further, Further::Stream(stream) if stream.is_end()),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.payload {
            Payload::Whole(rest) => SizeHint::with_exact(rest.len() as u64),
            Payload::Further(further) => match &**further {
                Further::Stream(stream) => {
                    stream.length().map_or_else(SizeHint::default, SizeHint::with_exact)
                }
                Further::Upgrade(_) => SizeHint::default(),
            },
        }
    }
}
