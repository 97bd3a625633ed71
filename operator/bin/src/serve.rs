//! The little HTTP server for probes and scrapes.
//!
//! Owns the loop and its bounds: one request a connection, five seconds for its head. What is answered is the caller's: `health` and
//! `metrics`. Must not be met by anybody's data.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

/// Between a failed accept and the next. A probe has a second.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// For the head of a request.
const HEAD_LIMIT: Duration = Duration::from_secs(5);

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
    let answer = Arc::new(answer);
    loop {
        let (stream, _) = accepted(|| listener.accept()).await;
        let answer = answer.clone();
        let service = service_fn(move |request| {
            let response = answer(&request);
            async move { Ok::<_, Infallible>(response) }
        });
        let mut server = http1::Builder::new();
        server.timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT).keep_alive(false);
        let connection = server.serve_connection(TokioIo::new(stream), service);
        // Detached on purpose: it ends with its one answer or its time limit, and nothing depends on it.
        tokio::spawn(async move { drop(connection.await) });
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
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_accept_that_fails_again_and_again_is_not_asked_again_at_once() {
        let asked = AtomicUsize::new(0);
        let accept = || async {
            let number = asked.fetch_add(1, Ordering::SeqCst);
            if number < 5 { Err(io::Error::other("too many open files")) } else { Ok(number) }
        };
        let start = tokio::time::Instant::now();
        assert_eq!(accepted(accept).await, 5);
        assert_eq!(start.elapsed(), ACCEPT_PAUSE * 5);
    }
}
