//! From a digest to a module's builds.
//!
//! Owns the walk: manifest or index, then each build's one layer, everything bounded and verified before it is looked into.

use bytes::Bytes;
use hotbay_api::{Digest, Platform};
use hotbay_artifact::oci::{Descriptor, Document, ImageManifest, unpack};
use hotbay_pipeline::Build;

use crate::fault::Fault;
use crate::store::{Store, verified};

/// What all builds of an artifact may have together, in times of what one may have: the two platforms that are usual, each at its limit. An
/// index of eight could else take half a gigabyte of whoever fetches it.
const BUILDS_TOGETHER: u64 = 2;

/// Every build that `digest` leads to. Each has at most `max_bytes`, and all have [`BUILDS_TOGETHER`] times that.
pub(crate) async fn builds(store: &Store<'_>, digest: &Digest, max_bytes: u64) -> Result<Vec<Build>, Fault> {
    let top = store.top(digest).await?;
    match Document::parse(&top.bytes, &top.media_type)? {
        Document::Manifest(manifest) => Ok(vec![build(store, &manifest, None, max_bytes).await?]),
        Document::Index(index) => {
            let mut builds = Vec::new();
            let together = max_bytes.saturating_mul(BUILDS_TOGETHER);
            let mut left = together;
            for descriptor in index.builds()? {
                let served = store.manifest(descriptor).await?;
                let Document::Manifest(manifest) = Document::parse(&served.bytes, &served.media_type)? else {
                    return Err(Fault::NotAModule("its index names another index".to_owned()));
                };
                let platform = descriptor.build_platform();
                // What is left is known before the next one is fetched.
                let build = build(store, &manifest, platform, left.min(max_bytes)).await.map_err(
                    |fault| match fault {
                        Fault::TooLarge { .. } if left < max_bytes => {
                            Fault::TooLarge { what: "the sum of its builds", limit: together }
                        }
                        other => other,
                    },
                )?;
                left -= build.bytes.len() as u64;
                builds.push(build);
            }
            Ok(builds)
        }
    }
}

async fn build(
    store: &Store<'_>,
    manifest: &ImageManifest,
    platform: Option<Platform>,
    max_bytes: u64,
) -> Result<Build, Fault> {
    let layer = manifest.module_layer()?.clone();
    if layer.size > max_packed_bytes(max_bytes) {
        return Err(Fault::TooLarge { what: "the layer", limit: max_bytes });
    }
    let bytes = store.blob(&layer).await?;
    // Hashing and inflating 64 MiB takes longer than other tasks of this thread should wait.
    let opened = tokio::task::spawn_blocking(move || open(&layer, bytes, max_bytes)).await;
    let (digest, bytes) = opened.map_err(|error| Fault::Unreachable(error.into()))??;
    Ok(Build { platform, digest, bytes })
}

fn open(layer: &Descriptor, bytes: Bytes, max_bytes: u64) -> Result<(Digest, Bytes), Fault> {
    verified(&bytes, &layer.digest, "the layer")?;
    let module = unpack(bytes, max_bytes)?;
    Ok((Digest::of(&module), module))
}

/// What a layer may have that holds a module of `max_bytes` which does not compress at all: an archive's headers, and gzip's 5 bytes for
/// each 16 KiB.
fn max_packed_bytes(max_bytes: u64) -> u64 {
    max_bytes.saturating_add(max_bytes / 1024).saturating_add(64 * 1024)
}
