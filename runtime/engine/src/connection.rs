//! One client connection: which HTTP it speaks, and how it ends.
//!
//! Owns the rules of draining: HTTP/1 connections end with their next answer (closing an idle one would race the client's next request), HTTP/2 ones by
//! GOAWAY. Must not look into requests.

mod activity;
mod client;
mod conn;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use self::activity::Flight;
use self::client::Client;
pub(crate) use self::conn::{Conn, Limits, Phase};
use crate::body::Sending;
use crate::request::{self, Answering, Cut, Waiting};
use crate::serve::Shared;

/// The largest head of a request, and where the buffer for answers is full. That one takes a last piece beyond it and keeps its room while the connection
/// is idle: with [`crate::body::PIECE`] it stays at 32 KiB. Most servers take heads of 8 to 32 KiB.
const MAX_BUFFER: usize = 24 * 1024;

/// Serves one connection to its end.
pub(crate) async fn serve(socket: TcpStream, conn: &Arc<Conn>, shared: &Arc<Shared>) {
    let mut client = Client::new(socket, conn);
    let sniffed = run(conn, pin!(client.sniff()), |_, phase| match phase {
        Phase::Open | Phase::Last => Then::Wait,
        Phase::Idle if conn.activity.look().has_part_of_a_head() => Then::Wait,
        Phase::Idle | Phase::Cut => Then::End,
    })
    .await;
    match sniffed {
        Some(Ok(true)) => {
            conn.activity.speaks_h2();
            serve_h2(TokioIo::new(client), conn, shared).await;
        }
        Some(Ok(false)) => serve_h1(TokioIo::new(client), conn, shared).await,
        Some(Err(_)) | None => {}
    }
}

async fn serve_h1(io: TokioIo<Client>, conn: &Arc<Conn>, shared: &Arc<Shared>) {
    let service = service_fn(|request| respond(request, conn, shared));
    run(conn, pin!(h1().serve_connection(io, service)), |connection, phase| match phase {
        // The next answer says "connection: close", see `sending`.
        Phase::Open | Phase::Last => Then::Wait,
        // So will the answer to the request that is on its way. To hyper the connection is idle until it has the whole head.
        Phase::Idle if conn.activity.look().has_part_of_a_head() => Then::Wait,
        Phase::Idle => {
            connection.graceful_shutdown();
            Then::PollAgain
        }
        Phase::Cut => Then::End,
    })
    .await;
}

fn h1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    // A small answer goes into one buffer with its head, which costs less than a list of pieces for the kernel.
    builder.writev(false).max_buf_size(MAX_BUFFER);
    builder
}

async fn serve_h2(io: TokioIo<Client>, conn: &Arc<Conn>, shared: &Arc<Shared>) {
    // Each stream is a task of its own, so it owns what it needs.
    let service = service_fn(|request| {
        let (conn, shared) = (Arc::clone(conn), Arc::clone(shared));
        async move { respond(request, &conn, &shared).await }
    });
    let builder = http2::Builder::new(TokioExecutor::new());
    run(conn, pin!(builder.serve_connection(io, service)), |connection, phase| match phase {
        Phase::Open => Then::Wait,
        Phase::Last | Phase::Idle => {
            connection.graceful_shutdown();
            Then::PollAgain
        }
        Phase::Cut => Then::End,
    })
    .await;
}

/// What follows from a new phase.
enum Then {
    Wait,
    PollAgain,
    End,
}

/// Polls `serving` to its end, or until `act` says that a new phase ends it. It is polled before `act` is asked: what has come before the phase did is read
/// by then, and a connection that has a request counts as one.
#[inline(always)]
async fn run<F: Future>(
    conn: &Conn,
    mut serving: Pin<&mut F>,
    act: impl Fn(Pin<&mut F>, Phase) -> Then,
) -> Option<F::Output> {
    let mut seen = conn::Seen::default();
    poll_fn(|cx| {
        loop {
            let phase = conn.next_phase(&mut seen, cx);
            if let Poll::Ready(output) = serving.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            match phase.map_or(Then::Wait, |phase| act(serving.as_mut(), phase)) {
                Then::Wait => return Poll::Pending,
                Then::PollAgain => {}
                Then::End => return Poll::Ready(None),
            }
        }
    })
    .await
}

fn respond<'c>(request: Request<Incoming>, conn: &Arc<Conn>, shared: &'c Arc<Shared>) -> Responding<'c> {
    let busy = Busy::new(conn, !request.body().is_end_stream());
    let is_h1 = request.version() < http::Version::HTTP_2;
    match request::answer(request, shared) {
        Answering::Now(answer) => Responding::Now(answer.map(|answer| sending(answer, busy, is_h1))),
        Answering::Later(answer) => Responding::Later { answer, busy: Some(busy), is_h1 },
    }
}

/// An answer on its way to hyper.
enum Responding<'c> {
    /// Taken once.
    Now(Result<Response<Sending>, Cut>),
    /// `busy` goes along with the answer.
    Later { answer: Waiting<'c>, busy: Option<Busy>, is_h1: bool },
}

impl Future for Responding<'_> {
    type Output = Result<Response<Sending>, Cut>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            // Nobody polls after the end; who does is cut off.
            Self::Now(answer) => Poll::Ready(std::mem::replace(answer, Err(Cut))),
            Self::Later { answer, busy, is_h1 } => {
                let answer = ready!(answer.as_mut().poll(cx))?;
                let busy = busy.take().ok_or(Cut)?;
                Poll::Ready(Ok(sending(answer, busy, *is_h1)))
            }
        }
    }
}

/// The answer as it is sent, and what holds the connection until it is.
fn sending(mut answer: Response<Bytes>, mut busy: Busy, is_h1: bool) -> Response<Sending> {
    if is_h1 {
        if busy.conn.phase() > Phase::Open {
            answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    } else if !answer.body().is_empty() {
        busy.send();
    }
    answer.map(|body| Sending::new(body, busy))
}

/// A request is in flight on this connection, until its answer's body has been taken or dropped.
pub(crate) struct Busy {
    conn: Arc<Conn>,
    flight: Flight,
}

impl Busy {
    fn new(conn: &Arc<Conn>, has_body: bool) -> Self {
        Self { flight: conn.activity.begin(has_body), conn: Arc::clone(conn) }
    }

    /// Only the client's window is waited for.
    fn send(&mut self) {
        self.conn.activity.send(&mut self.flight, self.conn.now());
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.conn.activity.end(self.conn.now(), &self.flight);
    }
}

#[cfg(test)]
mod tests;
