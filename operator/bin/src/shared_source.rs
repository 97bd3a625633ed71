//! A source that asks the real one as little as it can.
//!
//! Owns two economies: look-ups of one reference at one time are one request, and fetched artifacts are kept on disk, where the blob service
//! finds them too.
//! A look-up is only shared with who came before it began: whoever asks after a push must not get an answer from before it.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hotbay_api::{Digest, chain};
use hotbay_pipeline::{Artifact, Source, SourceError};
use tokio::time::Instant;

use crate::blobs::Cache;

/// See the module.
pub struct SharedSource<S> {
    inner: S,
    resolves: Flights<Digest>,
    fetches: Flights<Artifact>,
    cache: Arc<Cache>,
}

impl<S> SharedSource<S> {
    /// Shares `inner`, and keeps what it fetches.
    pub fn new(inner: S, cache: Arc<Cache>) -> Self {
        Self { inner, resolves: Flights::default(), fetches: Flights::default(), cache }
    }
}

impl<S: Source + Sync> Source for SharedSource<S> {
    async fn resolve(&self, reference: &str) -> Result<Digest, SourceError> {
        self.resolves.share(reference, || self.inner.resolve(reference)).await
    }

    async fn fetch(&self, reference: &str, digest: &Digest, max_bytes: u64) -> Result<Artifact, SourceError> {
        // Content by digest never goes stale, but who asks under another name or limit asks something else.
        let key = format!("{reference} {digest} {max_bytes}");
        let fetch = || async {
            if let Some(artifact) = self.kept(reference, digest, max_bytes).await {
                return Ok(artifact);
            }
            let artifact = self.inner.fetch(reference, digest, max_bytes).await?;
            self.keep(&artifact).await;
            Ok(artifact)
        };
        self.fetches.share(&key, fetch).await
    }
}

impl<S> SharedSource<S> {
    /// From the disk; one that fails only costs a fetch.
    async fn kept(&self, reference: &str, digest: &Digest, max_bytes: u64) -> Option<Artifact> {
        let (cache, reference, digest) = (self.cache.clone(), reference.to_owned(), *digest);
        let kept = tokio::task::spawn_blocking(move || cache.artifact(&reference, &digest, max_bytes)).await;
        kept.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())).unwrap_or_else(|error| {
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

/// Requests under way, by key.
struct Flights<V>(Mutex<HashMap<String, Slot<V>>>);

type Slot<V> = Arc<tokio::sync::Mutex<Option<Landed<V>>>>;

/// What the last request of a slot came to.
struct Landed<V> {
    started: Instant,
    result: Result<V, SourceError>,
}

impl<V> Default for Flights<V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<V: Clone> Flights<V> {
    async fn share<F>(&self, key: &str, request: impl FnOnce() -> F) -> Result<V, SourceError>
    where
        F: Future<Output = Result<V, SourceError>>,
    {
        let arrived = Instant::now();
        let slot = lock(&self.0).entry(key.to_owned()).or_default().clone();
        let mut landed = slot.lock().await;
        let answer = match &*landed {
            // It began while we waited for our turn, so it saw whatever happened before we asked.
            Some(landed) if landed.started > arrived => repeat(&landed.result),
            _ => {
                let started = Instant::now();
                let result = request().await;
                let answer = repeat(&result);
                *landed = Some(Landed { started, result });
                answer
            }
        };
        drop(landed);
        let mut slots = lock(&self.0);
        // Two: the map's and ours. Nobody can take another while the map is locked.
        if Arc::strong_count(&slot) == 2 {
            slots.remove(key);
        }
        answer
    }
}

fn repeat<V: Clone>(result: &Result<V, SourceError>) -> Result<V, SourceError> {
    match result {
        Ok(value) => Ok(value.clone()),
        Err(error) => Err(repeat_error(error)),
    }
}

/// The same error for another who asked; of its causes, the words.
fn repeat_error(error: &SourceError) -> SourceError {
    match error {
        SourceError::Invalid { reference, why } => {
            SourceError::Invalid { reference: reference.clone(), why: why.clone() }
        }
        SourceError::Unreachable { registry, reference, source } => SourceError::Unreachable {
            registry: registry.clone(),
            reference: reference.clone(),
            source: chain(&**source).into(),
        },
        SourceError::Unauthorized { registry, reference } => {
            SourceError::Unauthorized { registry: registry.clone(), reference: reference.clone() }
        }
        SourceError::NotFound { reference } => SourceError::NotFound { reference: reference.clone() },
        SourceError::TooLarge { reference, what, limit } => {
            SourceError::TooLarge { reference: reference.clone(), what: what.clone(), limit: *limit }
        }
        SourceError::DigestMismatch { reference, what, expected } => SourceError::DigestMismatch {
            reference: reference.clone(),
            what: what.clone(),
            expected: *expected,
        },
        SourceError::NotAModule { reference, why } => {
            SourceError::NotAModule { reference: reference.clone(), why: why.clone() }
        }
    }
}

/// A poisoned lock is a panic elsewhere, which ends the process anyway; the data are whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use hotbay_pipeline::Build;
    use tokio::sync::Notify;

    use super::*;

    /// Counts its requests, and answers each only when told to.
    #[derive(Default)]
    struct Counted {
        requests: AtomicUsize,
        go: Notify,
        fail: bool,
    }

    impl Counted {
        async fn answer(&self, reference: &str) -> Result<Digest, SourceError> {
            self.requests.fetch_add(1, Ordering::SeqCst);
            self.go.notified().await;
            if self.fail {
                return Err(SourceError::NotFound { reference: reference.to_owned() });
            }
            Ok(Digest::of(b"build"))
        }
    }

    impl Source for Counted {
        async fn resolve(&self, reference: &str) -> Result<Digest, SourceError> {
            self.answer(reference).await
        }

        async fn fetch(&self, reference: &str, digest: &Digest, _: u64) -> Result<Artifact, SourceError> {
            self.answer(reference).await?;
            let bytes = bytes::Bytes::from_static(b"build");
            let build = Build { platform: None, digest: Digest::of(&bytes), bytes };
            Ok(Artifact { reference: reference.to_owned(), digest: *digest, builds: vec![build] })
        }
    }

    /// With a cache that goes with the folder.
    fn mk_shared(counted: Counted) -> (SharedSource<Counted>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path().to_owned(), 1 << 20).unwrap();
        (SharedSource::new(counted, Arc::new(cache)), folder)
    }

    async fn three_at_once(source: &SharedSource<Counted>) -> Vec<Result<Digest, SourceError>> {
        let feed = async {
            for _ in 0..2 {
                source.inner.go.notify_one();
                tokio::task::yield_now().await;
                tokio::task::yield_now().await;
            }
        };
        let ask = || source.resolve("reg/a:1");
        let ((a, b, c), ()) = tokio::join!(async { tokio::join!(ask(), ask(), ask()) }, feed);
        vec![a, b, c]
    }

    #[tokio::test]
    async fn look_ups_at_one_time_share_one_that_began_after_they_asked() {
        let (source, _folder) = mk_shared(Counted::default());
        assert!(three_at_once(&source).await.iter().all(Result::is_ok));
        assert_eq!(
            source.inner.requests.load(Ordering::SeqCst),
            2,
            "the first, and one for all who came meanwhile"
        );
        assert!(lock(&source.resolves.0).is_empty(), "nothing is kept");
    }

    #[tokio::test]
    async fn a_failure_is_shared_too() {
        let (source, _folder) = mk_shared(Counted { fail: true, ..Counted::default() });
        let all = three_at_once(&source).await;
        assert!(all.iter().all(
            |result| matches!(result, Err(SourceError::NotFound { reference }) if reference == "reg/a:1")
        ));
        assert_eq!(source.inner.requests.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn an_artifact_is_fetched_once() {
        let (source, _folder) = mk_shared(Counted::default());
        let digest = Digest::of(b"artifact");
        for _ in 0..3 {
            source.inner.go.notify_one();
            source.fetch("reg/a:1", &digest, 100).await.unwrap();
        }
        assert_eq!(source.inner.requests.load(Ordering::SeqCst), 1);
        let another = SharedSource::new(Counted::default(), source.cache.clone());
        another.fetch("reg/a:1", &digest, 100).await.unwrap();
        assert_eq!(another.inner.requests.load(Ordering::SeqCst), 0, "nor by an operator that starts again");
    }
}
