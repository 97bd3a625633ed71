//! Where modules come from, as the pipeline sees it.
//!
//! Owns the port that a registry client implements, and what each way to fail means. Must not know how bytes travel.

use std::future::Future;

use bytes::Bytes;
use hotbay_api::{Digest, Platform, Reason};

/// A place that holds module artifacts under references such as `registry.example.com/hello:1.0`.
pub trait Source {
    /// The digest that `reference` names now; a reference by digest names itself. Asks without fetching.
    fn resolve(&self, reference: &str) -> impl Future<Output = Result<Digest, SourceError>> + Send;

    /// The artifact with this digest, every build of it verified against its own digest.
    /// `max_bytes` bounds each build, uncompressed; all of them together have at most a small multiple of it.
    fn fetch(
        &self,
        reference: &str,
        digest: &Digest,
        max_bytes: u64,
    ) -> impl Future<Output = Result<Artifact, SourceError>> + Send;
}

/// A fetched module: one build for each platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// As the user wrote it.
    pub reference: String,
    /// Of the OCI manifest or index.
    pub digest: Digest,
    /// At least one.
    pub builds: Vec<Build>,
}

/// A module's shared object for one platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// As the index declares it; `None` in a single manifest that does not say: then the ELF header decides.
    pub platform: Option<Platform>,
    /// Of `bytes`.
    pub digest: Digest,
    /// The shared object, uncompressed.
    pub bytes: Bytes,
}

/// What happens after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It may pass by itself: try again, backing off. The object is Reconciling.
    Waiting,
    /// Only an edit of the object (or of what it names) helps. The object is Stalled.
    Stalled,
}

/// Why an artifact could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The reference is not well formed.
    #[error("reference {reference:?} is not valid: {why}")]
    Invalid {
        /// What was written.
        reference: String,
        /// What is wrong with it.
        why: String,
    },
    /// No answer: name not found, refused, timed out, 5xx, an address that must not be dialled.
    #[error("failed to reach {registry} for {reference}")]
    Unreachable {
        /// The host that was asked.
        registry: String,
        /// What was asked for.
        reference: String,
        /// The chain of causes.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// 401 or 403.
    #[error("{registry} refused access to {reference}; check the credentials and the repository's name")]
    Unauthorized {
        /// The host that was asked.
        registry: String,
        /// What was asked for.
        reference: String,
    },
    /// No such repository, tag or digest.
    #[error("{reference} does not exist; push it, or correct the reference")]
    NotFound {
        /// What was asked for.
        reference: String,
    },
    /// Larger than allowed, compressed or not.
    #[error(
        "{reference}: {what} is larger than {limit} bytes; strip it and build it for size, or ask for a higher limit of the pool \
         (spec.limits.maxArtifactSize)"
    )]
    TooLarge {
        /// What was asked for.
        reference: String,
        /// Which part.
        what: String,
        /// The bound.
        limit: u64,
    },
    /// Bytes that are not what their digest promises.
    #[error(
        "{reference}: {what} does not have the digest {expected}; the registry or something before it is at fault"
    )]
    DigestMismatch {
        /// What was asked for.
        reference: String,
        /// Which part.
        what: String,
        /// The digest that was promised.
        expected: Digest,
    },
    /// An artifact of another form than the two that hold a module.
    #[error("{reference} holds no module: {why}")]
    NotAModule {
        /// What was asked for.
        reference: String,
        /// What was found instead, and what would be right.
        why: String,
    },
}

impl SourceError {
    /// What the status says, and what happens next.
    pub fn verdict(&self) -> (Reason, Class) {
        match self {
            Self::Unreachable { .. } => (Reason::SourceUnreachable, Class::Waiting),
            Self::Unauthorized { .. } => (Reason::SourceUnauthorized, Class::Waiting),
            Self::NotFound { .. } => (Reason::SourceNotFound, Class::Waiting),
            Self::Invalid { .. } => (Reason::SourceNotFound, Class::Stalled),
            Self::TooLarge { .. } => (Reason::TooLarge, Class::Stalled),
            Self::DigestMismatch { .. } => (Reason::DigestMismatch, Class::Waiting),
            Self::NotAModule { .. } => (Reason::InvalidElf, Class::Stalled),
        }
    }
}
