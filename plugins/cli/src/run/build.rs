//! A build that is handed to the control plane straight, without a registry: `hotbay dev` makes one at every save.
//!
//! Owns which modules it stands for. Must not know how it was made.

use std::path::PathBuf;

use bytes::Bytes;
use hotbay_api::{Digest, EntryKey, names};
use hotbay_bay::{DropIn, drop_in_stem};

/// A module's newest build.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Build {
    /// The repository that it stands for, with its registry; none: no YAML asks for it, and it is served with every default.
    pub repository: Option<String>,
    /// Where it lies.
    pub path: PathBuf,
    /// Of `bytes`.
    pub digest: Digest,
    /// The module.
    pub bytes: Bytes,
}

impl Build {
    /// Whether a reference means this build.
    pub fn is_meant(&self, reference: &str) -> bool {
        self.repository.is_some() && repository(reference) == self.repository.as_deref()
    }

    /// As a file that was dropped in, if no YAML asks for it.
    pub fn drop_in(&self) -> Option<DropIn> {
        if self.repository.is_some() {
            return None;
        }
        let stem = drop_in_stem(&self.path.file_name()?.to_string_lossy()).ok()?;
        let key = EntryKey::new(names::LOCAL_NAMESPACE, &stem).ok()?;
        let bytes = self.bytes.as_ref().into();
        Some(DropIn { key, stem, path: self.path.clone(), digest: self.digest, bytes })
    }
}

/// The repository of a reference with a tag; a digest names one build for ever, so that none of these can be meant.
pub(crate) fn repository(reference: &str) -> Option<&str> {
    let (repository, _) = reference.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'))?;
    (!repository.contains('@')).then_some(repository)
}

/// What a repository is called, without where it lies.
pub(crate) fn called(repository: &str) -> &str {
    repository.rsplit('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_stands_for_every_tag_of_its_repository() {
        let build = |repository: Option<&str>| Build {
            repository: repository.map(str::to_owned),
            path: PathBuf::from("/p/target/debug/libgreet_2.so"),
            digest: Digest::of(b"m"),
            bytes: Bytes::from_static(b"m"),
        };
        let meant = |reference| build(Some("r.io:5000/greet")).is_meant(reference);
        assert!(meant("r.io:5000/greet:1") && meant("r.io:5000/greet:2"));
        assert!(
            !meant("r.io:5000/greet") && !meant("r.io:5000/greeter:1") && !meant("r.io:5000/greet@sha256:00")
        );
        assert_eq!(build(Some("r.io/greet")).drop_in(), None);
        let alone = build(None);
        assert!(!alone.is_meant("r.io:5000/greet:1"));
        assert_eq!(alone.drop_in().unwrap().key.to_string(), "local/greet-2");
    }
}
