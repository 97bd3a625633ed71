//! Names: of modules, files in a bay, objects, labels and ports.
//!
//! Owns how each is composed and parsed, so that writer and reader cannot differ. Knows no API and no file system.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Digest;

/// Which module an entry is for: `<namespace>.<name>` in file names, `namespace/name` for people.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EntryKey {
    /// The namespace of the HandlerModule; `local` for drop-ins.
    pub namespace: String,
    /// The name of the HandlerModule, or the stem of a drop-in.
    pub name: String,
}

/// A pool, written `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolRef {
    /// The pool's namespace.
    pub namespace: String,
    /// The pool's name.
    pub name: String,
}

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a DNS label.
    #[error(
        "{0:?} is not a name; use at most 63 lower-case letters, digits and dashes, with no dash at an end"
    )]
    Label(String),
    /// Not `namespace/name`.
    #[error("{0:?} does not name a pool; write namespace/name")]
    Pool(String),
}

impl EntryKey {
    /// A key of two DNS labels. Names of drop-ins follow the same rule.
    ///
    /// # Errors
    /// When either is not a DNS label: file and object names would be ambiguous.
    pub fn new(namespace: &str, name: &str) -> Result<Self, NameError> {
        for label in [namespace, name] {
            if !is_dns_label(label) {
                return Err(NameError::Label(label.chars().take(80).collect()));
            }
        }
        Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
    }

    /// The name of this entry's file in a bay.
    pub fn file_name(&self) -> String {
        format!("{}.{}{}", self.namespace, self.name, ENTRY_SUFFIX)
    }

    /// The key whose entry file is called `file_name`; `None` if that is no entry's name.
    pub fn from_file_name(file_name: &str) -> Option<Self> {
        // Neither part can hold a dot, so the first dot parts them.
        let (namespace, name) = file_name.strip_suffix(ENTRY_SUFFIX)?.split_once('.')?;
        Self::new(namespace, name).ok()
    }
}

impl fmt::Display for EntryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl fmt::Display for PoolRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl FromStr for PoolRef {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.split_once('/') {
            Some((namespace, name)) if is_dns_label(namespace) && is_dns_label(name) => {
                Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
            }
            _ => Err(NameError::Pool(text.chars().take(140).collect())),
        }
    }
}

/// Labels and annotations on Kubernetes objects.
pub mod labels {
    /// The pool that an entry, blob or pod belongs to.
    pub const POOL: &str = "hotbay.dev/pool";
    /// What a ConfigMap holds: [`KIND_ENTRY`] or [`KIND_BLOB`].
    pub const KIND: &str = "hotbay.dev/kind";
    /// [`KIND`] of an entry's ConfigMap.
    pub const KIND_ENTRY: &str = "entry";
    /// [`KIND`] of a blob's ConfigMap.
    pub const KIND_BLOB: &str = "blob";
    /// The UID of the HandlerModule that an entry was made from.
    pub const MODULE_UID: &str = "hotbay.dev/module-uid";
    /// On a HandlerModule: asks for a look-up now, as Flux's `reconcile.fluxcd.io/requestedAt` does.
    pub const RECONCILE_REQUESTED_AT: &str = "hotbay.dev/reconcile-requested-at";
    /// On a RuntimePool: lets the operator remove more orphaned entries at once than it would by itself.
    pub const ALLOW_SWEEP: &str = "hotbay.dev/allow-sweep";
}

/// How the name of an entry's file ends.
pub const ENTRY_SUFFIX: &str = ".module.json";
/// How the name of a zstd-compressed blob's file ends.
pub const COMPRESSED_SUFFIX: &str = ".zst";
/// How the name of a drop-in ends.
pub const DROP_IN_SUFFIX: &str = ".so";
/// The namespace of drop-ins.
pub const LOCAL_NAMESPACE: &str = "local";
/// The key of the entry in an entry's ConfigMap, and of the compressed blob in a blob's.
pub const CONFIG_MAP_ENTRY_KEY: &str = "entry.json";
/// The key of the compressed blob in a blob's ConfigMap.
pub const CONFIG_MAP_BLOB_KEY: &str = "blob.zst";
/// The symbol that every module exports.
pub const ENTRY_SYMBOL: &str = "hotbay_module_v1";
/// The pool that a module without `runtimeRef` goes to, unless the operator's flag says otherwise.
pub const DEFAULT_POOL: &str = "hotbay/default";
/// Requests.
pub const PORT_RUNTIME: u16 = 8880;
/// The keeper's /healthz and /readyz.
pub const PORT_KEEPER_HEALTH: u16 = 8882;
/// The agent's /healthz and /readyz.
pub const PORT_AGENT: u16 = 8883;
/// The operator's /healthz and /readyz.
pub const PORT_OPERATOR_HEALTH: u16 = 8081;
/// The operator's blob service.
pub const PORT_OPERATOR_BLOBS: u16 = 8082;
/// Whom a token must be for that the blob service takes.
pub const BLOBS_AUDIENCE: &str = "hotbay-blobs";

/// The name of a blob's file in a bay: `sha256-<hex>`.
pub fn blob_file(digest: &Digest) -> String {
    format!("sha256-{}", digest.hex())
}

/// The digest whose blob file is called `file_name`, and whether it is the compressed form.
pub fn parse_blob_file(file_name: &str) -> Option<(Digest, bool)> {
    let hex = file_name.strip_prefix("sha256-")?;
    let (hex, compressed) = match hex.strip_suffix(COMPRESSED_SUFFIX) {
        Some(hex) => (hex, true),
        None => (hex, false),
    };
    Some((format!("sha256:{hex}").parse().ok()?, compressed))
}

/// The path of a blob at the blob service.
pub fn blob_path(digest: &Digest) -> String {
    format!("/blobs/{}", blob_file(digest))
}

/// The digest whose blob has this path at the blob service; `None` if it is no blob's.
pub fn parse_blob_path(path: &str) -> Option<Digest> {
    let (digest, compressed) = parse_blob_file(path.strip_prefix("/blobs/")?)?;
    (!compressed).then_some(digest)
}

/// The name of an entry's ConfigMap: `hm.<pool>.<namespace>.<name>`, at most 194 characters.
pub fn entry_config_map(pool: &str, key: &EntryKey) -> String {
    format!("hm.{pool}.{}.{}", key.namespace, key.name)
}

/// The name of a blob's ConfigMap.
pub fn blob_config_map(digest: &Digest) -> String {
    format!("blob.sha256-{}", digest.hex())
}

/// Whether `text` is an RFC 1123 label: 1 to 63 of `a-z`, `0-9` and `-`, no dash at an end.
pub fn is_dns_label(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 63
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_file_names_parse_back() {
        let key = EntryKey::new("shop", "hello-2").unwrap();
        assert_eq!(key.file_name(), "shop.hello-2.module.json");
        assert_eq!(EntryKey::from_file_name(&key.file_name()), Some(key));
        for other in ["hello.module.json", "a.b.c.module.json", "Shop.hello.module.json", "shop.hello.json"] {
            assert_eq!(EntryKey::from_file_name(other), None, "{other}");
        }
    }

    #[test]
    fn blob_file_names_parse_back() {
        let digest = Digest::of(b"x");
        let name = blob_file(&digest);
        assert_eq!(parse_blob_file(&name), Some((digest, false)));
        assert_eq!(parse_blob_file(&format!("{name}.zst")), Some((digest, true)));
        assert_eq!(parse_blob_file("sha256-00"), None);
        assert_eq!(parse_blob_path(&blob_path(&digest)), Some(digest));
        assert_eq!(parse_blob_path(&format!("{}.zst", blob_path(&digest))), None);
        assert_eq!(parse_blob_path(&format!("/{name}")), None);
    }

    #[test]
    fn pools_are_namespace_and_name() {
        assert_eq!("hotbay/default".parse::<PoolRef>().unwrap().to_string(), "hotbay/default");
        assert!("default".parse::<PoolRef>().is_err());
        assert!("a/b/c".parse::<PoolRef>().is_err());
    }
}
