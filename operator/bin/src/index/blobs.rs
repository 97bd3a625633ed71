//! Blobs in ConfigMaps: which are stored, what they may take, and when they go.
//!
//! Owns the pool's budget, and the ten minutes that a blob stays after the last entry that named it: a rollback in that time costs nothing.
//! A blob that finds no room is the blob service's, and is stored when there is room.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hotbay_api::names::blob_config_map;
use hotbay_api::{Digest, EntryKey, PoolLimits};

use super::Index;
use super::actions::{Action, Target, Write};
use super::look_ups::LookUp;
use crate::objects::StoredEntry;

/// How long a blob stays that no entry names.
const GRACE: Duration = Duration::from_secs(600);

/// Since when each blob has no entry.
#[derive(Debug, Default)]
pub struct UnnamedBlobs(BTreeMap<(String, Digest), Instant>);

impl UnnamedBlobs {
    /// When the next one may go.
    pub fn next_wake(&self) -> Option<Instant> {
        self.0.values().min().map(|since| *since + GRACE)
    }
}

/// What a pool's blobs take together.
pub(super) struct Budget {
    stored: BTreeMap<Digest, u64>,
    counted: BTreeSet<Digest>,
    bytes: u64,
    limit: u64,
}

impl Budget {
    /// With what is stored of what the pool's entries name.
    pub(super) fn of(
        entries: &BTreeMap<EntryKey, Arc<StoredEntry>>,
        stored: BTreeMap<Digest, u64>,
        limits: &PoolLimits,
    ) -> Self {
        let mut budget =
            Self { stored, counted: BTreeSet::new(), bytes: 0, limit: limits.inline_blob_total.0 };
        for digest in entries.values().flat_map(|stored| named(stored)) {
            // One that is not is the blob service's, or was deleted by somebody: then it must find room like a new one.
            if let Some(bytes) = budget.stored.get(&digest).copied() {
                budget.count(digest, bytes);
            }
        }
        budget
    }

    /// Whether the namespace holds this blob.
    pub(super) fn is_stored(&self, digest: &Digest) -> bool {
        self.stored.contains_key(digest)
    }

    fn count(&mut self, digest: Digest, bytes: u64) {
        if self.counted.insert(digest) {
            self.bytes += bytes;
        }
    }

    /// Takes room for a blob, if there is any.
    fn take(&mut self, digest: Digest, bytes: u64) -> bool {
        if !self.counted.contains(&digest) && self.bytes.saturating_add(bytes) > self.limit {
            return false;
        }
        self.count(digest, bytes);
        true
    }
}

/// How far the blobs of a candidate are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Storing {
    /// All that fit are stored.
    Done,
    /// They will be, in a moment.
    Underway,
    /// Nobody can say when: their bytes are not to be had, or the API server does not take them.
    Stuck,
}

impl Index {
    /// The blobs of a namespace, with their compressed sizes.
    pub(super) fn stored_blobs(&self, namespace: &str) -> BTreeMap<Digest, u64> {
        let blobs = self.places.get(namespace).into_iter().flat_map(|place| place.blobs.iter());
        blobs.map(|blob| (blob.digest, blob.compressed_bytes)).collect()
    }

    /// Has those blobs of a candidate stored that fit.
    pub(super) fn store_blobs(
        &mut self,
        namespace: &str,
        key: &EntryKey,
        budget: &mut Budget,
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> Storing {
        let Some(look_up) = self.look_ups.get_mut(key) else { return Storing::Stuck };
        let Some(candidate) = look_up.candidate() else { return Storing::Stuck };
        let fitting = candidate.sizes.iter().filter(|(digest, bytes)| budget.take(*digest, *bytes));
        let fitting: Vec<Digest> = fitting.map(|(digest, _)| *digest).collect();
        let missing: BTreeSet<Digest> =
            fitting.into_iter().filter(|digest| !budget.is_stored(digest)).collect();
        if missing.is_empty() {
            look_up.forget_bytes();
            return Storing::Done;
        }
        let blobs = candidate.blobs.as_deref().unwrap_or_default();
        let have: BTreeSet<Digest> = blobs.iter().map(|blob| blob.digest).collect();
        if !missing.is_subset(&have) {
            let at_once = look_up.fetch_again(now);
            let storing = if look_up.is_stuck() { Storing::Stuck } else { Storing::Underway };
            if at_once {
                self.touch_module(key);
            }
            return storing;
        }
        let mut storing = Storing::Underway;
        for blob in blobs.iter().filter(|blob| missing.contains(&blob.digest)) {
            let target = Target::Blob(namespace.to_owned(), blob.digest);
            if self.schedule.is_refused(&target) {
                storing = Storing::Stuck;
            }
            if self.schedule.begin(&target, now) {
                actions.push(Action::Write(
                    target,
                    Box::new(Write::CreateBlob(namespace.to_owned(), blob.clone())),
                ));
            }
        }
        storing
    }

    /// Removes blobs that no entry named for [`GRACE`].
    pub(super) fn sweep_blobs(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let mut unnamed = BTreeMap::new();
        let wanted = self.wanted_blobs();
        for (namespace, place) in self.places.iter().filter(|(_, place)| place.is_complete()) {
            // An entry that cannot be read may name any of them.
            if place.entries.iter().any(|stored| stored.entry.is_none()) {
                continue;
            }
            let named: BTreeSet<Digest> = place.entries.iter().flat_map(|stored| named(stored)).collect();
            for blob in place
                .blobs
                .iter()
                .filter(|blob| !named.contains(&blob.digest) && !wanted.contains(&blob.digest))
            {
                let id = (namespace.clone(), blob.digest);
                let since = self.unnamed_blobs.0.get(&id).copied().unwrap_or(now);
                if now < since + GRACE {
                    unnamed.insert(id, since);
                    continue;
                }
                let target = Target::Blob(id.0, id.1);
                if self.schedule.begin(&target, now) {
                    actions.push(Action::Write(target, Box::new(Write::RemoveBlob(blob.clone()))));
                }
            }
        }
        self.unnamed_blobs.0 = unnamed;
        let places = &self.places;
        let is_stored = |namespace: &String, digest: &Digest| {
            let place = places.get(namespace);
            place.and_then(|place| place.blobs.get(namespace, &blob_config_map(digest))).is_some()
        };
        self.schedule.forget(|target| match target {
            Target::Blob(namespace, digest) => !wanted.contains(digest) && !is_stored(namespace, digest),
            _ => false,
        });
    }

    /// Blobs of candidates, whose entries may be about to be written.
    fn wanted_blobs(&self) -> BTreeSet<Digest> {
        let candidates = self.look_ups.values().filter_map(LookUp::candidate);
        candidates.flat_map(|candidate| &candidate.sizes).map(|(digest, _)| *digest).collect()
    }
}

/// The blobs that an entry names.
pub(super) fn named(stored: &StoredEntry) -> impl Iterator<Item = Digest> {
    let revisions = stored.entry.iter().flat_map(|entry| &entry.revisions);
    revisions.flat_map(|revision| &revision.blobs).map(|blob| blob.digest)
}
