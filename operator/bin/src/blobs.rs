//! The blob service: what does not fit into ConfigMaps, for the agents of the pools' pods.
//!
//! ```text
//! GET /blobs/sha256-<hex>  ─► tokens: a pod's? ─► index: does an entry of its namespace name it? ─► cache ─► streamed
//!                                                                                                   │ ▲
//!                                                                          registry, by digest ◄────┘ └── refills
//! ```
//! Owns the way of a request, and how many there may be. Any replica can serve any blob: the cache is its own, and what is missing comes from
//! the registry. Every refusal says what is wrong in one line, which the agent puts into its pod's report.
//!
//! It speaks plain HTTP: the bytes are no secret to the pods and are checked by whoever gets them, and the token is good for nothing else.

mod answer;
mod artifacts;
mod cache;
mod refills;
mod tokens;
mod transfer;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hotbay_api::Digest;
use hotbay_pipeline::Source;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use kube::Client;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

pub use cache::Cache;
pub use tokens::ApiServer;

use crate::index::{Event, Inquiry, Standing};
use refills::Refills;
use tokens::{Reviewer, Tokens};
use transfer::Transfers;

/// Connections at a time; others wait in the kernel's backlog. An agent has four, and asks only for what it does not have.
const CONNECTIONS: usize = 256;
/// For the head of a request, also the next one of a connection.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// For all that happens on a connection. Transfers have limits of their own; this is for peers that vanish.
const CONNECTION_LIMIT: Duration = Duration::from_secs(900);
/// Between a failed accept and the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who knows what a blob is to a namespace.
pub trait Catalog: Send + Sync + 'static {
    /// What the blob is to the namespace now.
    fn standing(&self, namespace: &str, digest: &Digest) -> impl Future<Output = Standing> + Send;
}

/// The index, asked through its queue.
impl Catalog for mpsc::Sender<Event> {
    async fn standing(&self, namespace: &str, digest: &Digest) -> Standing {
        let (answer_tx, answer_rx) = oneshot::channel();
        let inquiry = Inquiry { namespace: namespace.to_owned(), digest: *digest, answer_tx };
        match self.send(Event::Asked(inquiry)).await {
            Ok(()) => answer_rx.await.unwrap_or(Standing::Unknown),
            // The operator ends.
            Err(_) => Standing::Unknown,
        }
    }
}

/// All that answering takes.
pub struct Blobs<C, R, S> {
    catalog: C,
    tokens: Tokens<R>,
    cache: Arc<Cache>,
    refills: Refills<S>,
    transfers: Transfers,
}

impl<C, S> Blobs<C, ApiServer, S>
where
    C: Catalog,
    S: Source + Send + Sync + 'static,
{
    /// A service that asks this API server who somebody is, and this source for what the cache lacks. `artifacts` has a permit for each
    /// artifact that may be in memory at a time.
    pub fn new(
        client: Client,
        catalog: C,
        cache: Arc<Cache>,
        source: Arc<S>,
        artifacts: Arc<Semaphore>,
    ) -> Self {
        Self {
            catalog,
            tokens: Tokens::new(ApiServer::new(client)),
            refills: Refills::new(source, cache.clone(), artifacts),
            cache,
            transfers: Transfers::default(),
        }
    }
}

impl<C, R, S> Blobs<C, R, S>
where
    C: Catalog,
    R: Reviewer,
    S: Source + Send + Sync + 'static,
{
    /// Answers for ever.
    pub async fn serve(self, listener: TcpListener) {
        let blobs = Arc::new(self);
        let connections = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            // Never closed, so there is always a permit in the end.
            let permit = connections.clone().acquire_owned().await;
            match listener.accept().await {
                Ok((stream, _)) => {
                    let blobs = blobs.clone();
                    // Detached on purpose: its time is limited, and nothing depends on it.
                    tokio::spawn(async move {
                        blobs.attend(stream).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection for a blob could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn attend(self: Arc<Self>, stream: TcpStream) {
        let service = service_fn(move |request| {
            let blobs = self.clone();
            async move { Ok::<_, std::convert::Infallible>(blobs.answer(&request).await) }
        });
        let mut server = http1::Builder::new();
        server.timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT).max_buf_size(32 << 10);
        let connection = server.serve_connection(TokioIo::new(stream), service);
        match tokio::time::timeout(CONNECTION_LIMIT, connection).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a connection for blobs ended badly"),
            Err(_) => tracing::debug!("a connection for blobs took too long and was closed"),
        }
    }
}

#[cfg(test)]
mod tests;
