//! A client's connection whose first bytes were looked at.
//!
//! Owns how HTTP/2 is told from HTTP/1.1, and that nothing that was read is lost.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// How HTTP/2 begins; no method of HTTP/1.1 does.
const PREFACE: &[u8] = b"PRI ";

/// A connection, and what was read of it.
pub(super) struct Prefixed {
    read: BytesMut,
    stream: TcpStream,
}

impl Prefixed {
    /// Reads as much as says which protocol it is; true: HTTP/2.
    ///
    /// # Errors
    /// When the connection breaks. One that ends is none: somebody else sees that.
    pub async fn read(mut stream: TcpStream) -> io::Result<(Self, bool)> {
        let mut read = BytesMut::with_capacity(4096);
        while PREFACE.starts_with(&read) && read.len() < PREFACE.len() {
            if stream.read_buf(&mut read).await? == 0 {
                break;
            }
        }
        let is_http2 = read.starts_with(PREFACE);
        Ok((Self { read, stream }, is_http2))
    }
}

impl AsyncRead for Prefixed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let count = self.read.len().min(buffer.remaining());
        buffer.put_slice(&self.read[..count]);
        self.read.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Prefixed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
