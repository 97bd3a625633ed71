//! From a digest to a module's builds.
//!
//! Owns the walk: manifest or index, then each build's one layer, everything bounded and verified before it is looked into. Its three steps are
//! apart because a caller waits for room in memory before the second, and neither the registry nor its time limit has to do with that wait.

use bytes::Bytes;
use hotbay_api::{Digest, Platform};
use hotbay_artifact::oci::{Descriptor, Document, ImageManifest, unpack};
use hotbay_pipeline::Build;

use crate::fault::Fault;
use crate::room::{Room, Space};
use crate::store::{Store, verified};

/// What all builds of an artifact may have together, in times of what one may have: the two platforms that are usual, each at its limit. An
/// index of eight could else take half a gigabyte of whoever fetches it.
const BUILDS_TOGETHER: u64 = 2;
/// A layer that begins so is the module itself, and is not unpacked.
const ELF: &[u8] = b"\x7fELF";

/// What there is to fetch.
pub(crate) struct Plan {
    layers: Vec<Layer>,
    max_bytes: u64,
}

struct Layer {
    /// As the index declares it.
    platform: Option<Platform>,
    descriptor: Descriptor,
}

/// A layer's bytes, not looked into yet.
pub(crate) struct Packed {
    layer: Layer,
    bytes: Bytes,
}

/// Every layer that `digest` leads to. A build has at most `max_bytes`, and all have [`BUILDS_TOGETHER`] times that.
pub(crate) async fn plan(store: &Store<'_>, digest: &Digest, max_bytes: u64) -> Result<Plan, Fault> {
    let top = store.top(digest).await?;
    let mut plan = Plan { layers: Vec::new(), max_bytes };
    match Document::parse(&top.bytes, &top.media_type)? {
        Document::Manifest(manifest) => plan.add(&manifest, None)?,
        Document::Index(index) => {
            for descriptor in index.builds()? {
                let served = store.manifest(descriptor).await?;
                let Document::Manifest(manifest) = Document::parse(&served.bytes, &served.media_type)? else {
                    return Err(Fault::NotAModule("its index names another index".to_owned()));
                };
                plan.add(&manifest, descriptor.build_platform())?;
            }
        }
    }
    Ok(plan)
}

impl Plan {
    /// How many bytes the layers have, by their manifests: no more are read.
    pub(crate) fn packed_bytes(&self) -> u64 {
        self.layers.iter().map(|layer| layer.descriptor.size).fold(0, u64::saturating_add)
    }

    fn add(&mut self, manifest: &ImageManifest, platform: Option<Platform>) -> Result<(), Fault> {
        let descriptor = manifest.module_layer()?.clone();
        if descriptor.size > max_packed_bytes(self.max_bytes) {
            return Err(Fault::TooLarge { what: "the layer", limit: self.max_bytes });
        }
        self.layers.push(Layer { platform, descriptor });
        let together = together(self.max_bytes);
        if self.packed_bytes() > max_packed_bytes(together) {
            return Err(sum_too_large(together));
        }
        Ok(())
    }
}

/// Fetches the layers into `space`, which has room for all of them.
pub(crate) async fn layers(store: &Store<'_>, plan: Plan, space: &mut Space) -> Result<Vec<Packed>, Fault> {
    let mut all = Vec::new();
    for layer in plan.layers {
        let bytes = space.put(store.blob(&layer.descriptor).await?);
        all.push(Packed { layer, bytes });
    }
    Ok(all)
}

/// Verifies the layers and unpacks those that are archives.
pub(crate) async fn open(packed: Vec<Packed>, max_bytes: u64, room: &Room) -> Result<Vec<Build>, Fault> {
    let together = together(max_bytes);
    let archives = packed.iter().filter(|packed| !packed.bytes.starts_with(ELF)).count() as u64;
    // What an archive holds is not known before.
    let mut space = room.unpacked(archives.saturating_mul(max_bytes).min(together)).await;
    let (mut builds, mut left) = (Vec::new(), together);
    for Packed { layer: Layer { platform, descriptor }, bytes } in packed {
        let (is_archive, most) = (!bytes.starts_with(ELF), left.min(max_bytes));
        // Hashing and inflating 64 MiB takes longer than other tasks of this thread should wait.
        let opened = tokio::task::spawn_blocking(move || open_one(&descriptor, bytes, most)).await;
        let opened = opened.map_err(|error| Fault::Unreachable(error.into()))?;
        let (digest, bytes) = opened.map_err(|fault| match fault {
            Fault::TooLarge { .. } if left < max_bytes => sum_too_large(together),
            other => other,
        })?;
        left -= bytes.len() as u64;
        let bytes = if is_archive { space.put(bytes) } else { bytes };
        builds.push(Build { platform, digest, bytes });
    }
    Ok(builds)
}

fn open_one(layer: &Descriptor, bytes: Bytes, max_bytes: u64) -> Result<(Digest, Bytes), Fault> {
    verified(&bytes, &layer.digest, "the layer")?;
    let module = unpack(bytes, max_bytes)?;
    Ok((Digest::of(&module), module))
}

/// What all builds may have.
fn together(max_bytes: u64) -> u64 {
    max_bytes.saturating_mul(BUILDS_TOGETHER)
}

fn sum_too_large(together: u64) -> Fault {
    Fault::TooLarge { what: "the sum of its builds", limit: together }
}

/// What a layer may have that holds a module of `max_bytes` which does not compress at all: an archive's headers, and gzip's 5 bytes for
/// each 16 KiB.
fn max_packed_bytes(max_bytes: u64) -> u64 {
    max_bytes.saturating_add(max_bytes / 1024).saturating_add(64 * 1024)
}
