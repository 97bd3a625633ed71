//! What the blob service may hand out, to whom, and where it comes from.
//!
//! Owns the rule: a namespace may have the blobs that entries in it name as an operator wrote them, if it has a pool. The blob service asks for each blob anew, so that
//! it keeps nothing that could be out of date.

use hotbay_api::{Digest, PoolLimits, Revision};
use tokio::sync::oneshot;

use super::blobs::named;
use super::look_ups::LookUp;
use super::{Index, pool_ref};
use crate::objects::Origin;

/// May this namespace have this blob?
#[derive(Debug)]
pub struct Inquiry {
    /// The namespace of who asks.
    pub namespace: String,
    /// The blob.
    pub digest: Digest,
    /// Where the answer goes.
    pub answer_tx: oneshot::Sender<Standing>,
}

/// What a blob is to a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Not everything was seen yet.
    Unknown,
    /// The namespace has no pool.
    NoPool,
    /// No entry in the namespace names the blob, or only one that somebody changed by hand.
    Unnamed,
    /// The namespace may have it.
    Named {
        /// Artifacts that hold it; empty if that is not known (any more).
        origins: Vec<Origin>,
        /// The most that one build of such an artifact may have.
        max_build_bytes: u64,
    },
}

impl Index {
    pub(super) fn answer(&self, inquiry: Inquiry) {
        let standing = self.standing(&inquiry.namespace, &inquiry.digest);
        // Who asked may have given up.
        drop(inquiry.answer_tx.send(standing));
    }

    fn standing(&self, namespace: &str, digest: &Digest) -> Standing {
        if !self.is_complete() {
            return Standing::Unknown;
        }
        let pools = self.pools.iter().filter(|pool| pool_ref(pool).namespace == namespace);
        let Some(allowed_bytes) = pools.map(|pool| pool.spec.limits.max_artifact_size.0).max() else {
            return Standing::NoPool;
        };
        let place = self.places.get(namespace).filter(|place| place.is_complete());
        let Some(place) = place else { return Standing::Unknown };
        // What somebody wrote by hand opens nothing and sizes nothing.
        let written = place.entries.iter().filter(|stored| stored.intact);
        let naming: Vec<_> = written.filter(|stored| named(stored).any(|named| named == *digest)).collect();
        if naming.is_empty() {
            return Standing::Unnamed;
        }
        // A reference that was looked up is the likeliest to be there still.
        let candidates = self.look_ups.values().filter_map(LookUp::candidate);
        let looked_up = candidates.filter_map(|candidate| candidate.origin(digest));
        let noted = naming.iter().filter_map(|stored| stored.origins.get(digest).cloned());
        let mut origins: Vec<Origin> = Vec::new();
        for origin in looked_up.chain(noted) {
            if !origins
                .iter()
                .any(|one| (&one.reference, one.artifact) == (&origin.reference, origin.artifact))
            {
                origins.push(origin);
            }
        }
        let revisions = naming.iter().flat_map(|stored| &stored.entry).flat_map(|entry| &entry.revisions);
        let holding = revisions.filter(|revision| revision.blobs.iter().any(|blob| blob.digest == *digest));
        let admitted_bytes = holding.map(admitted_bytes).max().unwrap_or_default();
        // What was admitted under an earlier limit serves on, as far as what the operator has to fetch anyway is as large.
        let max_build_bytes = allowed_bytes.max(admitted_bytes.min(self.most_build_bytes()));
        Standing::Named { origins, max_build_bytes }
    }

    /// The most that any build may have, whoever asks for it: what some pool allows, or what each does that says nothing. The operator's
    /// memory is sized by it.
    fn most_build_bytes(&self) -> u64 {
        let limits = self.pools.iter().map(|pool| pool.spec.limits.max_artifact_size.0);
        limits.fold(PoolLimits::default().max_artifact_size.0, u64::max)
    }
}

/// The limit under which the revision's artifact was admitted, at least. An artifact comes with the builds of all platforms, and together they
/// may have twice what one may.
fn admitted_bytes(revision: &Revision) -> u64 {
    let sizes = || revision.blobs.iter().map(|blob| blob.size);
    let together = sizes().fold(0, u64::saturating_add);
    sizes().fold(together.div_ceil(2), u64::max)
}
