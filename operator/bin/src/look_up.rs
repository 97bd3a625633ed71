//! Look-ups: the pipeline's steps against a real source.
//!
//! Owns the short cuts: an unchanged digest ends a look-up after one small request, and what is stored is not compressed again. And the turns:
//! so many references are asked for at a time, of one registry host and of all. A turn is given back before anything is fetched, which takes
//! its own ([`crate::shared_source`]). How many compress at a time is the `compressor`'s. Must not decide when to look up: the index does.

mod compressor;

use std::sync::Arc;
use std::time::Instant;

use hotbay_api::Digest;
use hotbay_pipeline::{Refusal, Resolved, prepare_digest, resolve};
use hotbay_registry::Shares;

use crate::index::{Candidate, Found, LookUpRequest, LookedUp};
use crate::metrics::{Metrics, Queue};
use crate::shared_source::HostedSource;
use compressor::Compressor;

/// All that look-ups take.
pub struct LookUps<S> {
    source: S,
    turns: Shares,
    compressor: Compressor,
    metrics: Arc<Metrics>,
}

impl<S: HostedSource> LookUps<S> {
    /// Looks up in `source`. Each reference that is asked for takes 1 of `turns` meanwhile.
    pub fn new(source: S, turns: Shares, metrics: Arc<Metrics>) -> Self {
        Self { source, turns, compressor: Compressor::default(), metrics }
    }

    /// Makes the look-up, when it is its turn.
    pub async fn look_up(&self, request: &LookUpRequest) -> LookedUp {
        self.metrics.queue_moves(Queue::LookUps, 1);
        let reference = request.module.spec.source.oci.as_ref().map(|oci| oci.reference.clone());
        let turn = match (&reference, request.named) {
            (Some(reference), None) => Some(self.turns.take(&self.source.host_of(reference), 1).await),
            // Nobody is asked.
            _ => None,
        };
        self.metrics.queue_moves(Queue::LookUps, -1);
        let began = Instant::now();
        let (resolved, named) = self.resolved(request, reference).await;
        drop(turn);
        let found = self.attempt(request, resolved).await.unwrap_or_else(Found::Refused);
        self.metrics.looked_up(found.outcome(), began.elapsed());
        log(request, &found);
        LookedUp { found, named }
    }

    /// What the request's reference names, and the same for others if it was asked for.
    async fn resolved(
        &self,
        request: &LookUpRequest,
        reference: Option<String>,
    ) -> (Result<Resolved, Refusal>, Option<(String, Result<Digest, Refusal>)>) {
        if let (Some(reference), Some(digest)) = (&reference, request.named) {
            return (Ok(Resolved { reference: reference.clone(), digest }), None);
        }
        let resolved = resolve(&request.module.spec, &self.source).await;
        let named = resolved.as_ref().map(|resolved| resolved.digest).map_err(Clone::clone);
        (resolved, reference.map(|reference| (reference, named)))
    }

    async fn attempt(
        &self,
        request: &LookUpRequest,
        resolved: Result<Resolved, Refusal>,
    ) -> Result<Found, Refusal> {
        let resolved = resolved?;
        if request.known == Some(resolved.digest) {
            return Ok(Found::Same);
        }
        let policy = &request.ticket.policy;
        let prepared = prepare_digest(&request.module, &resolved, &self.source, policy).await?;
        let (limits, stored) = (request.ticket.limits, request.stored.clone());
        let (blobs, sizes) = self.compressor.blobs(prepared.builds, limits, stored).await;
        let (artifact, revision) = (prepared.artifact, prepared.revision);
        Ok(Found::New(Box::new(Candidate { artifact, revision, sizes, blobs: Some(blobs) })))
    }
}

fn log(request: &LookUpRequest, found: &Found) {
    let module = &request.key;
    match found {
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
}
