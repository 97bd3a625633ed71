//! Blobs that travel to the pods inside ConfigMaps.
//!
//! Owns their compression and the limit of each. The limit of all of a pool's together is the index's, which knows the others.

use bytes::Bytes;
use hotbay_api::{Digest, Reason};

use crate::{Build, Refusal};

/// A ConfigMap holds 1 MiB with its names and keys; a pool that allows more gets this.
const MAX_CONFIG_MAP_BYTES: u64 = 1_000_000;

/// Every pod of the pool reads what is written once, and etcd keeps it: the best level costs 60 ms for the usual module and saves an
/// eighth. A large one does not fit anyway and shall not hold a core for seconds to hear that.
const BEST_LEVEL: i32 = 19;
const FAST_LEVEL: i32 = 3;
const LARGE_BYTES: usize = 4 << 20;

/// What a pool allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InlineLimits {
    /// Of one blob, compressed.
    pub max_blob_bytes: u64,
}

/// A blob as a ConfigMap holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InlineBlob {
    /// Of the uncompressed bytes.
    pub digest: Digest,
    /// zstd.
    pub compressed: Bytes,
}

impl InlineLimits {
    /// Checks the compressed size of a build.
    ///
    /// # Errors
    /// When it is larger than a ConfigMap of the pool may be.
    pub fn check(self, reference: &str, build: &Build, compressed_bytes: u64) -> Result<(), Refusal> {
        let limit = self.max_blob_bytes.min(MAX_CONFIG_MAP_BYTES);
        if compressed_bytes <= limit {
            return Ok(());
        }
        let which = build.platform.as_ref().map(|platform| format!(" for {platform}")).unwrap_or_default();
        Err(Refusal::of_artifact(
            Reason::TooLarge,
            format!(
                "{reference}: the build{which} has {compressed_bytes} bytes compressed and the pool hands over at most {limit} \
                 (spec.limits.inlineBlobMax); strip it, build it for size, or ask for a higher limit"
            ),
        ))
    }
}

/// Compresses a build.
///
/// # Errors
/// When it is larger than a ConfigMap of the pool may be.
pub fn inline(reference: &str, build: &Build, limits: InlineLimits) -> Result<InlineBlob, Refusal> {
    let level = if build.bytes.len() > LARGE_BYTES { FAST_LEVEL } else { BEST_LEVEL };
    let compressed = zstd::bulk::compress(&build.bytes, level).map_err(|error| {
        Refusal::of_artifact(Reason::TooLarge, format!("{reference}: cannot be compressed: {error}"))
    })?;
    limits.check(reference, build, compressed.len() as u64)?;
    Ok(InlineBlob { digest: build.digest, compressed: compressed.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_inflates_to_itself_and_one_over_the_limit_is_refused() {
        // Every byte another's hash, so that it does not compress.
        let bytes: Vec<u8> = (0..64u8).flat_map(|seed| Digest::of(&[seed]).hex().into_bytes()).collect();
        let build = Build { platform: None, digest: Digest::of(&bytes), bytes: bytes.clone().into() };
        let blob = inline("reg/a:1", &build, InlineLimits { max_blob_bytes: 4096 }).unwrap();
        assert_eq!(zstd::bulk::decompress(&blob.compressed, 4096).unwrap(), bytes);
        let refusal = inline("reg/a:1", &build, InlineLimits { max_blob_bytes: 1024 }).unwrap_err();
        assert_eq!(refusal.reason, Reason::TooLarge);
        assert!(refusal.message.contains("1024 (spec.limits.inlineBlobMax)"), "{refusal}");
    }
}
