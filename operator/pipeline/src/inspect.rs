//! Step two: what do the artifact's builds say about themselves?
//!
//! Owns the reading of every build's ELF facts; no build is ever run. Must not judge them against a spec: `validate` does.

use hotbay_api::{Digest, Platform, chain};
use hotbay_artifact::ModuleFacts;

use crate::{Artifact, Refusal};

/// An artifact whose builds are modules.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspected {
    /// As the spec wrote it.
    pub reference: String,
    /// Of the OCI manifest or index.
    pub digest: Digest,
    /// At least one.
    pub builds: Vec<InspectedBuild>,
}

/// One build, without its bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct InspectedBuild {
    /// As the index declares it.
    pub declared: Option<Platform>,
    /// Of the shared object.
    pub digest: Digest,
    /// Of the shared object, in bytes.
    pub size: u64,
    /// What its ELF file says.
    pub facts: ModuleFacts,
}

/// Reads the facts of every build.
///
/// # Errors
/// Names the first build that is no module.
pub fn inspect(artifact: &Artifact) -> Result<Inspected, Refusal> {
    let read = |build: &crate::Build| {
        let facts = ModuleFacts::read(&build.bytes).map_err(|error| {
            let which = build.platform.as_ref().map(|platform| format!(" ({platform})")).unwrap_or_default();
            let message = format!("{}{which}: {}", artifact.reference, chain(&error));
            Refusal::of_module(error.reason(), message).about(artifact.digest)
        })?;
        let size = build.bytes.len() as u64;
        Ok(InspectedBuild { declared: build.platform.clone(), digest: build.digest, size, facts })
    };
    let builds = artifact.builds.iter().map(read).collect::<Result<_, _>>()?;
    Ok(Inspected { reference: artifact.reference.clone(), digest: artifact.digest, builds })
}
