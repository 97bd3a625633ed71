//! /healthz and /readyz.
//!
//! Owns the little server. Alive means that it answers, because a task that dies ends the process; ready means that the index has seen every
//! module, pool, namespace and report once.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
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
use tokio::sync::watch;

/// Between a failed accept and the next. A probe has a second.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Binds `address`.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address} for health"))?;
    tracing::info!(address = %listener.local_addr()?, "health is served");
    Ok(listener)
}

/// Answers for ever.
pub async fn serve(listener: TcpListener, ready: watch::Receiver<bool>) {
    loop {
        let (stream, _) = accepted(|| listener.accept()).await;
        let ready = ready.clone();
        let service = service_fn(move |request| {
            let response = answer(&request, *ready.borrow());
            async move { Ok::<_, Infallible>(response) }
        });
        let mut server = http1::Builder::new();
        server.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(5)).keep_alive(false);
        let connection = server.serve_connection(TokioIo::new(stream), service);
        // Detached on purpose: it ends with its one answer or its time limit, and nothing depends on it.
        tokio::spawn(async move { drop(connection.await) });
    }
}

/// The next connection. An accept error must not end health: the next accept may work. Some errors come back at once (too many open files),
/// so there is a pause before it.
async fn accepted<T, F: Future<Output = io::Result<T>>>(accept: impl Fn() -> F) -> T {
    loop {
        match accept().await {
            Ok(connection) => return connection,
            Err(error) => tracing::warn!(%error, "a health connection could not be accepted"),
        }
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

fn answer(request: &Request<Incoming>, ready: bool) -> Response<Full<Bytes>> {
    let (status, text) = match (request.uri().path(), ready) {
        ("/healthz", _) | ("/readyz", true) => (StatusCode::OK, "ok\n"),
        ("/readyz", false) => (StatusCode::SERVICE_UNAVAILABLE, "the index is not complete yet\n"),
        _ => (StatusCode::NOT_FOUND, "there are /healthz and /readyz\n"),
    };
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response
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
