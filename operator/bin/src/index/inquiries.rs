//! What the blob service may hand out, to whom, and where it comes from.
//!
//! Owns the rule: a namespace may have the blobs that entries in it name, if it has a pool. The blob service asks for each blob anew, so that
//! it keeps nothing that could be out of date.

use hotbay_api::Digest;
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
    /// No entry in the namespace names the blob.
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
        let Some(max_bytes) = pools.map(|pool| pool.spec.limits.max_artifact_size.0).max() else {
            return Standing::NoPool;
        };
        let place = self.places.get(namespace).filter(|place| place.is_complete());
        let Some(place) = place else { return Standing::Unknown };
        let mut naming =
            place.entries.iter().filter(|stored| named(stored).any(|named| named == *digest)).peekable();
        if naming.peek().is_none() {
            return Standing::Unnamed;
        }
        // A reference that was looked up is the likeliest to be there still.
        let candidates = self.look_ups.values().filter_map(LookUp::candidate);
        let looked_up = candidates.filter_map(|candidate| candidate.origin(digest));
        let (mut origins, mut bytes) = (Vec::new(), 0);
        for stored in naming {
            origins.extend(stored.origins.get(digest).cloned());
            let revisions = stored.entry.iter().flat_map(|entry| &entry.revisions);
            let blobs = revisions.flat_map(|revision| &revision.blobs);
            bytes = blobs.filter(|blob| blob.digest == *digest).map(|blob| blob.size).fold(bytes, u64::max);
        }
        let mut all: Vec<Origin> = Vec::new();
        for origin in looked_up.chain(origins) {
            if !all.iter().any(|one| (&one.reference, one.artifact) == (&origin.reference, origin.artifact)) {
                all.push(origin);
            }
        }
        // What was admitted under an earlier limit serves on.
        Standing::Named { origins: all, max_build_bytes: max_bytes.max(bytes) }
    }
}
