//! From a module to the documents and blobs that a registry stores.
//!
//! Owns both forms and the index. The same input gives the same bytes, whatever the clock and the machine.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::{Compression, GzBuilder};
use hotbay_api::{Digest, Platform};
use serde::Serialize;

use super::unpack::MODULE_FILE;
use super::{
    Annotations, Descriptor, ImageIndex, ImageManifest, OciError, OciPlatform, annotation, media_type,
};

/// Which of the two forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Form {
    /// One raw layer. Nothing is unpacked and the layer's digest is the module's: the default.
    #[default]
    Artifact,
    /// One tar+gzip layer with /module.so, for registries and tools that know images only.
    Image,
}

/// A document or layer, ready to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedBlob {
    /// Which bytes.
    pub descriptor: Descriptor,
    /// The bytes.
    pub bytes: Bytes,
}

/// A module, ready to be stored: blobs first, then the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedModule {
    /// Config and layer.
    pub blobs: Vec<PackedBlob>,
    /// The manifest.
    pub manifest: PackedBlob,
}

/// Packs a module. `title` is the layer's file name, as `oras pull` would write it.
///
/// # Errors
/// Never, in practice: memory is written to.
pub fn pack(
    module: &Bytes,
    platform: &Platform,
    form: Form,
    title: &str,
    annotations: &Annotations,
) -> Result<PackedModule, OciError> {
    let (config, mut layer) = match form {
        Form::Artifact => artifact(module),
        Form::Image => image(module, platform)?,
    };
    layer.descriptor.annotations = Some([(annotation::TITLE.to_owned(), title.to_owned())].into());
    let manifest = ImageManifest {
        schema_version: 2,
        media_type: Some(media_type::OCI_MANIFEST.to_owned()),
        artifact_type: (form == Form::Artifact).then(|| media_type::MODULE.to_owned()),
        config: config.descriptor.clone(),
        layers: vec![layer.descriptor.clone()],
        annotations: (!annotations.is_empty()).then(|| annotations.clone()),
    };
    Ok(PackedModule { blobs: vec![config, layer], manifest: document(media_type::OCI_MANIFEST, &manifest)? })
}

/// Packs the index of manifests that were packed for these platforms, in this order.
///
/// # Errors
/// Never, in practice: memory is written to.
pub fn pack_index(
    builds: &[(Platform, Descriptor)],
    annotations: &Annotations,
) -> Result<PackedBlob, OciError> {
    let manifests = builds.iter().map(|(platform, descriptor)| Descriptor {
        platform: Some(OciPlatform { os: platform.os.clone(), architecture: platform.arch.clone() }),
        annotations: platform.libc.clone().map(|libc| [(annotation::LIBC.to_owned(), libc)].into()),
        ..descriptor.clone()
    });
    let index = ImageIndex {
        schema_version: 2,
        media_type: Some(media_type::OCI_INDEX.to_owned()),
        artifact_type: None,
        manifests: manifests.collect(),
        annotations: (!annotations.is_empty()).then(|| annotations.clone()),
    };
    document(media_type::OCI_INDEX, &index)
}

fn artifact(module: &Bytes) -> (PackedBlob, PackedBlob) {
    let config = blob(media_type::EMPTY, Bytes::from_static(b"{}"));
    (config, blob(media_type::MODULE_LAYER, module.clone()))
}

fn image(module: &Bytes, platform: &Platform) -> Result<(PackedBlob, PackedBlob), OciError> {
    #[derive(Serialize)]
    struct Config<'a> {
        architecture: &'a str,
        os: &'a str,
        config: Annotations,
        rootfs: RootFs,
    }
    #[derive(Serialize)]
    struct RootFs {
        #[serde(rename = "type")]
        kind: &'static str,
        diff_ids: [Digest; 1],
    }
    let archive = archive(module).map_err(OciError::Pack)?;
    let rootfs = RootFs { kind: "layers", diff_ids: [Digest::of(&archive)] };
    let config =
        Config { architecture: &platform.arch, os: &platform.os, config: Annotations::new(), rootfs };
    let layer = gzip(&archive).map_err(OciError::Pack)?;
    Ok((document(media_type::OCI_CONFIG, &config)?, blob(media_type::OCI_TAR_GZIP, layer.into())))
}

fn archive(module: &[u8]) -> io::Result<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_size(module.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_data(&mut header, MODULE_FILE, module)?;
    builder.into_inner()
}

/// The header's operating system is set, because zlib writes that of the machine.
fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    const UNKNOWN_SYSTEM: u8 = 255;
    let mut encoder =
        GzBuilder::new().mtime(0).operating_system(UNKNOWN_SYSTEM).write(Vec::new(), Compression::new(6));
    encoder.write_all(bytes)?;
    encoder.finish()
}

fn document(media_type: &str, value: &impl Serialize) -> Result<PackedBlob, OciError> {
    let json = serde_json::to_vec(value).map_err(|error| OciError::Pack(error.into()))?;
    Ok(blob(media_type, json.into()))
}

fn blob(media_type: &str, bytes: Bytes) -> PackedBlob {
    PackedBlob { descriptor: Descriptor::of(media_type, &bytes), bytes }
}
