//! Where artifacts lie: a registry or a layout, alike to those who fetch and push.
//!
//! Owns the choice between the two and the checks of digests that both need. Must not know what a module is.

use bytes::Bytes;
use hotbay_api::Digest;
use hotbay_artifact::oci::{Descriptor, PackedBlob, PackedModule};

use crate::fault::Fault;
use crate::layout::Layout;
use crate::reference::Selector;
use crate::remote::Remote;

/// Of one manifest or index. Those of modules have a few KiB; registries accept up to 4 MiB, which dozens of look-ups at a time should not hold.
pub(crate) const MAX_MANIFEST_BYTES: u64 = 1024 * 1024;

/// A manifest or index, and as what it was served.
pub(crate) struct Served {
    pub(crate) media_type: String,
    pub(crate) bytes: Bytes,
}

/// Where an operation happens.
pub(crate) enum Store<'client> {
    Remote(Box<Remote<'client>>),
    Layout(Layout),
}

impl Store<'_> {
    /// The digest that `selector` names now.
    pub(crate) async fn digest_of(&self, selector: Option<&Selector>) -> Result<Digest, Fault> {
        match (self, selector) {
            (_, Some(Selector::Digest(digest))) => Ok(*digest),
            (Self::Remote(remote), Some(Selector::Tag(tag))) => remote.digest_of(tag).await,
            (Self::Remote(_), None) => Err(Fault::Invalid("it has neither tag nor digest".to_owned())),
            (Self::Layout(layout), selector) => layout.descriptor(selector).await.map(|found| found.digest),
        }
    }

    /// The document that the user's reference led to: its media type is what the store says it is.
    pub(crate) async fn top(&self, digest: &Digest) -> Result<Served, Fault> {
        let served = match self {
            Self::Remote(remote) => remote.manifest(&Selector::Digest(*digest)).await?,
            Self::Layout(layout) => layout.top(digest).await?,
        };
        verified(&served.bytes, digest, "the manifest")?;
        Ok(served)
    }

    /// A document that an index names: its media type is what the index says, whatever it is served as.
    pub(crate) async fn manifest(&self, descriptor: &Descriptor) -> Result<Served, Fault> {
        let served = match self {
            Self::Remote(remote) => remote.manifest(&Selector::Digest(descriptor.digest)).await?,
            Self::Layout(layout) => layout.manifest(descriptor).await?,
        };
        verified(&served.bytes, &descriptor.digest, "a manifest of its index")?;
        Ok(Served { media_type: descriptor.media_type.clone(), bytes: served.bytes })
    }

    /// A layer, not yet verified: hashing is the caller's, who knows where to do it.
    pub(crate) async fn blob(&self, descriptor: &Descriptor) -> Result<Bytes, Fault> {
        match self {
            Self::Remote(remote) => remote.blob(descriptor).await,
            Self::Layout(layout) => layout.blob(descriptor).await,
        }
    }

    /// Stores a module's blobs and its manifest, under its digest.
    pub(crate) async fn put_module(&self, module: &PackedModule) -> Result<(), Fault> {
        for blob in &module.blobs {
            match self {
                Self::Remote(remote) => remote.put_blob(blob).await?,
                Self::Layout(layout) => layout.put_blob(blob).await?,
            }
        }
        self.put_document(&module.manifest).await
    }

    /// Stores a manifest or index, under its digest.
    pub(crate) async fn put_document(&self, document: &PackedBlob) -> Result<(), Fault> {
        match self {
            Self::Remote(remote) => {
                remote.put_manifest(document, &document.descriptor.digest.to_string()).await
            }
            Self::Layout(layout) => layout.put_blob(document).await,
        }
    }

    /// Makes `name` lead to a document that is stored.
    pub(crate) async fn put_name(&self, document: &PackedBlob, name: &str) -> Result<(), Fault> {
        match self {
            Self::Remote(remote) => remote.put_manifest(document, name).await,
            Self::Layout(layout) => layout.put_name(&document.descriptor, name).await,
        }
    }
}

/// Whether `bytes` are what was promised.
pub(crate) fn verified(bytes: &[u8], expected: &Digest, what: &'static str) -> Result<(), Fault> {
    if Digest::of(bytes) == *expected { Ok(()) } else { Err(Fault::Mismatch { what, expected: *expected }) }
}
