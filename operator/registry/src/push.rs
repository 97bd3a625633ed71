//! From builds to a stored artifact.
//!
//! Owns the order: layers, then manifests, then the index, and the name last, so that whoever resolves the name finds all of it.

use bytes::Bytes;
use hotbay_api::{Digest, Platform};
use hotbay_artifact::oci::{Annotations, Form, PackedBlob, annotation, pack, pack_index};

use crate::fault::Fault;
use crate::store::Store;

/// A module's shared object for one platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformBuild {
    /// Where it runs.
    pub platform: Platform,
    /// The shared object.
    pub bytes: Bytes,
}

/// Stores the builds and returns the digest of what `name` leads to then: a manifest, or the index of several.
pub(crate) async fn push(
    store: &Store<'_>,
    name: &str,
    builds: &[PlatformBuild],
    form: Form,
    annotations: &Annotations,
) -> Result<Digest, Fault> {
    let title = annotations.get(annotation::TITLE).map_or("module.so", String::as_str);
    let mut manifests = Vec::with_capacity(builds.len());
    for build in builds {
        let packed = pack(&build.bytes, &build.platform, form, title, annotations)?;
        store.put_module(&packed).await?;
        manifests.push((build.platform.clone(), packed.manifest));
    }
    let top: PackedBlob = match &manifests[..] {
        [] => return Err(Fault::Invalid("there is no build to push".to_owned())),
        [(_, only)] => only.clone(),
        several => {
            let described: Vec<_> = several
                .iter()
                .map(|(platform, manifest)| (platform.clone(), manifest.descriptor.clone()))
                .collect();
            let index = pack_index(&described, annotations)?;
            store.put_document(&index).await?;
            index
        }
    };
    store.put_name(&top, name).await?;
    Ok(top.descriptor.digest)
}
