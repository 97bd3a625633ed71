//! /healthz and /readyz.
//!
//! Owns the two answers: alive as long as the process answers, since it ends when any of its tasks does; ready once the first complete list
//! of entries is in the bay, and never unready again, because a lost API server takes nothing from the pod.

use std::convert::Infallible;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::fill::Known;

/// How long a prober may take to send its request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// Answers for ever.
///
/// # Errors
/// None: an accept error is logged and the next connection awaited.
pub(crate) async fn serve(listener: TcpListener, known: watch::Receiver<Known>) -> anyhow::Result<()> {
    loop {
        match listener.accept().await {
            Ok((connection, _)) => {
                tokio::spawn(answer(connection, known.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection for health");
                // Most often no descriptors are left: the backlog holds the others meanwhile.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(connection: TcpStream, known: watch::Receiver<Known>) {
    let service = service_fn(|request: Request<Incoming>| {
        let (status, text) = status(request.uri().path(), known.borrow().synced);
        let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
        *response.status_mut() = status;
        async { Ok::<_, Infallible>(response) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(connection), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a health connection ended badly");
    }
}

fn status(path: &str, synced: bool) -> (StatusCode, &'static str) {
    match (path, synced) {
        ("/healthz", _) | ("/readyz", true) => (StatusCode::OK, "ok\n"),
        ("/readyz", false) => {
            (StatusCode::SERVICE_UNAVAILABLE, "the first list of entries is not in the bay yet\n")
        }
        _ => (StatusCode::NOT_FOUND, "there is /healthz and /readyz\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    async fn get(address: std::net::SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text.lines().next().unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn readiness_follows_the_first_sync() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (known_tx, known_rx) = watch::channel(Known::default());
        let server = tokio::spawn(serve(listener, known_rx));
        assert_eq!(get(address, "/healthz").await, "HTTP/1.1 200 OK");
        assert_eq!(get(address, "/readyz").await, "HTTP/1.1 503 Service Unavailable");
        known_tx.send_replace(Known { synced: true, entries: None });
        assert_eq!(get(address, "/readyz").await, "HTTP/1.1 200 OK");
        assert_eq!(get(address, "/").await, "HTTP/1.1 404 Not Found");
        server.abort();
    }
}
