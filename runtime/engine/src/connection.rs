//! One client connection: which HTTP it speaks, and how it ends.
//!
//! Owns the choice between HTTP/1.1 and h2c by the client's first bytes, and the rules of draining: HTTP/1 connections end with their next answer
//! (closing an idle one would race the client's next request), HTTP/2 ones by GOAWAY. Must not look into requests.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::request::{self, Cut};
use crate::serve::Shared;

/// What every HTTP/2 client says first (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long a client may take to say its first bytes.
const FIRST_BYTES: Duration = Duration::from_secs(30);

/// What the outside knows and wants of a connection.
#[derive(Debug, Default)]
pub(crate) struct Conn {
    phase: AtomicU8,
    changed: Notify,
    in_flight: AtomicU32,
    /// Bytes have come since the last answer: a head is under way.
    stirred: AtomicBool,
    /// Seconds of the server's clock when it last had a request.
    since: AtomicU32,
}

/// How a connection is to go on. Only ever rises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    #[default]
    Open = 0,
    /// End with the next answer.
    Last = 1,
    /// End now if idle, else with the answer.
    Idle = 2,
    /// End now.
    Cut = 3,
}

impl Conn {
    pub fn new(phase: Phase) -> Self {
        Self { phase: AtomicU8::new(phase as u8), ..Self::default() }
    }

    pub fn move_to(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::Relaxed);
        self.changed.notify_one();
    }

    fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Open,
            1 => Phase::Last,
            2 => Phase::Idle,
            _ => Phase::Cut,
        }
    }

    /// Whether nothing happens here for too long: no request in flight, and a head not finished in `head` or nothing at all in `idle` seconds.
    pub fn is_stale(&self, now: u32, head: u32, idle: u32) -> bool {
        let limit = if self.stirred.load(Ordering::Relaxed) { head } else { idle };
        self.in_flight.load(Ordering::Relaxed) == 0 && now.saturating_sub(self.since.load(Ordering::Relaxed)) > limit
    }
}

/// Serves one connection to its end.
pub(crate) async fn serve(stream: TcpStream, conn: &Arc<Conn>, shared: &Arc<Shared>) {
    conn.since.store(shared.now(), Ordering::Relaxed);
    let Ok(Ok((first, is_h2))) = tokio::time::timeout(FIRST_BYTES, sniff(stream)).await else { return };
    let io = TokioIo::new(Watched { stream: first, conn: Arc::clone(conn) });
    if is_h2 { serve_h2(io, conn, shared).await } else { serve_h1(io, conn, shared).await }
}

async fn serve_h1(io: TokioIo<Watched>, conn: &Arc<Conn>, shared: &Arc<Shared>) {
    let service = service_fn(|request| respond(request, conn, shared));
    let mut connection = pin!(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
    loop {
        tokio::select! {
            biased;
            _ended = connection.as_mut() => return,
            () = conn.changed.notified() => match conn.phase() {
                // The next answer says "connection: close", see `respond`.
                Phase::Open | Phase::Last => {}
                Phase::Idle => connection.as_mut().graceful_shutdown(),
                Phase::Cut => return,
            },
        }
    }
}

async fn serve_h2(io: TokioIo<Watched>, conn: &Arc<Conn>, shared: &Arc<Shared>) {
    // Each stream is a task of its own, so it owns what it needs.
    let service = service_fn(|request| {
        let (conn, shared) = (Arc::clone(conn), Arc::clone(shared));
        async move { respond(request, &conn, &shared).await }
    });
    let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    let mut connection = pin!(builder.serve_connection(io, service));
    loop {
        tokio::select! {
            biased;
            _ended = connection.as_mut() => return,
            () = conn.changed.notified() => match conn.phase() {
                Phase::Open => {}
                Phase::Last | Phase::Idle => connection.as_mut().graceful_shutdown(),
                Phase::Cut => return,
            },
        }
    }
}

async fn respond(
    request: Request<Incoming>,
    conn: &Conn,
    shared: &Shared,
) -> Result<Response<Full<Bytes>>, Cut> {
    let _busy = Busy::new(conn, shared);
    let is_h1 = request.version() < http::Version::HTTP_2;
    let routes = shared.routes.load();
    let mut result = request::answer(request, &routes, &shared.memory).await;
    if is_h1 && conn.phase() > Phase::Open
        && let Ok(response) = &mut result
    {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    result
}

/// A request is in flight on this connection.
struct Busy<'c> {
    conn: &'c Conn,
    shared: &'c Shared,
}

impl<'c> Busy<'c> {
    fn new(conn: &'c Conn, shared: &'c Shared) -> Self {
        conn.in_flight.fetch_add(1, Ordering::Relaxed);
        Self { conn, shared }
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.conn.since.store(self.shared.now(), Ordering::Relaxed);
        self.conn.stirred.store(false, Ordering::Relaxed);
        self.conn.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Reads until the first bytes are, or are not, HTTP/2's preface.
async fn sniff(mut stream: TcpStream) -> io::Result<(Prefixed, bool)> {
    let mut first = [0; PREFACE.len()];
    let mut length = 0;
    let is_h2 = loop {
        let read = stream.read(&mut first[length..]).await?;
        length += read;
        if first[..length] != PREFACE[..length] {
            break false;
        }
        if length == PREFACE.len() {
            break true;
        }
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    Ok((Prefixed { first, read: 0, length, stream }, is_h2))
}

/// A stream of which some bytes were read already.
struct Prefixed {
    first: [u8; PREFACE.len()],
    read: usize,
    length: usize,
    stream: TcpStream,
}

impl AsyncRead for Prefixed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.read == self.length {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let count = buffer.remaining().min(self.length - self.read);
        buffer.put_slice(&self.first[self.read..self.read + count]);
        self.read += count;
        Poll::Ready(Ok(()))
    }
}

/// A stream that tells when bytes arrive.
struct Watched {
    stream: Prefixed,
    conn: Arc<Conn>,
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.conn.stirred.store(true, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream.stream).poll_write_vectored(cx, slices)
    }
}
