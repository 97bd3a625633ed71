//! Blobs that the cache lacks, from the registry.
//!
//! Owns the rule that the same fetch is made once at a time, whoever waits for it, and that one that failed is not repeated at once. The same is
//! the same blob from the same artifacts within the same limit: what one namespace's registry refuses, another's may give. A fetch goes on when
//! those who waited for it have gone: they come again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hotbay_api::{Digest, chain};
use hotbay_pipeline::Source;
use tokio::sync::watch;

use super::cache::Cache;
use crate::metrics::BlobService;
use crate::objects::Origin;

/// How long a failure is repeated to whoever asks: a pool of a hundred pods asks a registry that is down as often as one pod.
const FAILED_FOR: Duration = Duration::from_secs(5);
/// How long one waits for a fetch: longer than the usual one takes, shorter than the agent's patience with an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a refill came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refill {
    /// The cache has it.
    Done,
    /// It takes longer.
    UnderWay,
    /// It failed, for this reason.
    Failed(String),
}

/// What a fetch came to; `None` while it runs.
type Outcome = watch::Receiver<Option<Result<(), String>>>;

/// What is to be fetched, and what a failure says something of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Wish {
    digest: Digest,
    /// References and artifacts, in the order in which they are tried.
    origins: Vec<(String, Digest)>,
    max_build_bytes: u64,
}

type Known = Arc<Mutex<HashMap<Wish, Outcome>>>;

/// See the module.
pub struct Refills<S> {
    source: Arc<S>,
    cache: Arc<Cache>,
    metrics: BlobService,
    /// Those that run, and those that failed just now. Bounded by what entries name, since nothing else is asked for.
    known: Known,
}

impl<S: Source + Send + Sync + 'static> Refills<S> {
    /// Refills `cache` from `source`, which keeps there what it fetches.
    pub fn new(source: Arc<S>, cache: Arc<Cache>, metrics: BlobService) -> Self {
        Self { source, cache, metrics, known: Arc::default() }
    }

    /// Has the blob fetched from one of these artifacts.
    pub async fn refill(&self, digest: &Digest, origins: Vec<Origin>, max_build_bytes: u64) -> Refill {
        let origins = origins.into_iter().map(|origin| (origin.reference, origin.artifact)).collect();
        let mut outcome = self.join(Wish { digest: *digest, origins, max_build_bytes });
        let ended = tokio::time::timeout(PATIENCE, outcome.wait_for(Option::is_some)).await;
        match ended.map(|ended| ended.map(|outcome| outcome.clone())) {
            Ok(Ok(Some(Ok(())))) => Refill::Done,
            Ok(Ok(Some(Err(why)))) => Refill::Failed(why),
            // A fetch that panicked left no word.
            Ok(Err(_)) => Refill::Failed("the fetch broke off".to_owned()),
            Ok(Ok(None)) | Err(_) => Refill::UnderWay,
        }
    }

    /// The fetch that runs, or one that begins now.
    fn join(&self, wish: Wish) -> Outcome {
        let mut known = lock(&self.known);
        if let Some(outcome) = known.get(&wish) {
            return outcome.clone();
        }
        let (outcome_tx, outcome_rx) = watch::channel(None);
        known.insert(wish.clone(), outcome_rx.clone());
        let fetch = Fetch { source: self.source.clone(), cache: self.cache.clone(), wish: wish.clone() };
        let (known, metrics) = (self.known.clone(), self.metrics.clone());
        tokio::spawn(async move {
            // However it ends, also by a panic, the next one may try again.
            let forget = Forget { wish, known };
            let began = Instant::now();
            let result = fetch.run().await;
            metrics.refilled(result.is_ok(), began.elapsed());
            let failed = result.is_err();
            outcome_tx.send_replace(Some(result));
            if failed {
                tokio::time::sleep(FAILED_FOR).await;
            }
            drop(forget);
        });
        outcome_rx
    }
}

struct Forget {
    wish: Wish,
    known: Known,
}

impl Drop for Forget {
    fn drop(&mut self) {
        lock(&self.known).remove(&self.wish);
    }
}

/// One fetch.
struct Fetch<S> {
    source: Arc<S>,
    cache: Arc<Cache>,
    wish: Wish,
}

impl<S: Source> Fetch<S> {
    async fn run(self) -> Result<(), String> {
        let Wish { digest, origins, max_build_bytes } = self.wish;
        let mut why =
            "no entry says (any more) which artifact holds it; have its module looked up again".to_owned();
        for (reference, artifact) in origins {
            let fetched = self.source.fetch(&reference, &artifact, max_build_bytes).await;
            let builds = match fetched {
                Ok(artifact) => artifact.builds,
                Err(error) => {
                    why = chain(&error);
                    tracing::warn!(%digest, reference, error = why, "a blob cannot be fetched again");
                    continue;
                }
            };
            let Some(build) = builds.into_iter().find(|build| build.digest == digest) else {
                why = format!("{reference} at {artifact} holds no such build");
                continue;
            };
            let cache = self.cache.clone();
            // The source has kept it, unless there was no room, and then this says so.
            let kept = tokio::task::spawn_blocking(move || cache.put_blob(&build.digest, &build.bytes)).await;
            return match kept {
                Ok(kept) => kept.map_err(|error| chain(&error)),
                Err(panic) => Err(panic.to_string()),
            };
        }
        Err(why)
    }
}

/// A poisoned lock is a panic elsewhere, which ends the process anyway; the data are whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
