//! The blob service: what does not fit into ConfigMaps, for the agents of the pools' pods.
//!
//! ```text
//! GET /blobs/sha256-<hex>  ─► tokens: a pod's? ─► index: does an entry of its namespace name it? ─► cache ─► streamed
//!                                                                                                   │ ▲
//!                                                                          registry, by digest ◄────┘ └── refills
//! ```
//! Owns the way of a request and of a connection: which is let in (`places`), how fast it must be (`pace`), when it ends. Any replica can serve any blob: the cache is its own, and what is missing comes from
//! the registry. Every refusal says what is wrong in one line, which the agent puts into its pod's report.
//!
//! It speaks plain HTTP: the bytes are no secret to the pods and are checked by whoever gets them, and the token is good for nothing else.

mod answer;
mod artifacts;
mod cache;
mod pace;
mod places;
mod refills;
mod tokens;
mod transfer;

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hotbay_api::Digest;
use hotbay_pipeline::Source;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use kube::Client;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

pub use cache::{Cache, CacheError};
pub use tokens::ApiServer;

use crate::index::{Event, Inquiry, Standing};
use crate::metrics::{BlobService, Closed};
use crate::serve::Seldom;
use answer::no_place;
use pace::{Paced, was_slow};
use places::{NoPlace, Place, Places};
use refills::Refills;
use tokens::{Reviewer, Tokens};
use transfer::Transfers;

/// For the head of a request, also the next one of a connection.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// For all that happens on a connection: a peer that only just keeps the pace gets 30 MiB in it.
const CONNECTION_LIMIT: Duration = Duration::from_secs(900);
/// Connections at a time that are told that there is no place for them; more are closed without a word.
const TURNED_AWAY: usize = 64;
/// How long one of them may take to ask and to hear it.
const TURNING_AWAY_LIMIT: Duration = Duration::from_secs(2);
/// What is read of a head, and what of an answer waits for the peer, at most.
const BUFFER_BYTES: usize = 32 << 10;
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
    metrics: BlobService,
}

impl<C, S> Blobs<C, ApiServer, S>
where
    C: Catalog,
    S: Source + Send + Sync + 'static,
{
    /// A service that asks this API server who somebody is, and this source for what the cache lacks.
    pub fn new(client: Client, catalog: C, cache: Arc<Cache>, source: Arc<S>, metrics: BlobService) -> Self {
        Self {
            catalog,
            tokens: Tokens::new(ApiServer::new(client)),
            refills: Refills::new(source, cache.clone(), metrics.clone()),
            cache,
            transfers: Transfers::default(),
            metrics,
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
        let places = Places::new(blobs.metrics.clone());
        let turned_away = Arc::new(Semaphore::new(TURNED_AWAY));
        let mut told = Seldom::default();
        loop {
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection for a blob could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            match places.take(peer.ip()) {
                // Detached on purpose: its time is limited, and nothing depends on it.
                Ok(place) => drop(tokio::spawn(blobs.clone().keep(stream, place))),
                Err(why) => {
                    blobs.metrics.closed(Closed::from(why));
                    if told.may_tell() {
                        tracing::warn!(peer = %peer.ip(), "a connection for blobs is refused: {why}");
                    }
                    if let Ok(permit) = turned_away.clone().try_acquire_owned() {
                        tokio::spawn(blobs.clone().turn_away(stream, why, permit));
                    }
                }
            }
        }
    }

    /// Attends to a connection that has a place.
    async fn keep(self: Arc<Self>, stream: impl AsyncRead + AsyncWrite + Unpin, place: Place) {
        self.attend(stream).await;
        drop(place);
    }

    async fn attend(self: Arc<Self>, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let metrics = self.metrics.clone();
        let service = service_fn(move |request| {
            let blobs = self.clone();
            async move { Ok::<_, Infallible>(blobs.answer(&request).await) }
        });
        let mut server = http1::Builder::new();
        server.timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT).max_buf_size(BUFFER_BYTES);
        let connection = server.serve_connection(TokioIo::new(Paced::new(stream)), service);
        match tokio::time::timeout(CONNECTION_LIMIT, connection).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) if was_slow(&error) => {
                metrics.closed(Closed::Slow);
                tracing::warn!(error = hotbay_api::chain(&error), "a connection for blobs is cut");
            }
            Ok(Err(error)) => tracing::debug!(%error, "a connection for blobs ended badly"),
            Err(_) => {
                metrics.closed(Closed::Long);
                tracing::warn!("a connection for blobs is cut: it lasted {} s", CONNECTION_LIMIT.as_secs());
            }
        }
    }

    /// Tells a connection that there is no place for it, which its agent puts into its pod's report.
    async fn turn_away(
        self: Arc<Self>,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        why: NoPlace,
        _permit: OwnedSemaphorePermit,
    ) {
        let service = service_fn(|_: Request<Incoming>| {
            let answer = no_place(why);
            self.metrics.answered(answer.status().as_u16());
            async move { Ok::<_, Infallible>(answer) }
        });
        let mut server = http1::Builder::new();
        server.keep_alive(false).max_buf_size(BUFFER_BYTES);
        let connection = server.serve_connection(TokioIo::new(stream), service);
        // Whoever does not wait for the words has gone, or has asked for nothing.
        drop(tokio::time::timeout(TURNING_AWAY_LIMIT, connection).await);
    }
}

impl From<NoPlace> for Closed {
    fn from(why: NoPlace) -> Self {
        match why {
            NoPlace::All => Self::Full,
            NoPlace::Address => Self::Address,
        }
    }
}

#[cfg(test)]
mod tests;
