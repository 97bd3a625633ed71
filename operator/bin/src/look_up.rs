//! Look-ups: the pipeline's steps against a real source.
//!
//! Owns the short cuts: an unchanged digest ends a look-up after one small request, and what is stored is not compressed again. Must not
//! decide when to look up: the index does.

use hotbay_api::Digest;
use hotbay_pipeline::{Build, InlineBlob, Refusal, Resolved, Source, inline, prepare_digest, resolve};
use tokio::sync::Semaphore;

use crate::index::{Candidate, Found, LookUpRequest, LookedUp};

/// Makes the look-up. `artifacts` has a permit for each artifact that may be in memory at a time.
pub async fn look_up(request: &LookUpRequest, source: &impl Source, artifacts: &Semaphore) -> LookedUp {
    let (resolved, named) = resolved(request, source).await;
    let found = match attempt(request, resolved, source, artifacts).await {
        Ok(found) => found,
        Err(refusal) => Found::Refused(refusal),
    };
    let module = &request.key;
    match &found {
        Found::Same => tracing::debug!(%module, "the artifact is unchanged"),
        Found::New(candidate) => {
            let (digest, revision) = (&candidate.artifact.digest, &candidate.revision.revision);
            tracing::info!(%module, revision, %digest, "prepared an artifact");
        }
        Found::Refused(refusal) => {
            let (reason, digest) = (&refusal.reason, refusal.digest.map(tracing::field::display));
            tracing::warn!(%module, %reason, digest, message = refusal.message, "refused");
        }
    }
    LookedUp { found, named }
}

/// What the request's reference names, and the same for others if it was asked for.
async fn resolved(
    request: &LookUpRequest,
    source: &impl Source,
) -> (Result<Resolved, Refusal>, Option<(String, Result<Digest, Refusal>)>) {
    let reference = request.module.spec.source.oci.as_ref().map(|oci| oci.reference.clone());
    if let (Some(reference), Some(digest)) = (&reference, request.named) {
        return (Ok(Resolved { reference: reference.clone(), digest }), None);
    }
    let resolved = resolve(&request.module.spec, source).await;
    let named = resolved.as_ref().map(|resolved| resolved.digest).map_err(Clone::clone);
    (resolved, reference.map(|reference| (reference, named)))
}

async fn attempt(
    request: &LookUpRequest,
    resolved: Result<Resolved, Refusal>,
    source: &impl Source,
    artifacts: &Semaphore,
) -> Result<Found, Refusal> {
    let resolved = resolved?;
    if request.known == Some(resolved.digest) {
        return Ok(Found::Same);
    }
    // Until its blobs are compressed; the semaphore is never closed.
    let _permit = artifacts.acquire().await;
    let prepared = prepare_digest(&request.module, &resolved, source, &request.ticket.policy).await?;
    let (blobs, sizes) = blobs(request, prepared.builds).await;
    let (artifact, revision) = (prepared.artifact, prepared.revision);
    Ok(Found::New(Box::new(Candidate { artifact, revision, sizes, blobs: Some(blobs) })))
}

type Blobs = (Vec<InlineBlob>, Vec<(Digest, u64)>);

/// Of the blobs that fit into a ConfigMap those that are not stored yet, and the compressed sizes of all.
async fn blobs(request: &LookUpRequest, builds: Vec<Build>) -> Blobs {
    let (limits, stored) = (request.ticket.limits, request.stored.clone());
    let compress = move || {
        let (mut blobs, mut sizes) = (Vec::new(), Vec::new());
        for build in &builds {
            if let Some(bytes) = stored.get(&build.digest) {
                sizes.push((build.digest, *bytes));
            } else if let Some(blob) = inline(build, limits) {
                sizes.push((build.digest, blob.compressed.len() as u64));
                blobs.push(blob);
            }
        }
        (blobs, sizes)
    };
    // It keeps a thread for tens of milliseconds a megabyte.
    match tokio::task::spawn_blocking(compress).await {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}
