//! From the cluster into the bay.
//!
//! Owns the watch on the pool's entries, the fetching of blobs, and the bay's [`Writer`]. What to do next is [`Plan`]'s to say; here it is
//! done, and how it went is told back. While the API server cannot be reached nothing is taken away.

mod blob_service;
mod config_map;
mod fetch;
mod plan;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::{FutureExt as _, Stream, StreamExt as _};
use hotbay_api::{Digest, Entry, EntryKey, Platform, Trouble, labels};
use hotbay_bay::{Options, Reader, Swept, WriteError, Writer};
use hotbay_watch::patient;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::runtime::watcher;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::jitter::shortened;
use crate::timer::sleep_until;
pub use blob_service::{BlobService, BlobsUrl};
pub use plan::KnownEntry;
use plan::{Action, Plan};

/// Blobs fetched at a time: each is up to 1 MiB in memory, twice while it is decoded. Those of the blob service go straight to the disk.
const FETCHES: usize = 4;
/// Entries listed at a time. An entry has at most 256 KiB, so a page has at most 25 MiB.
const PAGE: u32 = 100;
/// Events taken before the plan is carried out: a page.
const BATCH: usize = PAGE as usize;

/// Beside the entries, for an agent that starts again: the bay was once in step with the cluster. Readers pass over names with a dot.
const SYNCED_MARKER: &str = ".hotbay-synced";

/// What the agent knows of the pool's entries.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    /// The first complete list is in the bay, but for what cannot be had. Never false again in this pod's life, also if the agent is
    /// started anew while the API server cannot be reached.
    pub synced: bool,
    /// Sorted by key; `None` before the first complete list.
    pub entries: Option<Arc<[KnownEntry]>>,
}

/// Where blobs and entries come from.
#[derive(Clone)]
pub struct Sources {
    /// The ConfigMaps of the pod's namespace.
    pub config_maps: Api<ConfigMap>,
    /// For the blobs that have none.
    pub service: Option<BlobService>,
}

/// Fills one bay.
pub struct Filler {
    sources: Sources,
    writer: Writer,
    plan: Plan,
    fetches: JoinSet<(Digest, Result<(), Trouble>)>,
    permits: Arc<Semaphore>,
    known: watch::Sender<Known>,
}

impl Filler {
    /// Opens the bay and takes what it holds as served: a restart changes nothing in it.
    ///
    /// # Errors
    /// When the bay cannot be read.
    pub fn open(
        sources: Sources,
        pool: &str,
        pod_uid: &str,
        writer: Writer,
        known: watch::Sender<Known>,
    ) -> anyhow::Result<Self> {
        let bay = writer.path().to_owned();
        let there = Reader::new(bay, Options { poll_only: true, ..Options::default() }).scan(Instant::now());
        if let Some(trouble) = there.trouble {
            anyhow::bail!("failed to read the bay: {}", trouble.message);
        }
        let synced = writer.path().join(SYNCED_MARKER).exists();
        tracing::info!(entries = there.entries.len(), synced, "bay opened");
        known.send_replace(Known { synced, entries: None });
        let plan = Plan::new(pool, Platform::current(), there.entries, pod_uid);
        let (fetches, permits) = (JoinSet::new(), Arc::new(Semaphore::new(FETCHES)));
        Ok(Self { sources, writer, plan, fetches, permits, known })
    }

    /// Fills the bay for ever.
    ///
    /// # Errors
    /// When the watch ends, which it does not.
    pub async fn run(mut self, pool: String) -> anyhow::Result<()> {
        let selector = format!("{}={},{}={pool}", labels::KIND, labels::KIND_ENTRY, labels::POOL);
        let config = watcher::Config::default().labels(&selector).page_size(PAGE);
        let mut events = Box::pin(patient(watcher(self.sources.config_maps.clone(), config)));
        loop {
            let now = Instant::now();
            for action in self.plan.actions(now) {
                self.perform(action).await?;
            }
            self.publish().await;
            let wake = self.plan.next_wake(now);
            tokio::select! {
                event = events.next() => {
                    self.take(event)?;
                    self.take_ready(&mut events)?;
                }
                Some(fetched) = self.fetches.join_next() => {
                    let (digest, result) = fetched.context("the fetch of a blob panicked")?;
                    self.plan.fetched(digest, result, Instant::now());
                }
                () = sleep_until(wake) => {}
            }
        }
    }

    /// Takes what else has arrived already, so that a list of a thousand is not a thousand rounds.
    fn take_ready(
        &mut self,
        events: &mut (impl Stream<Item = Result<watcher::Event<ConfigMap>, watcher::Error>> + Unpin),
    ) -> anyhow::Result<()> {
        for _ in 1..BATCH {
            match events.next().now_or_never() {
                Some(event) => self.take(event)?,
                None => break,
            }
        }
        Ok(())
    }

    fn take(
        &mut self,
        event: Option<Result<watcher::Event<ConfigMap>, watcher::Error>>,
    ) -> anyhow::Result<()> {
        match event.context("the watch on the entries ended")? {
            Ok(event) => self.plan.take(event, Instant::now()),
            // The watcher backs off and comes again; the bay stays as it is.
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot watch the entries; the bay stays as it is"
            ),
        }
        Ok(())
    }

    async fn perform(&mut self, action: Action) -> anyhow::Result<()> {
        match action {
            Action::Fetch { digest, size } => self.fetch(digest, size),
            Action::Write(entry) => self.write(entry).await?,
            Action::Remove(key) => self.remove(key).await?,
            Action::Sweep { entries, blobs } => self.sweep(entries, blobs).await?,
        }
        Ok(())
    }

    fn fetch(&mut self, digest: Digest, size: u64) {
        let (sources, writer, permits) = (self.sources.clone(), self.writer.clone(), self.permits.clone());
        self.fetches.spawn(async move {
            // Fails only if the semaphore is closed, which nobody does.
            let _permit = permits.acquire().await;
            let Sources { config_maps, service } = sources;
            (digest, fetch::fetch(&config_maps, service.as_ref(), writer, digest, size).await)
        });
    }

    async fn write(&mut self, entry: Arc<Entry>) -> anyhow::Result<()> {
        let text = entry.clone();
        let written = self.change_bay(move |writer| writer.put_entry(&text)).await?;
        match &written {
            Ok(_) => tracing::info!(module = %entry.key(), sequence = entry.sequence, "entry written"),
            Err(error) => tracing::warn!(
                module = %entry.key(),
                reason = %error.reason(),
                error = error as &dyn std::error::Error,
                "cannot write the entry; the old one stays"
            ),
        }
        let result =
            written.map(drop).map_err(|error| Trouble { reason: error.reason(), message: error.to_string() });
        self.plan.wrote(&entry, result, Instant::now());
        Ok(())
    }

    async fn remove(&mut self, key: EntryKey) -> anyhow::Result<()> {
        let name = key.clone();
        let removed = self.change_bay(move |writer| writer.remove_entry(&name)).await?;
        match &removed {
            Ok(_) => tracing::info!(module = %key, "entry removed"),
            Err(error) => {
                tracing::warn!(module = %key, error = error as &dyn std::error::Error, "cannot remove the entry");
            }
        }
        self.plan.removed(&key, removed.is_ok(), Instant::now());
        Ok(())
    }

    async fn sweep(&mut self, entries: BTreeSet<EntryKey>, blobs: BTreeSet<Digest>) -> anyhow::Result<()> {
        let keep = blobs.clone();
        let swept = self.change_bay(move |writer| writer.sweep(&entries, &keep)).await?;
        match &swept {
            Ok(swept) if *swept == Swept::default() => {}
            Ok(swept) => tracing::info!(entries = swept.entries, blobs = swept.blobs, "bay swept"),
            Err(error) => {
                tracing::warn!(error = error as &dyn std::error::Error, "cannot sweep the bay");
            }
        }
        // One that broke off may have removed something.
        let made_room = swept.map_or(true, |swept| swept != Swept::default());
        self.plan.swept(&blobs, made_room, Instant::now());
        Ok(())
    }

    /// Does something to the bay off the async threads.
    async fn change_bay<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Writer) -> Result<T, WriteError> + Send + 'static,
    ) -> anyhow::Result<Result<T, WriteError>> {
        let writer = self.writer.clone();
        tokio::task::spawn_blocking(move || change(&writer)).await.context("writing to the bay panicked")
    }

    async fn publish(&self) {
        let synced = self.plan.is_synced(Instant::now());
        if synced && !self.known.borrow().synced {
            tracing::info!("the bay is in step with the cluster");
            if let Err(error) = tokio::fs::write(self.writer.path().join(SYNCED_MARKER), "").await {
                tracing::warn!(%error, "cannot note that the bay is in step; an agent that starts anew begins unready");
            }
        }
        let entries = self.plan.known();
        self.known.send_if_modified(|known| {
            let next = Known { synced: known.synced || synced, entries: entries.map(Into::into) };
            let changed = *known != next;
            *known = next;
            changed
        });
    }
}

/// How long the `tries`-th failure keeps from the next try: 250 ms, doubling, at most 30 s, and up to a fifth less, which one depends on
/// `seed`: the pods of a pool fail together and must not come back together.
fn backoff(tries: u32, seed: u64) -> Duration {
    let longest = Duration::from_millis(250 << tries.min(7)).min(Duration::from_secs(30));
    // Another one at each try.
    shortened(longest, seed ^ u64::from(tries))
}

#[cfg(test)]
mod tests;
