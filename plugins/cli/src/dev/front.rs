//! What stands before the runtime while a module is developed: people in browsers see why the newest save does not serve, everybody else is passed on.
//!
//! ```text
//! browser, curl ──► front ──HTTP/1.1──► engine          a page instead: a document is asked for, and the newest save is not what serves
//!                         ──as it is──► (HTTP/2)
//! ```
//! Owns the address that people know. Must not change what a module is asked nor what it answers. `hotbay dev` alone has it: no cluster and no `hotbay run` does.

mod decide;
mod held;
mod page;
mod pass;
mod stream;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, watch};

use super::standing::Standing;
use decide::{Decision, decide};
use pass::Upstream;
use stream::Prefixed;

/// A page that waits is told after this long that it may go on waiting: some clients give up after a minute.
const PATIENCE: Duration = Duration::from_secs(25);
/// A pause after which accepting is tried again: the system has no descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// A body of ours, or one that is passed on.
type Body = UnsyncBoxBody<Bytes, hyper::Error>;

/// Listens at `address` and serves on a thread of its own, as long as this process lives; what is not answered here goes to `engine`.
///
/// # Errors
/// When the address cannot be had.
pub(super) fn start(
    address: SocketAddr,
    engine: SocketAddr,
    standing: watch::Receiver<Standing>,
) -> anyhow::Result<()> {
    let listener = hotbay_sys::listener::listen(address).with_context(|| {
        format!("failed to listen at {address}; is another one there? Choose an address with --listen")
    })?;
    let runtime = crate::run::runtime()?;
    let serve = move || {
        let done = runtime.block_on(accept(listener, engine, standing));
        if let Err(error) = done {
            tracing::error!(%error, "nobody listens any more");
        }
    };
    std::thread::Builder::new().name("front".to_owned()).spawn(serve).context("failed to start a thread")?;
    Ok(())
}

async fn accept(
    listener: std::net::TcpListener,
    engine: SocketAddr,
    standing: watch::Receiver<Standing>,
) -> std::io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        match listener.accept().await {
            Ok((client, _)) => drop(tokio::spawn(connection(client, engine, standing.clone()))),
            Err(error) => {
                tracing::debug!(%error, "accepting failed");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Serves one client to its end. How it ends is between client and module.
async fn connection(client: TcpStream, engine: SocketAddr, standing: watch::Receiver<Standing>) {
    // Small pieces of a stream are sent when they come.
    let _ = client.set_nodelay(true);
    let Ok((mut client, is_http2)) = Prefixed::read(client).await else { return };
    if is_http2 {
        // No browser speaks it without TLS.
        if let Ok(mut engine) = pass::connect(engine).await {
            let _ = tokio::io::copy_bidirectional(&mut client, &mut engine).await;
            let _ = engine.shutdown().await;
        }
        return;
    }
    let upstream = Arc::new(Mutex::new(Upstream::new(engine)));
    let service = service_fn(move |request| {
        let (upstream, standing) = (Arc::clone(&upstream), standing.clone());
        async move { Ok::<_, Infallible>(answer(request, &upstream, standing).await) }
    });
    let mut http = http1::Builder::new();
    // As the engine: who ends its side has left, and what it asked for is called off.
    http.timer(TokioTimer::new()).half_close(false);
    if let Err(error) = http.serve_connection(TokioIo::new(client), service).with_upgrades().await {
        tracing::debug!(%error, "a connection has broken");
    }
}

async fn answer(
    mut request: Request<Incoming>,
    upstream: &Mutex<Upstream>,
    mut standing: watch::Receiver<Standing>,
) -> Response<Body> {
    // What is decided and what is shown are of one moment.
    let now = standing.borrow().clone();
    match decide(&request, &now) {
        Decision::Pass => {}
        Decision::PassAs(target) => *request.uri_mut() = target,
        Decision::Page => return page::html(&now, request.uri()),
        Decision::Words => return page::words(&now),
        Decision::Wait(seen) => {
            let changed = standing.wait_for(|standing| standing.generation != seen);
            let is_new = tokio::time::timeout(PATIENCE, changed).await.is_ok();
            return page::changed(is_new);
        }
    }
    match upstream.lock().await.send(request).await {
        Ok(answer) => answer,
        Err(error) => page::unreachable(&error),
    }
}

#[cfg(test)]
mod tests;
