//! Manifests and indexes as JSON.
//!
//! Owns their types, and that a document is read as what its media type says, or not at all. A digest alone does not say how to read the
//! bytes, so one document may not fit both readings. Must not know what a layer holds.

use std::collections::BTreeMap;

use bytes::Bytes;
use hotbay_api::{Digest, Platform};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::{OciError, annotation, media_type};

/// The most builds that one index may carry. All are fetched and held in memory together, and there are four platforms to name: two
/// machines with two libcs.
const MAX_BUILDS: usize = 8;

/// Notes on a document or a descriptor, sorted.
pub type Annotations = BTreeMap<String, String>;

/// A reference to some bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// How to read them.
    pub media_type: String,
    /// Which they are.
    pub digest: Digest,
    /// How many.
    pub size: u64,
    /// Where the build runs; in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<OciPlatform>,
    /// Notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Annotations>,
}

/// A platform in OCI's form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OciPlatform {
    /// `linux`.
    pub os: String,
    /// `amd64`.
    pub architecture: String,
}

/// A manifest: one build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageManifest {
    /// Always 2.
    pub schema_version: u32,
    /// Its own media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What it is, if it is no image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Of the image; empty for an artifact.
    pub config: Descriptor,
    /// What it holds.
    pub layers: Vec<Descriptor>,
    /// Notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Annotations>,
}

/// An index: a build for each platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageIndex {
    /// Always 2.
    pub schema_version: u32,
    /// Its own media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What it is, if it is no image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The manifests.
    pub manifests: Vec<Descriptor>,
    /// Notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Annotations>,
}

/// What a reference leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// One build.
    Manifest(ImageManifest),
    /// Several.
    Index(ImageIndex),
}

impl Document {
    /// Reads `bytes` as `stated`, the media type that their descriptor or the registry's answer gave.
    ///
    /// # Errors
    /// When they are something else, or could be.
    pub fn parse(bytes: &[u8], stated: &str) -> Result<Self, OciError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Shape {
            media_type: Option<String>,
            manifests: Option<IgnoredAny>,
            layers: Option<IgnoredAny>,
            config: Option<IgnoredAny>,
        }
        let stated = stated.split(';').next().unwrap_or_default().trim();
        let shape: Shape = serde_json::from_slice(bytes).map_err(OciError::Malformed)?;
        if shape.media_type.is_some_and(|own| own != stated) {
            return Err(OciError::Ambiguous("its own media type is not the one it is served as"));
        }
        if shape.manifests.is_some() && (shape.layers.is_some() || shape.config.is_some()) {
            return Err(OciError::Ambiguous("it has both manifests and layers"));
        }
        match stated {
            media_type::OCI_MANIFEST | media_type::DOCKER_MANIFEST => {
                serde_json::from_slice(bytes).map(Self::Manifest).map_err(OciError::Malformed)
            }
            media_type::OCI_INDEX | media_type::DOCKER_LIST => {
                serde_json::from_slice(bytes).map(Self::Index).map_err(OciError::Malformed)
            }
            other => Err(OciError::MediaType(other.chars().take(100).collect())),
        }
    }
}

impl ImageManifest {
    /// The layer that holds the module: the only one. Its media type says nothing, because `oras` calls any file an image layer.
    ///
    /// # Errors
    /// When there is not exactly one.
    pub fn module_layer(&self) -> Result<&Descriptor, OciError> {
        match &self.layers[..] {
            [layer] => Ok(layer),
            layers => Err(OciError::Layers(layers.len())),
        }
    }
}

impl ImageIndex {
    /// The manifests that are builds for Linux; one that names no platform may be, and its ELF header will say. What Docker's builder
    /// adds for its attestations (`unknown/unknown`) is left out.
    ///
    /// # Errors
    /// When there is none, or more than can be fetched.
    pub fn builds(&self) -> Result<Vec<&Descriptor>, OciError> {
        let is_build = |descriptor: &&Descriptor| match &descriptor.platform {
            Some(platform) => platform.os == "linux",
            None => true,
        };
        let builds: Vec<_> = self.manifests.iter().filter(is_build).collect();
        match builds.len() {
            0 => Err(OciError::NoPlatform),
            count if count > MAX_BUILDS => Err(OciError::ManyPlatforms(count, MAX_BUILDS)),
            _ => Ok(builds),
        }
    }
}

impl Descriptor {
    /// Describes `bytes`.
    pub fn of(media_type: &str, bytes: &Bytes) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
            platform: None,
            annotations: None,
        }
    }

    /// The value of an annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// The platform that an index declares for it.
    pub fn build_platform(&self) -> Option<Platform> {
        let OciPlatform { os, architecture } = self.platform.clone()?;
        Some(Platform { os, arch: architecture, libc: self.annotation(annotation::LIBC).map(str::to_owned) })
    }
}
