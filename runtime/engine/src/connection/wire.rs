//! The bytes below a connection that has left HTTP.
//!
//! Owns that a client's reset is seen though nobody reads or writes: a socket tells it to whoever does, and hyper does neither any more. Must not know who
//! speaks.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::client::Client;
use super::executor::SendingTask;

/// To be read from and written to.
pub(crate) enum Wire {
    /// HTTP/1's connection, and what hyper has read of it already.
    Socket(Client, Bytes),
    /// One of HTTP/2's streams.
    Stream(TokioIo<Upgraded>),
}

/// Says when the client has reset it.
pub(crate) enum Gone {
    Socket(Pin<Box<dyn Future<Output = ()> + Send>>),
    /// Which ends early only for that.
    Stream(SendingTask),
}

impl Wire {
    /// What is below `upgraded`; `sending` is HTTP/2's task that sends for it.
    pub fn new(upgraded: Upgraded, sending: &SendingTask) -> (Self, Gone) {
        match upgraded.downcast::<TokioIo<Client>>() {
            Ok(parts) => {
                let client = parts.io.into_inner();
                let gone = Gone::Socket(Box::pin(client.reset()));
                (Self::Socket(client, parts.read_buf), gone)
            }
            Err(stream) => (Self::Stream(TokioIo::new(stream)), Gone::Stream(sending.clone())),
        }
    }
}

impl Gone {
    /// Ready once it is known, and not to be polled again then. `is_open`: our side has not ended; HTTP/2 tells only until then.
    pub fn poll(&mut self, cx: &mut Context<'_>, is_open: bool) -> Poll<()> {
        match self {
            Self::Socket(reset) => reset.as_mut().poll(cx),
            Self::Stream(sending) if is_open => sending.poll_ended(cx),
            Self::Stream(_) => Poll::Pending,
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Socket(client, before) if before.is_empty() => Pin::new(client).poll_read(cx, buffer),
            Self::Socket(_, before) => {
                let count = before.len().min(buffer.remaining());
                buffer.put_slice(&before[..count]);
                before.advance(count);
                Poll::Ready(Ok(()))
            }
            Self::Stream(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Socket(client, _) => Pin::new(client).poll_write(cx, bytes),
            Self::Stream(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Socket(client, _) => Pin::new(client).poll_flush(cx),
            Self::Stream(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            // Only our side: the other one is read on.
            Self::Socket(client, _) => client.poll_shut(cx),
            Self::Stream(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
