//! Look-ups as they are asked for and as they come back.
//!
//! Owns the ticket, which says whether an answer still is one to what is asked now, and the candidate: what a module's artifact came to. Must
//! not say when to ask: `look_ups` does.

use std::collections::BTreeMap;
use std::sync::Arc;

use hotbay_api::{ArtifactStatus, Digest, EntryKey, HandlerModule, PoolLimits, Reason, Revision, labels};
use hotbay_pipeline::{InlineBlob, InlineLimits, Policy, Refusal};

use super::references::Named;
use crate::objects::{Origin, Origins};

/// What a look-up is for; another ticket needs another look-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub(super) uid: String,
    pub(super) generation: i64,
    pub(super) request: Option<String>,
    /// What the pool demands of the artifact.
    pub policy: Policy,
    /// What the pool demands of its blobs.
    pub limits: InlineLimits,
}

impl Ticket {
    /// What `module` asks for now, in a pool with these limits.
    pub(super) fn of(module: &HandlerModule, limits: &PoolLimits) -> Self {
        let annotations = module.metadata.annotations.as_ref();
        Self {
            uid: module.metadata.uid.clone().unwrap_or_default(),
            generation: module.metadata.generation.unwrap_or_default(),
            request: annotations.and_then(|all| all.get(labels::RECONCILE_REQUESTED_AT)).cloned(),
            policy: Policy { max_build_bytes: limits.max_artifact_size.0 },
            limits: InlineLimits { max_blob_bytes: limits.inline_blob_max.0 },
        }
    }
}

/// A look-up to be made.
#[derive(Clone, Debug)]
pub struct LookUpRequest {
    /// Which module.
    pub key: EntryKey,
    /// To be handed back.
    pub ticket: Ticket,
    /// The module as it is now.
    pub module: Arc<HandlerModule>,
    /// What its reference names, if that was just asked for another module; otherwise it is to be asked.
    pub named: Option<Digest>,
    /// The artifact that is already prepared: if it still is the one, nothing is fetched.
    pub known: Option<Digest>,
    /// Blobs that are stored already, with their compressed sizes.
    pub stored: Arc<BTreeMap<Digest, u64>>,
}

/// What a look-up came to.
#[derive(Clone, Debug)]
pub struct LookedUp {
    /// For its module.
    pub found: Found,
    /// The reference that was asked for and what it names, for the other modules that have it; `None` if it was not asked.
    pub named: Option<(String, Named)>,
}

/// What a look-up found.
#[derive(Clone, Debug)]
pub enum Found {
    /// The artifact that is already prepared.
    Same,
    /// Another.
    New(Box<Candidate>),
    /// Nothing that can be served.
    Refused(Refusal),
}

impl Found {
    /// In a word for metrics, or the reason of the refusal.
    pub fn outcome(&self) -> Result<&'static str, &Reason> {
        match self {
            Self::Same => Ok("same"),
            Self::New(_) => Ok("new"),
            Self::Refused(refusal) => Err(&refusal.reason),
        }
    }
}

/// What a module wants to be, by its spec and artifact.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// For the status.
    pub artifact: ArtifactStatus,
    /// For the entry.
    pub revision: Revision,
    /// Digest and compressed size of each blob that fits into a ConfigMap. The others are the blob service's.
    pub sizes: Vec<(Digest, u64)>,
    /// The bytes of those that were not stored, until all are.
    pub blobs: Option<Vec<InlineBlob>>,
}

impl Candidate {
    /// Where its blobs come from.
    pub fn origins(&self) -> Origins {
        let blobs = self.revision.blobs.iter().map(|blob| blob.digest);
        blobs.filter_map(|digest| Some((digest, self.origin(&digest)?))).collect()
    }

    /// Where this blob comes from, if it is one of its.
    pub fn origin(&self, blob: &Digest) -> Option<Origin> {
        let ArtifactStatus { reference, digest, .. } = &self.artifact;
        let size = self.sizes.iter().find(|(sized, _)| sized == blob);
        self.revision.blobs.iter().any(|own| own.digest == *blob).then(|| Origin {
            reference: reference.clone(),
            artifact: *digest,
            compressed_bytes: size.map(|(_, bytes)| *bytes),
        })
    }
}
