//! A source that asks the real one as little as it can.
//!
//! Owns two economies: look-ups of one reference at one time are one request, and fetched artifacts are kept on disk, where the blob service
//! finds them too. And a fairness: so many fetches there may be at a time, of one registry host and of all. Pods that lack a blob have a source
//! of their own beside that for look-ups, with shares and room that no look-up takes; the two have the disk in common.

mod flights;

use std::sync::Arc;

use hotbay_api::{Digest, chain};
use hotbay_pipeline::{Artifact, Source, SourceError};
use hotbay_registry::{Client, Room, Shares};

use crate::blobs::{Cache, CacheError};
use flights::Flights;

/// A source that knows whom it asks.
pub trait HostedSource: Source {
    /// The host that is asked for a reference; all that name none have one in common. Whatever is shared out by host goes by this.
    fn host_of(&self, reference: &str) -> String;
}

impl HostedSource for Client {
    fn host_of(&self, reference: &str) -> String {
        self.host_of(reference)
    }
}

/// See the module.
pub struct SharedSource<S> {
    inner: S,
    resolves: Flights<Digest>,
    fetches: Flights<Artifact>,
    cache: Arc<Cache>,
    room: Room,
    fetching: Shares,
}

impl<S> SharedSource<S> {
    /// Shares `inner`, and keeps what it fetches. What comes from the disk takes room too. Each fetch takes 1 of `fetching`.
    pub fn new(inner: S, cache: Arc<Cache>, room: Room, fetching: Shares) -> Self {
        // A name may lead elsewhere by the time that somebody asks; content by digest never goes stale.
        let (resolves, fetches) = (Flights::going_stale(), Flights::lasting());
        Self { inner, resolves, fetches, cache, room, fetching }
    }
}

impl<S: HostedSource + Send + Sync> HostedSource for SharedSource<S> {
    fn host_of(&self, reference: &str) -> String {
        self.inner.host_of(reference)
    }
}

impl<S: HostedSource + Send + Sync> Source for SharedSource<S> {
    async fn resolve(&self, reference: &str) -> Result<Digest, SourceError> {
        self.resolves.share(reference, || self.inner.resolve(reference)).await
    }

    async fn fetch(&self, reference: &str, digest: &Digest, max_bytes: u64) -> Result<Artifact, SourceError> {
        if let Some(artifact) = self.kept(reference, digest, max_bytes).await {
            return Ok(artifact);
        }
        let _share = self.fetching.take(&self.host_of(reference), 1).await;
        // Who asks under another name or limit asks something else.
        let key = format!("{reference} {digest} {max_bytes}");
        self.fetches.share(&key, || self.fetch_once(reference, digest, max_bytes)).await
    }
}

impl<S: HostedSource + Send + Sync> SharedSource<S> {
    async fn fetch_once(
        &self,
        reference: &str,
        digest: &Digest,
        max_bytes: u64,
    ) -> Result<Artifact, SourceError> {
        // Another fetch may have kept it while this one waited for its turn.
        if let Some(artifact) = self.kept(reference, digest, max_bytes).await {
            return Ok(artifact);
        }
        let artifact = self.inner.fetch(reference, digest, max_bytes).await?;
        self.keep(&artifact).await;
        Ok(artifact)
    }

    /// From the disk; one that fails only costs a fetch.
    async fn kept(&self, reference: &str, digest: &Digest, max_bytes: u64) -> Option<Artifact> {
        let (cache, name, digest) = (self.cache.clone(), reference.to_owned(), *digest);
        let bytes = self.read_disk(move || cache.artifact_bytes(&name, &digest)).await?;
        let mut space = self.room.arriving(&self.host_of(reference), bytes).await;
        let (cache, name) = (self.cache.clone(), reference.to_owned());
        let mut artifact = self.read_disk(move || cache.artifact(&name, &digest, max_bytes)).await?;
        for build in &mut artifact.builds {
            build.bytes = space.put(std::mem::take(&mut build.bytes));
        }
        Some(artifact)
    }

    async fn read_disk<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<Option<T>, CacheError> + Send + 'static,
    ) -> Option<T> {
        let read = tokio::task::spawn_blocking(read).await;
        read.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())).unwrap_or_else(|error| {
            tracing::warn!(error = chain(&error), "an artifact cannot be read from the cache and is fetched");
            None
        })
    }

    async fn keep(&self, artifact: &Artifact) {
        let (cache, artifact) = (self.cache.clone(), artifact.clone());
        let (reference, digest) = (artifact.reference.clone(), artifact.digest);
        let kept = tokio::task::spawn_blocking(move || cache.put_artifact(&artifact)).await;
        if let Err(error) = kept.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())) {
            tracing::warn!(reference, %digest, error = chain(&error), "an artifact cannot be kept in the cache");
        }
    }
}

#[cfg(test)]
mod tests;
