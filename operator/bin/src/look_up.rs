//! Look-ups: the pipeline's steps against a real source.
//!
//! Owns the one short cut: an unchanged digest ends a look-up after one small request. Must not decide when to look up: the index does.

use hotbay_pipeline::{Refusal, Source, inline, prepare_digest, resolve};

use crate::index::{Candidate, Found, LookUpRequest};

/// Makes the look-up.
pub async fn look_up(request: &LookUpRequest, source: &impl Source) -> Found {
    let found = match attempt(request, source).await {
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

async fn attempt(request: &LookUpRequest, source: &impl Source) -> Result<Found, Refusal> {
    let resolved = resolve(&request.module.spec, source).await?;
    if request.known == Some(resolved.digest) {
        return Ok(Found::Same);
    }
    let prepared = prepare_digest(&request.module, &resolved, source, &request.ticket.policy).await?;
    let limits = request.ticket.limits;
    let (reference, digest, builds) = (resolved.reference, resolved.digest, prepared.builds);
    // Compression keeps a thread for tens of milliseconds a megabyte.
    let blobs = tokio::task::spawn_blocking(move || inline(&reference, &builds, limits)).await;
    let blobs = match blobs {
        Ok(blobs) => blobs.map_err(|refusal| refusal.about(digest))?,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    };
    Ok(Found::New(Box::new(Candidate {
        artifact: prepared.artifact,
        revision: prepared.revision,
        sizes: blobs.iter().map(|blob| (blob.digest, blob.compressed.len() as u64)).collect(),
        blobs: Some(blobs),
    })))
}
