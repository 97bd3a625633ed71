//! Whole artifacts in the cache.
//!
//! Owns the note that says which builds an artifact has: with it and the builds an artifact that was fetched once is fetched no more, also
//! not by an operator that starts again in the same pod. What an artifact of a digest holds never changes, so a note is never out of date.

use std::io::Read as _;

use hotbay_api::{Digest, Platform};
use hotbay_pipeline::{Artifact, Build};
use serde::{Deserialize, Serialize};

use super::cache::{Cache, CacheError};

/// What a note says of a build.
#[derive(Serialize, Deserialize)]
struct Noted {
    platform: Option<Platform>,
    digest: Digest,
}

impl Cache {
    /// How many bytes the artifact's builds take in memory together; `None` if nothing is known of it. They need not all be there still.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn artifact_bytes(&self, reference: &str, digest: &Digest) -> Result<Option<u64>, CacheError> {
        let Some(noted) = self.noted(reference, digest)? else { return Ok(None) };
        let size = |noted: &Noted| {
            let path = self.folder().join(hotbay_api::names::blob_file(&noted.digest));
            std::fs::metadata(path).map_or(0, |file| file.len())
        };
        Ok(Some(noted.iter().map(size).sum()))
    }

    /// The artifact, if the cache has all of its builds and none is larger than `max_bytes`. For a larger one the source is to say so.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn artifact(
        &self,
        reference: &str,
        digest: &Digest,
        max_bytes: u64,
    ) -> Result<Option<Artifact>, CacheError> {
        let Some(noted) = self.noted(reference, digest)? else { return Ok(None) };
        let mut builds = Vec::with_capacity(noted.len());
        for Noted { platform, digest } in noted {
            let Some((mut file, bytes)) = self.blob(&digest)?.filter(|(_, bytes)| *bytes <= max_bytes) else {
                return Ok(None);
            };
            let mut content = Vec::with_capacity(usize::try_from(bytes).unwrap_or_default());
            let io = |source| CacheError::Io { folder: self.folder().to_owned(), source };
            file.read_to_end(&mut content).map_err(io)?;
            builds.push(Build { platform, digest, bytes: content.into() });
        }
        Ok(Some(Artifact { reference: reference.to_owned(), digest: *digest, builds }))
    }

    fn noted(&self, reference: &str, digest: &Digest) -> Result<Option<Vec<Noted>>, CacheError> {
        let note = self.document(&name(reference, digest))?;
        Ok(note.and_then(|note| serde_json::from_slice(&note).ok()))
    }

    /// Keeps an artifact.
    ///
    /// # Errors
    /// When a build does not fit, or the disk fails.
    pub fn put_artifact(&self, artifact: &Artifact) -> Result<(), CacheError> {
        for build in &artifact.builds {
            self.put_blob(&build.digest, &build.bytes)?;
        }
        let noted = artifact
            .builds
            .iter()
            .map(|build| Noted { platform: build.platform.clone(), digest: build.digest });
        let note = serde_json::to_vec(&noted.collect::<Vec<_>>())
            .map_err(|error| CacheError::Io { folder: self.folder().to_owned(), source: error.into() })?;
        self.put_document(&name(&artifact.reference, &artifact.digest), &note)
    }
}

/// Who may fetch an artifact from one repository may not from another, so the name tells them apart.
fn name(reference: &str, digest: &Digest) -> String {
    format!("artifact-{}", Digest::of(format!("{reference} {digest}").as_bytes()).hex())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact() -> Artifact {
        let build = |content: &'static [u8], platform| Build {
            platform,
            digest: Digest::of(content),
            bytes: bytes::Bytes::from_static(content),
        };
        Artifact {
            reference: "reg/a:1".into(),
            digest: Digest::of(b"manifest"),
            builds: vec![build(b"one", Some(Platform::current())), build(b"another", None)],
        }
    }

    #[test]
    fn an_artifact_comes_back_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path().to_owned(), 1 << 20).unwrap();
        let artifact = artifact();
        let get = |reference, max_bytes| cache.artifact(reference, &artifact.digest, max_bytes).unwrap();
        assert_eq!(get("reg/a:1", 100), None);
        cache.put_artifact(&artifact).unwrap();
        assert_eq!(get("reg/a:1", 100), Some(artifact.clone()));
        assert_eq!(cache.artifact_bytes("reg/a:1", &artifact.digest).unwrap(), Some(10));
        assert_eq!(get("reg/a:1", 6), None, "another has seven bytes");
        assert_eq!(get("reg/b:1", 100), None, "who may read a may not read b");
        std::fs::remove_file(folder.path().join(hotbay_api::names::blob_file(&artifact.builds[1].digest)))
            .unwrap();
        assert_eq!(get("reg/a:1", 100), None);
        let reopened = Cache::open(folder.path().to_owned(), 1 << 20).unwrap();
        reopened.put_artifact(&artifact).unwrap();
        assert_eq!(reopened.artifact("reg/a:1", &artifact.digest, 100).unwrap(), Some(artifact));
    }
}
