//! The little HTTP server for probes and scrapes.
//!
//! Owns the loop and its bounds: one request a connection, five seconds for its head and ten for all, and so many connections. One more
//! than that ends the one that has asked for nothing for longest, so that whoever opens connections and says nothing keeps no probe away.
//! What is answered is the caller's: `health` and `metrics`. Must not be met by anybody's data.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// Between a failed accept and the next. A probe has a second.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The usual ones: all of a connection may be a scrape of some hundred KiB by somebody who reads slowly.
const LIMITS: Limits = Limits { head: Duration::from_secs(5), all: Duration::from_secs(10) };
/// Connections at a time. The kubelet has one or two, and each Prometheus one.
const CONNECTIONS: usize = 64;
/// What is read of a head at most.
const BUFFER_BYTES: usize = 16 << 10;
/// Between two lines about the same trouble.
const SELDOM: Duration = Duration::from_secs(10);

/// How long a connection may take.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// For the head of its request.
    head: Duration,
    /// For all of it.
    all: Duration,
}

/// Binds `address` for `what`.
pub async fn bind(address: SocketAddr, what: &'static str) -> anyhow::Result<TcpListener> {
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address} for {what}"))?;
    tracing::info!(address = %listener.local_addr()?, "{what} is served");
    Ok(listener)
}

/// Answers for ever.
pub async fn serve<A>(listener: TcpListener, answer: A)
where
    A: Fn(&Request<Incoming>) -> Response<Full<Bytes>> + Send + Sync + 'static,
{
    serve_within(LIMITS, listener, answer).await;
}

async fn serve_within<A>(limits: Limits, listener: TcpListener, answer: A)
where
    A: Fn(&Request<Incoming>) -> Response<Full<Bytes>> + Send + Sync + 'static,
{
    let answer = Arc::new(answer);
    let (mut open, mut told) = (Open::default(), Seldom::default());
    loop {
        let (stream, peer) = accepted(|| listener.accept()).await;
        if open.make_room() && told.may_tell() {
            tracing::warn!(%peer, "there are {CONNECTIONS} connections for health or metrics; the oldest is closed for a new one");
        }
        let has_asked = Arc::new(AtomicBool::new(false));
        // Detached on purpose: it ends with its one answer or its time limit, and nothing depends on it.
        let task = tokio::spawn(attend(limits, stream, answer.clone(), has_asked.clone()));
        open.0.push(Connection { has_asked, task: task.abort_handle() });
    }
}

async fn attend<S, A>(limits: Limits, stream: S, answer: Arc<A>, has_asked: Arc<AtomicBool>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    A: Fn(&Request<Incoming>) -> Response<Full<Bytes>>,
{
    let service = service_fn(|request| {
        has_asked.store(true, Ordering::Relaxed);
        let response = answer(&request);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(limits.head);
    server.keep_alive(false).max_buf_size(BUFFER_BYTES);
    let connection = server.serve_connection(TokioIo::new(stream), service);
    drop(tokio::time::timeout(limits.all, connection).await);
}

/// The connections that there are, the oldest first.
#[derive(Default)]
struct Open(Vec<Connection>);

struct Connection {
    /// It is being answered.
    has_asked: Arc<AtomicBool>,
    task: AbortHandle,
}

impl Open {
    /// Makes room for one more; whether one had to be closed for it.
    fn make_room(&mut self) -> bool {
        self.0.retain(|connection| !connection.task.is_finished());
        if self.0.len() < CONNECTIONS {
            return false;
        }
        let idle = self.0.iter().position(|connection| !connection.has_asked.load(Ordering::Relaxed));
        self.0.remove(idle.unwrap_or_default()).task.abort();
        true
    }
}

/// Holds back what would be said again and again.
#[derive(Debug, Default)]
pub struct Seldom(Option<Instant>);

impl Seldom {
    /// Whether it may be said now: it was not for a while.
    pub fn may_tell(&mut self) -> bool {
        let may = self.0.is_none_or(|last| last.elapsed() >= SELDOM);
        if may {
            self.0 = Some(Instant::now());
        }
        may
    }
}

/// An answer of some text.
pub fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response
}

/// The next connection. An accept error must not end the server: the next accept may work. Some errors come back at once (too many open
/// files), so there is a pause before it.
async fn accepted<T, F: Future<Output = io::Result<T>>>(accept: impl Fn() -> F) -> T {
    loop {
        match accept().await {
            Ok(connection) => return connection,
            Err(error) => tracing::warn!(%error, "a connection for health or metrics could not be accepted"),
        }
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

#[cfg(test)]
mod tests;
