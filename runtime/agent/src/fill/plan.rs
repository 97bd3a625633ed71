//! What to do next to make the bay what the cluster says.
//!
//! Owns all that is known of entries and blobs, and the rules: the wanted revision's blob before the entry that names it, or the last good
//! one's if the wanted one's cannot be had; an entry of which no blob is there waits and its old version stays; an entry is removed when its deletion was seen or a *complete* list lacks it; a blob goes when no entry names
//! it, after a while. Pure: no client, no file, no clock.

mod failed;
mod progress;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hotbay_api::{Blob, Digest, Entry, EntryKey, Platform, Trouble};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::watcher::Event;

use super::config_map::{self, Wanted};
use crate::jitter::seed_of;
use failed::Failed;
use progress::PATIENCE;

/// How long a blob that no entry names stays: the engine may be about to copy it.
const SWEEP_AFTER: Duration = Duration::from_secs(5);
/// How long changes that do not cease put off a sweep: what they leave behind fills the bay, at 16 MiB every 4 s with 240 MiB in this time. A blob
/// that lost its entry just before goes sooner than it would, once a minute; the bay says already that nobody needs it.
const SWEEP_WITHIN: Duration = Duration::from_secs(60);

/// An entry and what keeps it from the bay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownEntry {
    /// Which.
    pub key: EntryKey,
    /// The ConfigMap's resourceVersion.
    pub sequence: u64,
    /// Why the bay does not have it in this version, if there is more to say than "soon".
    pub trouble: Option<Trouble>,
}

/// Something to do; tell the plan how it went.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    /// Make the bay hold this blob, then call [`Plan::fetched`].
    Fetch { digest: Digest, size: u64 },
    /// Write this entry, then call [`Plan::wrote`].
    Write(Arc<Entry>),
    /// Remove this entry, then call [`Plan::removed`].
    Remove(EntryKey),
    /// Remove all but these, then call [`Plan::swept`].
    Sweep { entries: BTreeSet<EntryKey>, blobs: BTreeSet<Digest> },
}

pub(super) struct Plan {
    pool: String,
    platform: Platform,
    /// Of the pauses before another try.
    seed: u64,
    /// What the cluster says.
    wanted: BTreeMap<EntryKey, Wanted>,
    /// A list in progress; it becomes `wanted` when it is complete.
    listing: Option<BTreeMap<EntryKey, Wanted>>,
    /// A list was complete once. Before that nothing is done.
    listed: bool,
    /// What the bay holds.
    in_bay: BTreeMap<EntryKey, Arc<Entry>>,
    blobs: BTreeMap<Digest, BlobState>,
    /// Changes of the bay that failed.
    failed: BTreeMap<EntryKey, Failed>,
    /// `None` if nothing changed since the last one.
    next_sweep: Option<NextSweep>,
}

#[derive(Clone, Copy)]
struct NextSweep {
    at: Instant,
    /// When something changed first since the last one.
    first_change: Instant,
}

enum BlobState {
    Fetching {
        /// The failure before, if this is another try.
        last: Option<Failed>,
        /// A sweep passed meanwhile that did not keep it, and may have removed what the fetch had just put there.
        swept: bool,
    },
    Present,
    Absent(Failed),
}

impl BlobState {
    /// The last failure, also while it is tried again.
    fn failure(&self) -> Option<&Failed> {
        match self {
            Self::Absent(failed) | Self::Fetching { last: Some(failed), .. } => Some(failed),
            Self::Present | Self::Fetching { last: None, .. } => None,
        }
    }
}

impl Plan {
    /// A plan for a bay that holds `in_bay`, in the pod with this UID.
    pub(super) fn new(
        pool: &str,
        platform: Platform,
        in_bay: BTreeMap<EntryKey, Arc<Entry>>,
        pod_uid: &str,
    ) -> Self {
        Self {
            pool: pool.to_owned(),
            platform,
            seed: seed_of(pod_uid),
            wanted: BTreeMap::new(),
            listing: None,
            listed: false,
            in_bay,
            blobs: BTreeMap::new(),
            failed: BTreeMap::new(),
            next_sweep: None,
        }
    }

    /// Takes what the watch says.
    pub(super) fn take(&mut self, event: Event<ConfigMap>, now: Instant) {
        match event {
            Event::Init => self.listing = Some(BTreeMap::new()),
            Event::InitApply(config_map) => {
                if let Some((key, wanted)) = self.read(&config_map)
                    && let Some(listing) = &mut self.listing
                {
                    listing.insert(key, wanted);
                }
            }
            Event::InitDone => {
                if let Some(listing) = self.listing.take() {
                    self.wanted = listing;
                    self.failed.clear();
                    self.listed = true;
                    self.changed(now);
                }
            }
            Event::Apply(config_map) => {
                if let Some((key, wanted)) = self.read(&config_map) {
                    self.failed.remove(&key);
                    self.wanted.insert(key, wanted);
                    self.changed(now);
                }
            }
            Event::Delete(config_map) => {
                if let Some(key) = config_map::key_of(&self.pool, &config_map) {
                    self.failed.remove(&key);
                    self.wanted.remove(&key);
                    self.changed(now);
                }
            }
        }
    }

    fn read(&self, config_map: &ConfigMap) -> Option<(EntryKey, Wanted)> {
        let key = config_map::key_of(&self.pool, config_map);
        let Some(key) = key else {
            let name = config_map.metadata.name.as_deref();
            tracing::warn!(
                name,
                "a ConfigMap is labelled as an entry but not named as one; it is passed over"
            );
            return None;
        };
        let wanted = config_map::read(&key, config_map);
        if let Err(trouble) = &wanted.entry {
            tracing::warn!(module = %key, reason = %trouble.reason, "cannot read the entry: {}", trouble.message);
        }
        Some((key, wanted))
    }

    fn changed(&mut self, now: Instant) {
        let first_change = self.next_sweep.map_or(now, |next| next.first_change);
        let at = (now + SWEEP_AFTER).min(first_change + SWEEP_WITHIN);
        self.next_sweep = Some(NextSweep { at, first_change });
    }

    /// What to do now. Each action is given once, until its end is told.
    pub(super) fn actions(&mut self, now: Instant) -> Vec<Action> {
        if !self.listed {
            return Vec::new();
        }
        let mut actions: Vec<Action> = self
            .in_bay
            .keys()
            .filter(|key| !self.wanted.contains_key(key) && self.may_try(key, now))
            .map(|key| Action::Remove(key.clone()))
            .collect();
        for (key, entry) in self.readable() {
            let needs = needs(&self.platform, &entry);
            if self.is_writable(&needs) && self.in_bay.get(&key) != Some(&entry) && self.may_try(&key, now) {
                actions.push(Action::Write(entry.clone()));
            }
            for blob in &needs {
                actions.extend(start_fetch(&mut self.blobs, blob, now));
            }
        }
        if self.next_sweep.is_some_and(|next| next.at <= now) {
            self.next_sweep = None;
            let entries = self.wanted.keys().cloned().collect();
            actions.push(Action::Sweep { entries, blobs: self.named_blobs() });
        }
        actions
    }

    /// The blob is there, or could not be had.
    pub(super) fn fetched(&mut self, digest: Digest, result: Result<(), Trouble>, now: Instant) {
        let (last, swept) = match self.blobs.remove(&digest) {
            Some(BlobState::Fetching { last, swept }) => (last, swept),
            _ => (None, false),
        };
        match result {
            // Whether it is still there is not known: who needs it has it looked at again, which is cheap if it is.
            Ok(()) if swept => {}
            Ok(()) => {
                self.blobs.insert(digest, BlobState::Present);
            }
            Err(why) => {
                tracing::warn!(%digest, reason = %why.reason, "cannot fetch a blob: {}", why.message);
                let failed = Failed::after(last.as_ref(), Some(why), self.seed, now);
                self.blobs.insert(digest, BlobState::Absent(failed));
            }
        }
        if !self.named_blobs().contains(&digest) {
            // Its entry went while it was fetched.
            self.changed(now);
        }
    }

    /// The entry is in the bay, or could not be written.
    pub(super) fn wrote(&mut self, entry: &Arc<Entry>, result: Result<(), Trouble>, now: Instant) {
        let key = entry.key();
        match result {
            Ok(()) => {
                self.failed.remove(&key);
                self.in_bay.insert(key, entry.clone());
                self.changed(now);
            }
            Err(why) => self.fail(key, Some(why), now),
        }
    }

    /// The entry is gone from the bay, or could not be removed.
    pub(super) fn removed(&mut self, key: &EntryKey, gone: bool, now: Instant) {
        if gone {
            self.failed.remove(key);
            self.in_bay.remove(key);
            // Its blobs may have outlived a sweep.
            self.changed(now);
        } else {
            self.fail(key.clone(), None, now);
        }
    }

    /// The bay holds no blobs but `kept`, and what fetches put there meanwhile. If that `made_room`, what did not fit is tried again at once.
    pub(super) fn swept(&mut self, kept: &BTreeSet<Digest>, made_room: bool, now: Instant) {
        self.blobs.retain(|digest, state| match state {
            _ if kept.contains(digest) => true,
            BlobState::Fetching { swept, .. } => {
                *swept = true;
                true
            }
            BlobState::Present | BlobState::Absent(_) => false,
        });
        let absent = self.blobs.values_mut().filter_map(|state| match state {
            BlobState::Absent(failed) => Some(failed),
            _ => None,
        });
        for failed in absent.chain(self.failed.values_mut()).filter(|failed| made_room && failed.lacks_room())
        {
            failed.retry_at = now;
        }
    }

    /// When, after `now`, there will be something to do even if nothing happens. What was due at `now` was in [`Self::actions`] of that
    /// time, or cannot be done before something happens.
    pub(super) fn next_wake(&self, now: Instant) -> Option<Instant> {
        let absent = self.blobs.values().filter_map(|state| match state {
            BlobState::Absent(failed) => Some(failed.retry_at),
            _ => None,
        });
        let retries = absent.chain(self.failed.values().map(|failed| failed.retry_at));
        let patience = self.failures().map(|failed| failed.since + PATIENCE);
        let sweep = self.next_sweep.map(|next| next.at);
        retries.chain(patience).chain(sweep).filter(|at| *at > now).min()
    }

    fn readable(&self) -> Vec<(EntryKey, Arc<Entry>)> {
        let readable = |(key, wanted): (&EntryKey, &Wanted)| Some((key.clone(), wanted.entry.clone().ok()?));
        self.wanted.iter().filter_map(readable).collect()
    }

    /// What entries in the cluster and in the bay name: an old entry serves until the new one's blobs are there.
    fn named_blobs(&self) -> BTreeSet<Digest> {
        let wanted = self.wanted.values().filter_map(|wanted| wanted.entry.as_ref().ok());
        let entries = wanted.chain(self.in_bay.values());
        entries.flat_map(|entry| needs(&self.platform, entry)).map(|blob| blob.digest).collect()
    }

    fn may_try(&self, key: &EntryKey, now: Instant) -> bool {
        self.failed.get(key).is_none_or(|failed| failed.retry_at <= now)
    }

    fn fail(&mut self, key: EntryKey, why: Option<Trouble>, now: Instant) {
        let failed = Failed::after(self.failed.get(&key), why, self.seed, now);
        self.failed.insert(key, failed);
    }
}

/// The blobs that a pod of this platform needs for `entry`: one a revision, the wanted one's first. A revision without one is the engine's to refuse.
fn needs(platform: &Platform, entry: &Entry) -> Vec<Blob> {
    entry.revisions.iter().filter_map(|revision| revision.blob_for(platform).cloned()).collect()
}

/// The fetch of `blob`, unless it runs or failed just now.
fn start_fetch(blobs: &mut BTreeMap<Digest, BlobState>, blob: &Blob, now: Instant) -> Option<Action> {
    let last = match blobs.get(&blob.digest) {
        None => None,
        Some(BlobState::Absent(failed)) if failed.retry_at <= now => Some(failed.clone()),
        Some(_) => return None,
    };
    blobs.insert(blob.digest, BlobState::Fetching { last, swept: false });
    Some(Action::Fetch { digest: blob.digest, size: blob.size })
}

#[cfg(test)]
mod tests;
