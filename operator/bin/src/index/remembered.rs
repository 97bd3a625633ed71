//! What a predecessor of this operator prepared.
//!
//! Owns the rule when an entry in the cluster is as good as a look-up, so that a restart asks each reference once and pulls nothing. It is when
//! the status says that the entry is what the module's generation came to, every part of both fits the other, and nobody but an operator
//! wrote the entry. Then the reference still is asked; only a digest that changed is fetched.

use hotbay_api::{ArtifactStatus, Digest, HandlerModule, Revision};

use super::requests::{Candidate, Ticket};
use crate::objects::{Origin, StoredEntry};

/// What `module` came to, by its entry and status; `None` if there is any doubt.
pub fn remembered(module: &HandlerModule, stored: &StoredEntry, ticket: &Ticket) -> Option<Candidate> {
    let (status, generation) = (module.status.as_ref()?, module.metadata.generation?);
    let revision = stored.entry.as_ref().filter(|_| stored.intact)?.wanted()?;
    let artifact = status.artifact.as_ref()?;
    // An edit that changes no entry leaves the generation on it as it was, but then the module became Ready with it.
    let is_of_generation = status.observed_generation == generation
        && (stored.generation == generation || status.serving_generation == Some(generation));
    let is_of_spec = module.spec.source.oci.as_ref().is_some_and(|oci| oci.reference == artifact.reference);
    // The status is written apart from the entry and may be a step ahead.
    let is_of_status = status.revision.as_ref() == Some(&revision.revision)
        && revision
            .blobs
            .iter()
            .all(|blob| origin(stored, &blob.digest).is_some_and(|origin| is_of(origin, artifact)));
    let fits = revision.blobs.iter().all(|blob| blob.size <= ticket.policy.max_build_bytes);
    if !(is_of_generation && is_of_spec && is_of_status && fits) {
        return None;
    }
    let sizes = sizes(stored, revision, ticket.limits.max_blob_bytes);
    Some(Candidate { artifact: artifact.clone(), revision: revision.clone(), sizes, blobs: None })
}

fn origin<'s>(stored: &'s StoredEntry, blob: &Digest) -> Option<&'s Origin> {
    stored.origins.get(blob)
}

fn is_of(origin: &Origin, artifact: &ArtifactStatus) -> bool {
    origin.artifact == artifact.digest && origin.reference == artifact.reference
}

/// Digest and compressed size of each blob that fits into a ConfigMap.
fn sizes(stored: &StoredEntry, revision: &Revision, most: u64) -> Vec<(Digest, u64)> {
    let size = |blob: &hotbay_api::Blob| Some((blob.digest, origin(stored, &blob.digest)?.compressed_bytes?));
    revision.blobs.iter().filter_map(size).filter(|(_, bytes)| *bytes <= most).collect()
}
