//! Blobs that travel to the pods inside ConfigMaps.
//!
//! Owns their compression and the limit of each. The limit of all of a pool's together is the index's, which knows the others. A build that
//! does not fit is no refusal: the operator's blob service has it.

use bytes::Bytes;
use hotbay_api::Digest;

use crate::Build;

/// A ConfigMap holds 1 MiB with its names and keys; a pool that allows more gets this.
const MAX_CONFIG_MAP_BYTES: u64 = 1_000_000;

/// Every pod of the pool reads what is written once, and etcd keeps it: the best level costs 60 ms for the usual module and saves an
/// eighth. A large one most often does not fit anyway and shall not hold a core for seconds to show that.
const BEST_LEVEL: i32 = 19;
const FAST_LEVEL: i32 = 3;
const LARGE_BYTES: usize = 4 << 20;
/// zstd wants a little more room than its result takes.
const SLACK_BYTES: usize = 1024;

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
    /// The most that one ConfigMap of the pool may hold.
    fn bytes(self) -> u64 {
        self.max_blob_bytes.min(MAX_CONFIG_MAP_BYTES)
    }
}

/// Compresses a build; `None` if it is larger than a ConfigMap of the pool may be. Never takes more memory than that.
pub fn inline(build: &Build, limits: InlineLimits) -> Option<InlineBlob> {
    let level = if build.bytes.len() > LARGE_BYTES { FAST_LEVEL } else { BEST_LEVEL };
    let most = usize::try_from(limits.bytes()).ok()?;
    let mut compressed = Vec::with_capacity(most + SLACK_BYTES);
    // zstd stops where the room ends. Its one other failure is that it gets no memory, and then less of it is what helps.
    zstd::bulk::Compressor::new(level).ok()?.compress_to_buffer(&build.bytes, &mut compressed).ok()?;
    compressed.shrink_to_fit();
    (compressed.len() <= most).then(|| InlineBlob { digest: build.digest, compressed: compressed.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_inflates_to_itself_and_one_over_the_limit_is_for_the_blob_service() {
        // Every byte another's hash, so that it does not compress.
        let bytes: Vec<u8> = (0..64u8).flat_map(|seed| Digest::of(&[seed]).hex().into_bytes()).collect();
        let build = Build { platform: None, digest: Digest::of(&bytes), bytes: bytes.clone().into() };
        let blob = inline(&build, InlineLimits { max_blob_bytes: 4096 }).unwrap();
        assert_eq!(zstd::bulk::decompress(&blob.compressed, 4096).unwrap(), bytes);
        let bytes = blob.compressed.len() as u64;
        assert_eq!(inline(&build, InlineLimits { max_blob_bytes: bytes }), Some(blob));
        assert_eq!(inline(&build, InlineLimits { max_blob_bytes: bytes - 1 }), None);
        assert_eq!(inline(&build, InlineLimits { max_blob_bytes: 0 }), None);
    }
}
