//! Step one: which artifact does the module's reference name now?
//!
//! Owns what a source's failure means for the module. Must not fetch: a look-up of an unchanged tag ends here.

use hotbay_api::{Digest, HandlerModuleSpec, Reason, chain};

use crate::{Refusal, Source, SourceError};

/// A reference, and the artifact that it names now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// As the spec wrote it.
    pub reference: String,
    /// Of the OCI manifest or index.
    pub digest: Digest,
}

/// Looks the module's reference up.
///
/// # Errors
/// When the spec names no source, or the source does not answer with a digest.
pub async fn resolve(spec: &HandlerModuleSpec, source: &impl Source) -> Result<Resolved, Refusal> {
    let reference = reference(spec)?;
    let digest = source.resolve(reference).await.map_err(|error| refuse(&error))?;
    Ok(Resolved { reference: reference.to_owned(), digest })
}

/// The reference that the spec names.
pub(crate) fn reference(spec: &HandlerModuleSpec) -> Result<&str, Refusal> {
    // The API server refuses this too; a file on a laptop never met it.
    let none = || {
        Refusal::of_artifact(
            Reason::SourceNotFound,
            "spec.source names no source; set spec.source.oci.reference",
        )
    };
    spec.source.oci.as_ref().map(|oci| oci.reference.as_str()).ok_or_else(none)
}

/// What a source's failure means for the module.
pub(crate) fn refuse(error: &SourceError) -> Refusal {
    let (reason, class) = error.verdict();
    // It is there, and no module.
    if let SourceError::NotAModule { .. } = error {
        return Refusal::of_module(reason, chain(error));
    }
    Refusal { class, ..Refusal::of_artifact(reason, chain(error)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FixedSource, spec};
    use crate::{Aspect, Class};

    #[tokio::test]
    async fn a_reference_becomes_a_digest() {
        let source = FixedSource::with("reg/hello:1.0", b"artifact");
        let resolved = resolve(&spec("reg/hello:1.0"), &source).await;
        assert_eq!(resolved.map(|resolved| resolved.digest), Ok(Digest::of(b"artifact")));
    }

    #[tokio::test]
    async fn a_missing_tag_is_waited_for_and_named() {
        let refusal = resolve(&spec("reg/hello:2.0"), &FixedSource::default()).await.unwrap_err();
        assert_eq!((&refusal.reason, refusal.class), (&Reason::SourceNotFound, Class::Waiting));
        assert!(refusal.message.contains("reg/hello:2.0"), "{refusal}");
    }

    #[test]
    fn what_can_be_had_and_is_no_module_is_not_accepted() {
        let reference = "reg/hello:1.0".to_owned();
        let aspect = |error: SourceError| (refuse(&error).aspect, refuse(&error).class);
        let no_module =
            SourceError::NotAModule { reference: reference.clone(), why: "it has 2 layers".into() };
        assert_eq!(aspect(no_module), (Aspect::Accepted, Class::Stalled));
        let other_bytes = SourceError::DigestMismatch {
            reference: reference.clone(),
            what: "the layer".into(),
            expected: Digest::of(b""),
        };
        assert_eq!(aspect(other_bytes), (Aspect::ArtifactReady, Class::Waiting));
        let forbidden = SourceError::Unauthorized { registry: "reg".into(), reference };
        assert_eq!(aspect(forbidden), (Aspect::ArtifactReady, Class::Waiting));
    }

    #[tokio::test]
    async fn a_spec_without_a_source_waits_for_an_edit() {
        let refusal = resolve(&HandlerModuleSpec::default(), &FixedSource::default()).await.unwrap_err();
        assert_eq!((&refusal.reason, refusal.class), (&Reason::SourceNotFound, Class::Stalled));
    }
}
