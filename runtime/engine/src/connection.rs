//! One client connection: which HTTP it speaks, and how it ends.
//!
//! Owns the choice between HTTP/1.1 and h2c by the client's first bytes, and the rules of draining: HTTP/1 connections end with their next answer
//! (closing an idle one would race the client's next request), HTTP/2 ones by GOAWAY. Must not look into requests.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::body::Sending;
use crate::request::{self, Answering, Cut, Waiting};
use crate::serve::Shared;

/// What every HTTP/2 client says first (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The largest head of a request, and the most of an answer that waits to be written. As much as nginx takes at most by default, and half as much again.
const MAX_BUFFER: usize = 64 * 1024;
/// How long a client may take to say its first bytes.
const FIRST_BYTES: Duration = Duration::from_secs(30);

/// What the outside knows and wants of a connection.
#[derive(Debug, Default)]
pub(crate) struct Conn {
    phase: AtomicU8,
    /// Of the task that serves it.
    waker: Mutex<Option<Waker>>,
    in_flight: AtomicU32,
    is_h2: AtomicBool,
    /// HTTP/1: bytes have come since the last answer, so a head is under way.
    stirred: AtomicBool,
    /// Seconds of the server's clock when something last happened: a request ended, a head began, bytes went out.
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

/// What the task that serves a connection knows of its phase.
#[derive(Default)]
struct Seen {
    phase: Phase,
    /// The one that it has left.
    waker: Option<Waker>,
}

impl Conn {
    pub fn new(phase: Phase) -> Self {
        Self { phase: AtomicU8::new(phase as u8), ..Self::default() }
    }

    pub fn move_to(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::Relaxed);
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        // Left in place: the task says once where it is to be woken, not each time that it waits.
        waker.iter().for_each(Waker::wake_by_ref);
    }

    /// The phase, if it is further than the one seen last. Otherwise the task is woken when it is.
    fn next_phase(&self, seen: &mut Seen, cx: &Context<'_>) -> Option<Phase> {
        if !seen.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            // First the waker, so that a change after the look wakes it.
            *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
            seen.waker = Some(cx.waker().clone());
        }
        let phase = self.phase();
        (phase > std::mem::replace(&mut seen.phase, phase)).then_some(phase)
    }

    fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Open,
            1 => Phase::Last,
            2 => Phase::Idle,
            _ => Phase::Cut,
        }
    }

    /// What is to become of a connection on which nothing happens for too long: no request in flight, and a head not finished in `head` or nothing
    /// at all in `idle` seconds. HTTP/2 has no head of its own to wait for; it is told to go first, and cut if it does not within `head`.
    pub fn stale(&self, now: u32, head: u32, idle: u32) -> Option<Phase> {
        if self.in_flight.load(Ordering::Relaxed) > 0 {
            return None;
        }
        let silent = now.saturating_sub(self.since.load(Ordering::Relaxed));
        if self.is_h2.load(Ordering::Relaxed) {
            return match self.phase() {
                Phase::Open => (silent > idle).then_some(Phase::Last),
                _ => (silent > head).then_some(Phase::Cut),
            };
        }
        let limit = if self.stirred.load(Ordering::Relaxed) { head } else { idle };
        (silent > limit).then_some(Phase::Cut)
    }

    /// Bytes have come at `now`. The head's time runs from its first byte, however long the connection was idle before.
    fn stir(&self, now: u32) {
        if !self.stirred.load(Ordering::Relaxed) {
            self.since.store(now, Ordering::Relaxed);
            self.stirred.store(true, Ordering::Relaxed);
        }
    }

    /// The client has taken bytes at `now`: a slow download is no idle connection.
    fn wrote(&self, now: u32) {
        self.since.store(now, Ordering::Relaxed);
    }
}

/// Serves one connection to its end.
pub(crate) async fn serve(stream: TcpStream, conn: &Arc<Conn>, shared: &Arc<Shared>) {
    conn.since.store(shared.now(), Ordering::Relaxed);
    let Ok(Ok((first, is_h2))) = shared.timers.timeout(FIRST_BYTES, sniff(stream)).await else { return };
    conn.is_h2.store(is_h2, Ordering::Relaxed);
    let io = TokioIo::new(Watched { stream: first, conn: Arc::clone(conn), shared: Arc::clone(shared) });
    if is_h2 { serve_h2(io, conn, shared).await } else { serve_h1(io, conn, shared).await }
}

async fn serve_h1(io: TokioIo<Watched>, conn: &Arc<Conn>, shared: &Arc<Shared>) {
    let service = service_fn(|request| respond(request, conn, shared));
    // A small answer goes into one buffer with its head, which costs less than a list of pieces for the kernel; `Sending` cuts large ones, so that the
    // buffer stays as small as the one for heads.
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.writev(false).max_buf_size(MAX_BUFFER);
    let mut connection = pin!(builder.serve_connection(io, service));
    let mut seen = Seen::default();
    poll_fn(|cx| {
        match conn.next_phase(&mut seen, cx) {
            // The next answer says "connection: close", see `respond`.
            None | Some(Phase::Open | Phase::Last) => {}
            Some(Phase::Idle) => connection.as_mut().graceful_shutdown(),
            Some(Phase::Cut) => return Poll::Ready(()),
        }
        connection.as_mut().poll(cx).map(drop)
    })
    .await;
}

async fn serve_h2(io: TokioIo<Watched>, conn: &Arc<Conn>, shared: &Arc<Shared>) {
    // Each stream is a task of its own, so it owns what it needs.
    let service = service_fn(|request| {
        let (conn, shared) = (Arc::clone(conn), Arc::clone(shared));
        async move { respond(request, &conn, &shared).await }
    });
    let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    let mut connection = pin!(builder.serve_connection(io, service));
    let mut seen = Seen::default();
    poll_fn(|cx| {
        match conn.next_phase(&mut seen, cx) {
            None | Some(Phase::Open) => {}
            Some(Phase::Last | Phase::Idle) => connection.as_mut().graceful_shutdown(),
            Some(Phase::Cut) => return Poll::Ready(()),
        }
        connection.as_mut().poll(cx).map(drop)
    })
    .await;
}

fn respond<'c>(request: Request<Incoming>, conn: &'c Arc<Conn>, shared: &'c Arc<Shared>) -> Responding<'c> {
    let busy = Busy::new(conn, shared);
    let is_h1 = request.version() < http::Version::HTTP_2;
    match request::answer(request, shared) {
        Answering::Now(answer) => Responding::Now(Some(answer.map(|answer| sending(answer, busy, is_h1)))),
        Answering::Later(answer) => Responding::Later { answer, busy: Some(busy), is_h1 },
    }
}

/// An answer on its way to hyper.
enum Responding<'c> {
    /// Taken once.
    Now(Option<Result<Response<Sending>, Cut>>),
    /// `busy` goes along with the answer.
    Later { answer: Waiting<'c>, busy: Option<Busy>, is_h1: bool },
}

impl Future for Responding<'_> {
    type Output = Result<Response<Sending>, Cut>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            // Nobody polls after the end; who does is cut off.
            Self::Now(answer) => Poll::Ready(answer.take().unwrap_or(Err(Cut))),
            Self::Later { answer, busy, is_h1 } => {
                let answer = ready!(answer.as_mut().poll(cx))?;
                let busy = busy.take().ok_or(Cut)?;
                Poll::Ready(Ok(sending(answer, busy, *is_h1)))
            }
        }
    }
}

/// The answer as it is sent, and what holds the connection until it is.
fn sending(mut answer: Response<Full<Bytes>>, busy: Busy, is_h1: bool) -> Response<Sending> {
    if is_h1 && busy.conn.phase() > Phase::Open {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer.map(|body| Sending::new(body, busy))
}

/// A request is in flight on this connection, until its answer's body has been taken or dropped.
pub(crate) struct Busy {
    conn: Arc<Conn>,
    shared: Arc<Shared>,
}

impl Busy {
    fn new(conn: &Arc<Conn>, shared: &Arc<Shared>) -> Self {
        conn.in_flight.fetch_add(1, Ordering::Relaxed);
        Self { conn: Arc::clone(conn), shared: Arc::clone(shared) }
    }
}

impl Drop for Busy {
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
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read == self.length {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let count = buffer.remaining().min(self.length - self.read);
        buffer.put_slice(&self.first[self.read..self.read + count]);
        self.read += count;
        Poll::Ready(Ok(()))
    }
}

/// A stream that tells when bytes come and go.
struct Watched {
    stream: Prefixed,
    conn: Arc<Conn>,
    shared: Arc<Shared>,
}

impl Watched {
    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(1..)) = written {
            self.conn.wrote(self.shared.now());
        }
        written
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.conn.stir(self.shared.now());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream.stream).poll_write(cx, bytes);
        self.note(written)
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
        let written = Pin::new(&mut self.stream.stream).poll_write_vectored(cx, slices);
        self.note(written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: u32 = 30;
    const IDLE: u32 = 620;

    fn conn(is_h2: bool) -> Conn {
        let conn = Conn::default();
        conn.is_h2.store(is_h2, Ordering::Relaxed);
        conn
    }

    fn stale(conn: &Conn, now: u32) -> Option<Phase> {
        conn.stale(now, HEAD, IDLE)
    }

    #[test]
    fn a_head_has_its_time_from_its_first_byte() {
        let conn = conn(false);
        assert_eq!((stale(&conn, IDLE), stale(&conn, IDLE + 1)), (None, Some(Phase::Cut)));
        conn.stir(500);
        conn.stir(520);
        assert_eq!((stale(&conn, 500 + HEAD), stale(&conn, 501 + HEAD)), (None, Some(Phase::Cut)));
    }

    #[test]
    fn a_client_that_takes_bytes_is_not_idle() {
        let conn = conn(false);
        conn.wrote(600);
        assert_eq!((stale(&conn, 600 + IDLE), stale(&conn, 601 + IDLE)), (None, Some(Phase::Cut)));
    }

    #[test]
    fn frames_are_no_head_and_an_idle_h2_connection_is_told_before_it_is_cut() {
        let conn = conn(true);
        conn.stir(0);
        assert_eq!((stale(&conn, IDLE), stale(&conn, IDLE + 1)), (None, Some(Phase::Last)));
        conn.move_to(Phase::Last);
        conn.wrote(IDLE + 1);
        assert_eq!((stale(&conn, 1 + IDLE + HEAD), stale(&conn, 2 + IDLE + HEAD)), (None, Some(Phase::Cut)));
    }

    #[test]
    fn nothing_is_stale_while_a_request_is_in_flight() {
        for is_h2 in [false, true] {
            let conn = conn(is_h2);
            conn.stir(0);
            conn.in_flight.store(1, Ordering::Relaxed);
            assert_eq!(stale(&conn, u32::MAX), None);
        }
    }
}
