//! One client connection: which HTTP it speaks, and how it ends.
//!
//! Owns the rules of draining: HTTP/1 connections end with their next answer (closing an idle one would race the client's next request), HTTP/2 ones by
//! GOAWAY; what was upgraded at the deadline. Must not look into requests.

mod activity;
mod client;
mod conn;
mod executor;
mod lingering;
mod upgraded;
mod wire;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Version, header};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use self::activity::Flight;
use self::client::Client;
pub(crate) use self::conn::{Conn, Limits, Phase};
pub(crate) use self::executor::SendingTask;
use self::executor::TokioTasks;
pub(crate) use self::wire::{Gone, Wire};
use crate::body::{Further, Payload, Sending};
use crate::request::{self, Answering, Cut};
use crate::serve::Shared;

/// The largest head of a request, the most that is read at once, and where the buffer for answers is full. That one takes a last piece beyond it, so that with
/// [`crate::body::PIECE`] it stays at 64 KiB; a connection that has sent so much keeps it while it is idle. At 24 KiB a streamed GiB took a third more reads
/// and acknowledgements, and a tenth more time. Most servers take heads of 8 to 32 KiB.
const MAX_BUFFER: usize = 56 * 1024;

/// Serves one connection to its end.
pub(crate) async fn serve(socket: TcpStream, conn: &Arc<Conn>, shared: &Arc<Shared>) {
    let mut client = Client::new(socket, conn, &shared.timers);
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
    let serving = h1().serve_connection(io, service).with_upgrades();
    run(conn, pin!(serving), |connection, phase| match phase {
        // The next answer says "connection: close", see `sending`.
        Phase::Open | Phase::Last => Then::Wait,
        // So will the answer to the request that is on its way. To hyper the connection is idle until it has the whole head.
        Phase::Idle if conn.activity.look().has_part_of_a_head() => Then::Wait,
        Phase::Idle => {
            conn.is_between();
            connection.graceful_shutdown();
            Then::PollAgain
        }
        Phase::Cut => Then::End,
    })
    .await;
    // Boxed: few connections get here, and all would have room for it.
    if let Some((tunnel, busy)) = conn.take_upgrade() {
        run(conn, Box::pin(tunnel.run(busy, SendingTask::default())).as_mut(), |_, phase| match phase {
            Phase::Open | Phase::Last | Phase::Idle => Then::Wait,
            Phase::Cut => Then::End,
        })
        .await;
    }
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
    let mut builder = http2::Builder::new(TokioTasks);
    builder.enable_connect_protocol();
    run(conn, pin!(builder.serve_connection(io, service)), |connection, phase| match phase {
        Phase::Open => Then::Wait,
        Phase::Last | Phase::Idle => {
            connection.graceful_shutdown();
            Then::PollAgain
        }
        Phase::Cut => Then::End,
    })
    .await;
    conn.end_upgrades();
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
    let version = request.version();
    Responding { answering: request::answer(request, conn.peer(), shared), busy: Some(busy), version }
}

/// An answer on its way to hyper.
struct Responding<'c> {
    answering: Answering<'c>,
    /// Goes along with the answer.
    busy: Option<Busy>,
    version: Version,
}

impl Future for Responding<'_> {
    type Output = Result<Response<Sending>, Cut>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { answering, busy, version } = self.get_mut();
        let mut answer = match answering {
            // Nobody polls after the end; who does is cut off.
            Answering::Now(answer) => std::mem::replace(answer, Err(Cut)),
            Answering::Later(answer) => {
                ready!(answer.as_mut().poll(cx)).map(|answer| answer.map(Sending::new))
            }
        };
        if let (Ok(answer), Some(busy)) = (&mut answer, busy.take()) {
            send(answer, busy, *version);
        }
        Poll::Ready(answer)
    }
}

/// Brings an answer on its way, with what holds the connection until it is sent.
#[inline(always)]
fn send(answer: &mut Response<Sending>, mut busy: Busy, version: Version) {
    if !matches!(answer.body().payload(), Payload::Whole(_)) {
        return send_on(answer, busy, version);
    }
    if version < Version::HTTP_2 {
        busy.close_if_last(answer.headers_mut());
    } else if !answer.body().payload().is_empty() {
        busy.sends();
    }
    answer.body_mut().send(busy);
}

/// As [`send`], where the answer goes on after its head.
#[cold]
fn send_on(answer: &mut Response<Sending>, busy: Busy, version: Version) {
    let is_h1 = version < Version::HTTP_2;
    let payload = std::mem::replace(answer.body_mut().payload_mut(), Payload::Whole(Bytes::new()));
    let Payload::Further(further) = payload else { return };
    match *further {
        Further::Upgrade(tunnel) => {
            let conn = Arc::clone(&busy.conn);
            conn.upgrade(Box::new(tunnel), busy, answer.headers_mut(), is_h1);
        }
        Further::Stream(mut stream) => {
            if is_h1 {
                busy.close_if_last(answer.headers_mut());
            }
            if version == Version::HTTP_10 {
                stream.ends_with_connection();
            }
            *answer.body_mut().payload_mut() = Payload::stream(stream);
            answer.body_mut().send(busy);
        }
    }
}

/// A request is in flight on this connection, until its answer's body has been taken or dropped.
#[derive(Debug)]
pub(crate) struct Busy {
    conn: Arc<Conn>,
    flight: Flight,
}

impl Busy {
    fn new(conn: &Arc<Conn>, has_body: bool) -> Self {
        Self { flight: conn.begins(has_body), conn: Arc::clone(conn) }
    }

    /// HTTP/1: this answer may be the last.
    #[inline(always)]
    fn close_if_last(&self, headers: &mut HeaderMap) {
        if self.conn.phase() > Phase::Open {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }

    /// HTTP/2: only the client's window is waited for.
    pub fn sends(&mut self) {
        if self.conn.activity.look().is_h2() {
            self.conn.activity.send(&mut self.flight, self.conn.now());
        }
    }

    /// HTTP/2: the window had room, and the handler is waited for again.
    pub fn has_sent(&mut self) {
        self.conn.activity.sent(&mut self.flight, self.conn.now());
    }

    /// HTTP/1: the connection's end is to be seen as a failure.
    pub fn reset(&self) {
        if !self.conn.activity.look().is_h2() {
            self.conn.reset();
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.conn.activity.end(self.conn.now(), &self.flight);
    }
}

#[cfg(test)]
mod tests;
