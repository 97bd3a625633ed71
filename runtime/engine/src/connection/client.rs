//! A client's socket as HTTP is spoken over it.
//!
//! Owns the choice of protocol by the first bytes, the news of bytes that come and go, and whether a client may still be sending when its connection is
//! closed. Must not decide when a connection ends.

use std::future::{pending, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::conn::{Conn, Phase};
use super::lingering::Lingering;
use crate::timers::Timers;

/// What every HTTP/2 client says first (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A socket that tells when bytes come and go, and gives the first ones again to who serves it.
pub(crate) struct Client {
    socket: TcpStream,
    conn: Arc<Conn>,
    first: [u8; PREFACE.len()],
    /// How many of the first bytes there are, and how many were given again.
    length: usize,
    given: usize,
    timers: Timers,
    lingering: Option<Lingering>,
}

impl Client {
    pub fn new(socket: TcpStream, conn: &Arc<Conn>, timers: &Timers) -> Self {
        Self {
            socket,
            conn: Arc::clone(conn),
            first: [0; PREFACE.len()],
            length: 0,
            given: 0,
            timers: timers.clone(),
            lingering: None,
        }
    }

    /// Reads until the first bytes are, or are not, HTTP/2's preface; true if they are.
    pub async fn sniff(&mut self) -> io::Result<bool> {
        poll_fn(|cx| {
            loop {
                let mut first = self.first;
                let mut buffer = ReadBuf::new(&mut first);
                buffer.advance(self.length);
                ready!(self.poll_socket(cx, &mut buffer))?;
                let length = buffer.filled().len();
                let ended = length == self.length;
                (self.first, self.length) = (first, length);
                if self.first[..length] != PREFACE[..length] {
                    return Poll::Ready(Ok(false));
                }
                if length == PREFACE.len() {
                    return Poll::Ready(Ok(true));
                }
                if ended {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
            }
        })
        .await
    }

    /// Done when the client has reset the connection, whether or not anybody reads or writes.
    pub fn reset(&self) -> impl Future<Output = ()> + Send + use<> {
        // Of its own descriptor: whoever reads and writes has the other one borrowed.
        let watched = rustix::io::fcntl_dupfd_cloexec(&self.socket, 0)
            .map_err(io::Error::from)
            .and_then(|socket| TcpStream::from_std(socket.into()));
        async move {
            match watched {
                // The kernel counts nothing as an error that a connection outlives.
                Ok(socket) => drop(socket.ready(Interest::ERROR).await),
                Err(error) => {
                    tracing::debug!(%error, "a reset of an upgraded connection will be seen late");
                    pending().await
                }
            }
        }
    }

    fn poll_socket(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        if read.is_pending() && self.conn.phase() >= Phase::Idle {
            read = self.read_now(buffer);
        }
        if let Poll::Ready(Ok(())) = read {
            self.conn.activity.stir(self.conn.now(), buffer.filled());
        }
        read
    }

    /// Reads what the kernel has, whether or not tokio has heard of it: tokio asks for news only between its turns, and a connection that is to end if
    /// nothing has come cannot wait for the next.
    #[cold]
    fn read_now(&self, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match rustix::io::read(&self.socket, buffer.initialize_unfilled()) {
            Ok(count) => {
                buffer.advance(count);
                Poll::Ready(Ok(()))
            }
            // tokio has the waker from before.
            Err(Errno::AGAIN | Errno::INTR) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }

    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(1..)) => self.conn.activity.wrote(self.conn.now()),
            Poll::Pending => self.conn.activity.stuck(self.conn.now()),
            Poll::Ready(_) => {}
        }
        written
    }

    /// Shuts our side. The client's may go on.
    pub fn poll_shut(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    /// HTTP/1: whether it may end before a request has come as a whole. Of a body nobody knows here how much was read.
    fn may_be_sending(&self) -> bool {
        let look = self.conn.activity.look();
        !look.is_h2() && (self.conn.had_body() || look.has_part_of_a_head())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if self.conn.is_reset() {
            // Nothing is waited for: what the kernel still has is thrown away, and the client is told so.
            let _ = rustix::net::sockopt::set_socket_linger(&self.socket, Some(Duration::ZERO));
        }
    }
}

impl AsyncRead for Client {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.given == self.length {
            return self.poll_socket(cx, buffer);
        }
        let count = buffer.remaining().min(self.length - self.given);
        buffer.put_slice(&self.first[self.given..self.given + count]);
        self.given += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Client {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.note(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { socket, conn, lingering, .. } = &mut *self;
        if let Some(lingering) = lingering {
            return lingering.poll(socket, conn.phase() > Phase::Open, cx).map(Ok);
        }
        ready!(self.poll_shut(cx))?;
        if !self.may_be_sending() {
            return Poll::Ready(Ok(()));
        }
        self.lingering = Some(Lingering::new(&self.timers));
        self.poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.note(written)
    }
}
