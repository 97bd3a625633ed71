//! The two forms in which a registry holds a module, written and read.
//!
//! Owns both: an *artifact* with one raw layer, as `oras push` makes, and an *image* with one tar layer that holds `/module.so`, as `FROM
//! scratch` and `COPY` make; and the index of several platforms. What we write is deterministic, so that pushing the same module twice
//! changes no digest. What we read is hostile. Must not do I/O: `hotbay-registry` moves the bytes and checks their digests.

mod document;
mod pack;
mod unpack;

pub use document::{Annotations, Descriptor, Document, ImageIndex, ImageManifest, OciPlatform};
pub use pack::{Form, PackedBlob, PackedModule, pack, pack_index};
pub use unpack::unpack;

/// Media types that we write, and those of Docker that we read too.
pub mod media_type {
    /// A manifest.
    pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// An index of manifests.
    pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// A manifest, in Docker's form.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// An index, in Docker's form.
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// The config of an artifact: nothing. GitLab's registry refuses config types that it does not know, and knows this one.
    pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
    /// The config of an image.
    pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// The layer of an image.
    pub const OCI_TAR_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// What an artifact is, for those who list a registry.
    pub const MODULE: &str = "application/vnd.hotbay.module.v1";
    /// The layer of an artifact: the shared object itself.
    pub const MODULE_LAYER: &str = "application/vnd.hotbay.module.layer.v1.so";
    /// What can be read, as an Accept header.
    pub const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
        application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";
}

/// Annotations that we write.
pub mod annotation {
    /// A layer's file name.
    pub const TITLE: &str = "org.opencontainers.image.title";
    /// The module's version.
    pub const VERSION: &str = "org.opencontainers.image.version";
    /// The tag of a manifest in an image layout.
    pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
    /// Which libc a manifest in an index is for: OCI's platform has no word for it.
    pub const LIBC: &str = "dev.hotbay.libc";
}

/// Why bytes are not one of the two forms, or cannot become one.
#[derive(Debug, thiserror::Error)]
pub enum OciError {
    /// Not a manifest nor an index.
    #[error("it is not a valid OCI manifest")]
    Malformed(#[source] serde_json::Error),
    /// A media type that names neither.
    #[error("it is {0:?}, not an OCI manifest or index")]
    MediaType(String),
    /// The same bytes could be read as something else (CVE-2021-41190).
    #[error("it is ambiguous: {0}")]
    Ambiguous(&'static str),
    /// Not one layer.
    #[error("it has {0} layers; push the .so alone, or build FROM scratch with one COPY hello.so /module.so")]
    Layers(usize),
    /// An index of nothing that we could run.
    #[error("its index names no manifest for linux; push a build for linux")]
    NoPlatform,
    /// An index of very much.
    #[error("its index names {0} manifests for linux and at most {1} are read")]
    ManyPlatforms(usize, usize),
    /// The layer holds something else.
    #[error(
        "its layer is neither an ELF file nor a tar archive with /module.so; build a shared object (in Rust a cdylib), and push \
         it with hotbay push"
    )]
    NotElf,
    /// The archive has more, less or other than one regular file.
    #[error(
        "its layer is not an archive of the one regular file /module.so: {0}; build FROM scratch with one COPY hello.so /module.so"
    )]
    Archive(String),
    /// The archive or its compression is broken.
    #[error("its layer cannot be unpacked")]
    Unpack(#[source] std::io::Error),
    /// Uncompressed.
    #[error("the module is larger than {0} bytes")]
    TooLarge(u64),
    /// Packing failed.
    #[error("failed to pack the module")]
    Pack(#[source] std::io::Error),
}
