//! An OCI image layout: a registry in a folder.
//!
//! Owns its files: `oci-layout`, `index.json` and `blobs/sha256/`. Blobs are written under a temporary name and renamed, the index last, so
//! that a reader sees all of a push or nothing. Two pushes at the same time are not supported: the later index wins.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use hotbay_api::Digest;
use hotbay_artifact::oci::{
    Annotations, Descriptor, Document, ImageIndex, PackedBlob, annotation, media_type,
};
use serde::Deserialize;
use tokio::io::AsyncReadExt;

use crate::fault::Fault;
use crate::reference::Selector;
use crate::store::{MAX_MANIFEST_BYTES, Served};

const LAYOUT_FILE: &str = "oci-layout";
const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
const INDEX_FILE: &str = "index.json";
/// It names all that was ever pushed.
const MAX_INDEX_BYTES: u64 = 4 * 1024 * 1024;

/// A layout on disk.
pub(crate) struct Layout {
    pub(crate) folder: PathBuf,
}

impl Layout {
    /// What a name, or no name if there is one artifact only, leads to.
    pub(crate) async fn descriptor(&self, selector: Option<&Selector>) -> Result<Descriptor, Fault> {
        let index = self.index().await?.ok_or(Fault::NotFound)?;
        let wanted = |descriptor: &&Descriptor| match selector {
            None => true,
            Some(Selector::Digest(digest)) => descriptor.digest == *digest,
            Some(Selector::Tag(name)) => descriptor.annotation(annotation::REF_NAME) == Some(name),
        };
        let mut found = index.manifests.iter().filter(wanted);
        let first = found.next().ok_or(Fault::NotFound)?;
        if selector.is_none() && found.next().is_some() {
            return Err(Fault::Invalid(
                "the layout holds several artifacts; add :NAME or @DIGEST".to_owned(),
            ));
        }
        Ok(first.clone())
    }

    pub(crate) async fn manifest(&self, descriptor: &Descriptor) -> Result<Served, Fault> {
        let bytes = read(&self.blob_path(&descriptor.digest), "the manifest", MAX_MANIFEST_BYTES).await?;
        Ok(Served { media_type: descriptor.media_type.clone(), bytes: bytes.ok_or(Fault::NotFound)? })
    }

    /// A manifest or index by its digest alone, also one that a later push took the name from: then its own word for its media type is the
    /// only one there is.
    pub(crate) async fn top(&self, digest: &Digest) -> Result<Served, Fault> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Own {
            media_type: String,
        }
        match self.descriptor(Some(&Selector::Digest(*digest))).await {
            Ok(descriptor) => return self.manifest(&descriptor).await,
            Err(Fault::NotFound) => {}
            Err(fault) => return Err(fault),
        }
        let bytes = read(&self.blob_path(digest), "the manifest", MAX_MANIFEST_BYTES)
            .await?
            .ok_or(Fault::NotFound)?;
        let Own { media_type } = serde_json::from_slice(&bytes).map_err(|_| Fault::NotFound)?;
        Ok(Served { media_type, bytes })
    }

    pub(crate) async fn blob(&self, descriptor: &Descriptor) -> Result<Bytes, Fault> {
        read(&self.blob_path(&descriptor.digest), "the layer", descriptor.size).await?.ok_or(Fault::NotFound)
    }

    pub(crate) async fn put_blob(&self, blob: &PackedBlob) -> Result<(), Fault> {
        write(&self.blob_path(&blob.descriptor.digest), &blob.bytes).await
    }

    /// Makes `name` lead to `manifest`, and to nothing else.
    pub(crate) async fn put_name(&self, manifest: &Descriptor, name: &str) -> Result<(), Fault> {
        let empty = ImageIndex {
            schema_version: 2,
            media_type: Some(media_type::OCI_INDEX.to_owned()),
            artifact_type: None,
            manifests: Vec::new(),
            annotations: None,
        };
        let mut index = self.index().await?.unwrap_or(empty);
        index.manifests.retain(|descriptor| descriptor.annotation(annotation::REF_NAME) != Some(name));
        let annotations = Annotations::from([(annotation::REF_NAME.to_owned(), name.to_owned())]);
        index.manifests.push(Descriptor { annotations: Some(annotations), ..manifest.clone() });
        let json = serde_json::to_vec(&index).map_err(|error| Fault::Unreachable(error.into()))?;
        write(&self.folder.join(LAYOUT_FILE), LAYOUT).await?;
        write(&self.folder.join(INDEX_FILE), &json).await
    }

    async fn index(&self) -> Result<Option<ImageIndex>, Fault> {
        let bytes = read(&self.folder.join(INDEX_FILE), "the layout's index", MAX_INDEX_BYTES).await?;
        let Some(bytes) = bytes else { return Ok(None) };
        match Document::parse(&bytes, media_type::OCI_INDEX)? {
            Document::Index(index) => Ok(Some(index)),
            Document::Manifest(_) => Err(Fault::NotAModule("its index.json is not an index".to_owned())),
        }
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.folder.join("blobs").join("sha256").join(digest.hex())
    }
}

/// The file's bytes, at most `limit`; `None` if it does not exist.
async fn read(path: &Path, what: &'static str, limit: u64) -> Result<Option<Bytes>, Fault> {
    let file = match tokio::fs::File::open(path).await {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(path, error)),
    };
    let mut bytes = Vec::new();
    let read =
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes).await.map_err(|error| at(path, error))?;
    if read as u64 > limit { Err(Fault::TooLarge { what, limit }) } else { Ok(Some(bytes.into())) }
}

async fn write(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = async {
        if let Some(folder) = path.parent() {
            tokio::fs::create_dir_all(folder).await?;
        }
        tokio::fs::write(&temporary, bytes).await?;
        tokio::fs::rename(&temporary, path).await
    };
    written.await.map_err(|error| at(path, error))
}

fn at(path: &Path, error: io::Error) -> Fault {
    Fault::unreachable(format!("{}: {error}", path.display()))
}
