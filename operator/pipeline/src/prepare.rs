//! The steps in a row, for one module: resolve, inspect, validate, build.
//!
//! Owns their order, which is all that operator and CLI must agree on.

use hotbay_api::{ArtifactStatus, HandlerModule, Revision};

use crate::build::{artifact_status, key_of, revision};
use crate::resolve::refuse;
use crate::{Artifact, Build, Refusal, Resolved, Source, inspect, resolve, validate};

/// What a pool demands of an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Of each build, uncompressed.
    pub max_build_bytes: u64,
}

/// A module that is ready to be handed over: what its entry says, and the bytes that go with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// For the status.
    pub artifact: ArtifactStatus,
    /// For the entry.
    pub revision: Revision,
    /// The blobs that the revision names.
    pub builds: Vec<Build>,
}

impl Default for Policy {
    /// The limit of a pool that sets none.
    fn default() -> Self {
        Self { max_build_bytes: hotbay_api::PoolLimits::default().max_artifact_size.0 }
    }
}

/// Prepares `module` from what its reference names now.
///
/// # Errors
/// The first refusal.
pub async fn prepare(
    module: &HandlerModule,
    source: &impl Source,
    policy: &Policy,
) -> Result<Prepared, Refusal> {
    key_of(module)?;
    let resolved = resolve(&module.spec, source).await?;
    prepare_digest(module, &resolved, source, policy).await
}

/// Prepares `module` from an artifact that was looked up before.
///
/// # Errors
/// The first refusal.
pub async fn prepare_digest(
    module: &HandlerModule,
    resolved: &Resolved,
    source: &impl Source,
    policy: &Policy,
) -> Result<Prepared, Refusal> {
    let Resolved { reference, digest } = resolved;
    let artifact: Artifact = source
        .fetch(reference, digest, policy.max_build_bytes)
        .await
        .map_err(|error| refuse(&error).about(*digest))?;
    let validated = validate(&module.spec, &inspect(&artifact)?)?;
    Ok(Prepared {
        artifact: artifact_status(&validated),
        revision: revision(&validated),
        builds: artifact.builds,
    })
}

#[cfg(test)]
mod tests {
    use hotbay_api::{Digest, Reason};

    use super::*;
    use crate::testing::{FixedSource, module};
    use crate::{Aspect, Class};

    #[tokio::test]
    async fn a_file_that_is_no_elf_is_refused_with_its_digest() {
        let mut module = module("shop", "hello");
        module.spec = crate::testing::spec("reg/hello:1.0");
        let source = FixedSource::with("reg/hello:1.0", b"not a module");
        let refusal = prepare(&module, &source, &Policy::default()).await.unwrap_err();
        assert_eq!(
            (&refusal.reason, refusal.aspect, refusal.class),
            (&Reason::InvalidElf, Aspect::Accepted, Class::Stalled)
        );
        assert_eq!(refusal.digest, Some(Digest::of(b"not a module")));
        assert!(refusal.message.starts_with("reg/hello:1.0"), "{refusal}");
    }

    #[tokio::test]
    async fn a_build_over_the_limit_is_refused() {
        let mut module = module("shop", "hello");
        module.spec = crate::testing::spec("reg/hello:1.0");
        let source = FixedSource::with("reg/hello:1.0", b"not a module");
        let refusal = prepare(&module, &source, &Policy { max_build_bytes: 3 }).await.unwrap_err();
        assert_eq!(
            (&refusal.reason, refusal.aspect, refusal.class),
            (&Reason::TooLarge, Aspect::ArtifactReady, Class::Stalled)
        );
    }
}
