//! A streamed answer on its way out.
//!
//! Owns the pace: the next piece is asked for when the one before it was taken. Must not know where the pieces come from.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hotbay_abi::{EOF, Handle, PENDING, READY, Rc};

use crate::body::{Frame, Source, StreamError};
use crate::{BodyError, Trailers, answer, host};

/// So many pieces are sent before other calls of the thread get their turn.
const PIECES_A_TURN: usize = 64;

/// What the source has given and the host has not taken yet.
#[derive(Default)]
pub(crate) struct Outgoing {
    waiting: Option<Frame>,
}

/// What a stream has to say before the head is sent.
pub(crate) enum First {
    /// Everything: no stream is needed.
    Whole(Bytes),
    /// Perhaps nothing yet.
    Part(Bytes, Outgoing),
    /// The client can still be told properly.
    Failed(StreamError),
}

impl First {
    /// Asks once. A head does not wait for the body: a client may want to know that events will come before the first one does.
    pub fn of(call: Handle, source: Pin<&mut (impl Source + ?Sized)>) -> Self {
        let waker = host::waker(call);
        let mut source = source;
        let part = |bytes, waiting| Self::Part(bytes, Outgoing { waiting });
        match source.as_mut().poll_frame(&mut Context::from_waker(&waker)) {
            Poll::Pending => part(Bytes::new(), None),
            Poll::Ready(None) => Self::Whole(Bytes::new()),
            Poll::Ready(Some(Ok(Frame::Data(data)))) if source.is_over() => Self::Whole(data),
            Poll::Ready(Some(Ok(Frame::Data(data)))) => part(data, None),
            Poll::Ready(Some(Ok(trailers))) => part(Bytes::new(), Some(trailers)),
            Poll::Ready(Some(Err(error))) => Self::Failed(error),
        }
    }
}

impl Outgoing {
    /// Goes on until the client or the source has to be waited for, or the answer is over.
    pub fn advance(&mut self, mut source: Pin<&mut (impl Source + ?Sized)>, call: Handle) -> Rc {
        let waker = host::waker(call);
        let mut cx = Context::from_waker(&waker);
        for _ in 0..PIECES_A_TURN {
            let frame = match self.waiting.take() {
                Some(frame) => frame,
                None => match source.as_mut().poll_frame(&mut cx) {
                    Poll::Pending => return PENDING,
                    Poll::Ready(None) => return over(host::finish(call, &Trailers::new())),
                    Poll::Ready(Some(Ok(frame))) => frame,
                    Poll::Ready(Some(Err(error))) => return cut(call, &error),
                },
            };
            let data = match frame {
                Frame::Trailers(trailers) => return over(host::finish(call, &trailers)),
                Frame::Data(data) if data.is_empty() => continue,
                Frame::Data(data) => data,
            };
            match answer::write(call, data) {
                (READY, _) => {}
                (PENDING, back) => {
                    self.waiting = back.map(Frame::Data);
                    return PENDING;
                }
                (EOF, _) => return over(host::finish(call, &Trailers::new())),
                (rc, _) => return over(rc),
            }
        }
        host::wake(call);
        PENDING
    }

    /// The client gets no body, as with HEAD: nothing more is asked of the source.
    pub fn unwanted(call: Handle) -> Rc {
        over(host::finish(call, &Trailers::new()))
    }
}

/// Positive answers of the host mean the same as READY to it.
fn over(rc: Rc) -> Rc {
    rc.min(READY)
}

/// The words say why, and the code whether it is the client's doing; one below 0 has the host cut what had begun.
fn cut(call: Handle, error: &StreamError) -> Rc {
    host::fail(call, &format!("the answer's body failed in mid-stream: {error}"));
    BodyError::code(&**error)
}
