//! How far the bay is, and what keeps an entry from it.
//!
//! Owns when an entry may be written, what is told of it, and when a pod may stop waiting for it.

use std::time::{Duration, Instant};

use hotbay_api::{Blob, Entry, EntryKey, Trouble};

use super::{BlobState, Failed, KnownEntry, Plan, Wanted, needs};

/// How long an entry whose blob may still come holds up a pod that starts: an operator that is about to write it does so in seconds, and a
/// pod that is ready without a module answers its requests with 404.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

impl Plan {
    /// Every entry of the cluster, once they are known.
    pub(in crate::fill) fn known(&self) -> Option<Vec<KnownEntry>> {
        let known = |(key, wanted): (&EntryKey, &Wanted)| KnownEntry {
            key: key.clone(),
            sequence: wanted.sequence,
            trouble: self.trouble_of(key, wanted),
        };
        self.listed.then(|| self.wanted.iter().map(known).collect())
    }

    /// Whether each entry and the blob of its wanted revision are in the bay, or were tried for long enough and cannot be: one bad entry
    /// does not hold up a pod.
    pub(in crate::fill) fn is_synced(&self, now: Instant) -> bool {
        let done = |(key, wanted): (&EntryKey, &Wanted)| {
            let Ok(entry) = &wanted.entry else { return true };
            match self.failure_of(key, entry) {
                Some(failed) => failed.is_final(now),
                None => {
                    let first = needs(&self.platform, entry).into_iter().next();
                    self.in_bay.get(key) == Some(entry) && first.is_none_or(|blob| self.holds(&blob))
                }
            }
        };
        self.listed && self.wanted.iter().all(done)
    }

    pub(super) fn holds(&self, blob: &Blob) -> bool {
        matches!(self.blobs.get(&blob.digest), Some(BlobState::Present))
    }

    /// Whether an entry that needs these blobs may be written: the first is there, or it cannot be had and another is. The engine serves the
    /// last good revision then, and the wanted one when its blob comes.
    pub(super) fn is_writable(&self, needs: &[Blob]) -> bool {
        let was_tried = |blob: &Blob| match self.blobs.get(&blob.digest) {
            None => false,
            Some(BlobState::Fetching { last, .. }) => last.is_some(),
            Some(BlobState::Present | BlobState::Absent(_)) => true,
        };
        match needs {
            [] => true,
            [first, ..] => {
                self.holds(first) || (was_tried(first) && needs.iter().any(|blob| self.holds(blob)))
            }
        }
    }

    /// Every failure that is not mended.
    pub(super) fn failures(&self) -> impl Iterator<Item = &Failed> {
        let blobs = self.blobs.values().filter_map(BlobState::failure);
        self.failed.values().chain(blobs)
    }

    /// What keeps the wanted version of an entry, or its first blob, from the bay. How the last good revision's blob does is for the engine
    /// to tell, if it comes to that.
    fn failure_of(&self, key: &EntryKey, entry: &Entry) -> Option<&Failed> {
        let first = || needs(&self.platform, entry).into_iter().next();
        self.failed.get(key).or_else(|| self.blobs.get(&first()?.digest)?.failure())
    }

    fn trouble_of(&self, key: &EntryKey, wanted: &Wanted) -> Option<Trouble> {
        let entry = match &wanted.entry {
            Ok(entry) => entry,
            Err(trouble) => return Some(trouble.clone()),
        };
        self.failure_of(key, entry)?.why.clone()
    }
}
