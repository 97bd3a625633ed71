//! A connection that has left HTTP, and the call that speaks on it.
//!
//! Owns the way of bytes between the two, half-closes included, until the module is done, either side fails, or it is dropped. What the client says is
//! read where the module reads it; what the module says waits in its queue for the client. Must not know the protocol, nor which HTTP was before.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use hotbay_loader::{Body, CallFailure};
use http::HeaderValue;
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper::upgrade::OnUpgrade;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, ReadHalf, WriteHalf};

use crate::body::Streaming;
use crate::connection::{Busy, Gone, SendingTask, Wire};

/// A module reads as much at a time.
const READ: usize = 16 * 1024;

/// An upgrade that was answered, before its head has been sent.
pub(crate) struct Tunnel {
    on: OnUpgrade,
    protocol: HeaderValue,
    streaming: Streaming,
}

/// Why it ended before the module was done.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the module failed")]
    Module(#[source] CallFailure),
    #[error("the client is gone")]
    Client(#[source] io::Error),
}

impl Tunnel {
    pub fn new(on: OnUpgrade, protocol: HeaderValue, streaming: Streaming) -> Self {
        Self { on, protocol, streaming }
    }

    /// The protocol's name, as HTTP/1 says it.
    pub fn protocol(&self) -> HeaderValue {
        self.protocol.clone()
    }

    /// The call and its place among those in flight.
    pub fn streaming(&mut self) -> &mut Streaming {
        &mut self.streaming
    }

    /// Goes on until the module is done or somebody fails. To be polled only when the head is on its way; `sending` is HTTP/2's task that sends for it.
    pub async fn run(self: Box<Self>, mut busy: Busy, sending: SendingTask) {
        let Self { on, mut streaming, .. } = *self;
        let Ok(upgraded) = on.await else { return };
        let (wire, gone) = Wire::new(upgraded, &sending);
        let (reader, writer) = tokio::io::split(wire);
        streaming.stream.upgraded(Body::Stream(Reader::new(reader).boxed_unsync()));
        let mut pump = Pump { streaming, writer, gone, piece: Bytes::new(), ours: Ours::Open };
        match poll_fn(|cx| pump.poll(cx, &mut busy)).await {
            Ok(()) => {}
            Err(Ended::Module(failure)) => {
                pump.streaming.failed(&failure);
                busy.reset();
                sending.cut().await;
            }
            Err(Ended::Client(error)) => {
                tracing::debug!(%error, "the client of an upgraded connection is gone")
            }
        }
    }
}

impl std::fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tunnel").field("protocol", &self.protocol).finish_non_exhaustive()
    }
}

/// How far our side is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ours {
    Open,
    /// The module has ended it, and the client is to learn of it.
    Ending,
    Ended,
}

struct Pump {
    streaming: Streaming,
    writer: WriteHalf<Wire>,
    gone: Gone,
    /// What is being written.
    piece: Bytes,
    ours: Ours,
}

impl Pump {
    fn poll(&mut self, cx: &mut Context<'_>, busy: &mut Busy) -> Poll<Result<(), Ended>> {
        loop {
            match self.poll_write(cx).map_err(Ended::Client)? {
                Poll::Ready(()) => busy.has_sent(),
                Poll::Pending => {
                    busy.sends();
                    // A client that takes nothing may still have something to say.
                    return match self.streaming.stream.poll_on(cx) {
                        Some(failure) => Poll::Ready(Err(Ended::Module(failure))),
                        None => Poll::Pending,
                    };
                }
            }
            let Poll::Ready(frame) = self.streaming.stream.poll_frame(cx) else {
                // What came before the reset was there to be read.
                return self.poll_gone(cx).map(Err);
            };
            match frame {
                Some(Ok(frame)) => self.piece = frame.into_data().unwrap_or_default(),
                Some(Err(failure)) => return Poll::Ready(Err(Ended::Module(failure))),
                None if self.ours == Ours::Open => self.ours = Ours::Ending,
                None if self.streaming.stream.is_over() => return Poll::Ready(Ok(())),
                None => {}
            }
        }
    }

    /// Whether the client has left without a word, and nobody may come to hear of it: a half-closed connection goes on.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        let gone = self.gone.poll(cx, self.ours == Ours::Open);
        gone.map(|()| Ended::Client(io::ErrorKind::ConnectionReset.into()))
    }

    /// Writes what there is, and then the end.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut writer = Pin::new(&mut self.writer);
        while !self.piece.is_empty() {
            let written = ready!(writer.as_mut().poll_write(cx, &self.piece))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.piece.advance(written);
        }
        if self.ours == Ours::Ending {
            ready!(writer.poll_shutdown(cx))?;
            self.ours = Ours::Ended;
        }
        Poll::Ready(Ok(()))
    }
}

/// What the client says, as a module reads it.
struct Reader {
    client: ReadHalf<Wire>,
    buffer: Box<[u8]>,
}

impl Reader {
    fn new(client: ReadHalf<Wire>) -> Self {
        Self { client, buffer: vec![0; READ].into() }
    }
}

impl http_body::Body for Reader {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Self { client, buffer } = &mut *self;
        let mut read = ReadBuf::new(buffer);
        ready!(Pin::new(client).poll_read(cx, &mut read))?;
        let data = read.filled();
        Poll::Ready((!data.is_empty()).then(|| Ok(Frame::data(Bytes::copy_from_slice(data)))))
    }
}
