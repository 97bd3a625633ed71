//! Step three: does the artifact fit the spec, and are its builds one module?
//!
//! Owns every refusal that artifact and spec alone can cause: ABI, platforms, handlers, routes, config. What comes out cannot be refused by
//! `build`. Must not know other modules: `routes` does.

mod config;
mod handlers;

use hotbay_api::{Blob, Digest, HandlerModuleSpec, Limits, Platform, Reason, Route, Timeouts};
use hotbay_artifact::{Abi, check_abi};
use serde_json::Value;

use crate::{Inspected, InspectedBuild, Refusal};

pub use config::{MAX_CONFIG_BYTES, check_schema};

/// A module that fits its spec.
#[derive(Clone, Debug, PartialEq)]
pub struct Validated {
    /// As the spec wrote it.
    pub reference: String,
    /// Of the OCI manifest or index.
    pub digest: Digest,
    /// By the manifest.
    pub version: String,
    /// That the builds need.
    pub abi: Abi,
    /// The builds, each for another platform.
    pub blobs: Vec<Blob>,
    /// With every field settled; at least one.
    pub routes: Vec<Route>,
    /// An object that the module's schema allows.
    pub config: Value,
    /// From the spec.
    pub timeouts: Timeouts,
    /// From the spec.
    pub limits: Limits,
}

/// Checks `inspected` against `spec`.
///
/// # Errors
/// The first thing that does not fit.
pub fn validate(spec: &HandlerModuleSpec, inspected: &Inspected) -> Result<Validated, Refusal> {
    let refuse = |refusal: Refusal| refusal.about(inspected.digest);
    let first = one_module(inspected).map_err(refuse)?;
    let manifest = &first.facts.manifest;
    let blobs = blobs(inspected).map_err(refuse)?;
    let routes = handlers::routes(spec.routes.as_deref(), manifest).map_err(refuse)?;
    config::check(&spec.config, manifest.config_schema.as_ref()).map_err(refuse)?;
    Ok(Validated {
        reference: inspected.reference.clone(),
        digest: inspected.digest,
        version: manifest.version.clone(),
        abi: first.facts.abi,
        blobs,
        routes,
        config: spec.config.clone(),
        timeouts: Timeouts { request: spec.timeouts.request },
        limits: Limits::from(&spec.limits),
    })
}

/// The first build, if all builds are of one module and this version serves their ABI.
fn one_module(inspected: &Inspected) -> Result<&InspectedBuild, Refusal> {
    let [first, others @ ..] = &inspected.builds[..] else {
        let message = format!("{} holds no build; push a shared object", inspected.reference);
        return Err(Refusal::of_module(Reason::InvalidElf, message));
    };
    for build in &inspected.builds {
        let refuse = |error: hotbay_artifact::CheckError| {
            Refusal::of_module(error.reason(), format!("{}: {error}", inspected.reference))
        };
        check_abi(build.facts.abi).map_err(refuse)?;
    }
    let other = others.iter().find(|build| {
        let (this, that) = (&first.facts.manifest, &build.facts.manifest);
        this.handlers != that.handlers
            || this.version != that.version
            || this.config_schema != that.config_schema
    });
    match other {
        None => Ok(first),
        Some(other) => Err(Refusal::of_module(
            Reason::ManifestInvalid,
            format!(
                "{}: the builds for {} and {} differ in version, handlers or config schema; build both from one source",
                inspected.reference, first.facts.platform, other.facts.platform
            ),
        )),
    }
}

fn blobs(inspected: &Inspected) -> Result<Vec<Blob>, Refusal> {
    let mut blobs: Vec<Blob> = Vec::with_capacity(inspected.builds.len());
    for build in &inspected.builds {
        let platform = platform(build).map_err(|message| {
            Refusal::of_module(Reason::WrongArchitecture, format!("{}: {message}", inspected.reference))
        })?;
        if blobs.iter().any(|blob| blob.platform == platform) {
            let message = format!("{}: there are two builds for {platform}; push one", inspected.reference);
            return Err(Refusal::of_module(Reason::ManifestInvalid, message));
        }
        blobs.push(Blob { platform, digest: build.digest, size: build.size });
    }
    Ok(blobs)
}

/// The platform by the ELF file, which the index must not contradict.
fn platform(build: &InspectedBuild) -> Result<Platform, String> {
    let real = &build.facts.platform;
    let agrees = build.declared.as_ref().is_none_or(|declared| {
        let same_libc = declared.libc.is_none() || real.libc.is_none() || declared.libc == real.libc;
        declared.os == real.os && declared.arch == real.arch && same_libc
    });
    match &build.declared {
        Some(declared) if !agrees => Err(format!(
            "the index promises a build for {declared} and it is for {real}; push it again for {real}"
        )),
        _ => Ok(real.clone()),
    }
}

#[cfg(test)]
mod tests;
