//! Look-ups: the pipeline's steps against a real source.
//!
//! Owns the short cuts: an unchanged digest ends a look-up after one small request, and what is stored is not compressed again. Must not decide when to look up: the index does.

use hotbay_api::Digest;
use hotbay_pipeline::{Build, InlineBlob, Refusal, Source, inline, prepare_digest, resolve};
use tokio::sync::Semaphore;

use crate::index::{Candidate, Found, LookUpRequest};

/// Makes the look-up. `artifacts` has a permit for each artifact that may be in memory at a time.
pub async fn look_up(request: &LookUpRequest, source: &impl Source, artifacts: &Semaphore) -> Found {
    let found = match attempt(request, source, artifacts).await {
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
    found
}

async fn attempt(
    request: &LookUpRequest,
    source: &impl Source,
    artifacts: &Semaphore,
) -> Result<Found, Refusal> {
    let resolved = resolve(&request.module.spec, source).await?;
    if request.known == Some(resolved.digest) {
        return Ok(Found::Same);
    }
    // Until its blobs are compressed; the semaphore is never closed.
    let _permit = artifacts.acquire().await;
    let prepared = prepare_digest(&request.module, &resolved, source, &request.ticket.policy).await?;
    let (blobs, sizes) = blobs(request, resolved.reference, prepared.builds)
        .await
        .map_err(|refusal| refusal.about(resolved.digest))?;
    let (artifact, revision) = (prepared.artifact, prepared.revision);
    Ok(Found::New(Box::new(Candidate { artifact, revision, sizes, blobs: Some(blobs) })))
}

type Blobs = (Vec<InlineBlob>, Vec<(Digest, u64)>);

/// The blobs that are not stored yet, and the compressed sizes of all.
async fn blobs(request: &LookUpRequest, reference: String, builds: Vec<Build>) -> Result<Blobs, Refusal> {
    let (limits, stored) = (request.ticket.limits, request.stored.clone());
    let compress = move || {
        let (mut blobs, mut sizes) = (Vec::new(), Vec::new());
        for build in &builds {
            let bytes = match stored.get(&build.digest) {
                Some(bytes) => {
                    limits.check(&reference, build, *bytes)?;
                    *bytes
                }
                None => {
                    let blob = inline(&reference, build, limits)?;
                    let bytes = blob.compressed.len() as u64;
                    blobs.push(blob);
                    bytes
                }
            };
            sizes.push((build.digest, bytes));
        }
        Ok((blobs, sizes))
    };
    // It keeps a thread for tens of milliseconds a megabyte.
    match tokio::task::spawn_blocking(compress).await {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}
