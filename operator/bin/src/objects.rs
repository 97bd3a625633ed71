//! The Kubernetes objects that the operator reads and writes besides its own resources.
//!
//! Owns their form: names, labels, annotations, keys. Reading one gives the few facts that the index keeps.

use std::collections::BTreeMap;

use hotbay_api::names::{self, CONFIG_MAP_BLOB_KEY, CONFIG_MAP_ENTRY_KEY, labels};
use hotbay_api::{Digest, Entry, EntryKey, PoolRef};
use hotbay_pipeline::InlineBlob;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::ObjectMeta;
use serde::{Deserialize, Serialize};

/// On an entry: the generation of the HandlerModule that it was written for.
pub const GENERATION: &str = "hotbay.dev/generation";
/// On an entry: where its blobs came from, so that the blob service can fetch one again, also for an operator that never saw its module.
pub const ORIGINS: &str = "hotbay.dev/origins";
/// On an entry: the digest of its text, so that a change by hand is known from what an operator wrote.
pub const CONTENT: &str = "hotbay.dev/content";
/// On a blob: its compressed size, so that counting needs no bytes.
pub const COMPRESSED_BYTES: &str = "hotbay.dev/compressed-bytes";
/// On an EndpointSlice: the Service that it belongs to.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// An artifact that holds a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// As the user wrote it: it says which repository to ask.
    pub reference: String,
    /// Of the OCI manifest or index.
    pub artifact: Digest,
    /// Of the blob, if it fits into a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compressed_bytes: Option<u64>,
}

/// The origin of each blob of an entry, as far as it is known.
pub type Origins = BTreeMap<Digest, Origin>;

/// An entry as it is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct EntryDraft {
    /// The pool that it belongs to, in the namespace where it will lie.
    pub pool: PoolRef,
    /// What it says.
    pub entry: Entry,
    /// Of the HandlerModule.
    pub generation: i64,
    /// Of its blobs.
    pub origins: Origins,
}

/// An entry's ConfigMap.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredEntry {
    /// The pool that it belongs to, in the namespace where it lies.
    pub pool: PoolRef,
    /// The module.
    pub key: EntryKey,
    /// Of the ConfigMap.
    pub uid: String,
    /// The ConfigMap's resourceVersion: the entry's sequence.
    pub version: u64,
    /// Of the HandlerModule.
    pub module_uid: String,
    /// Of the HandlerModule.
    pub generation: i64,
    /// What it says; `None` if it cannot be read, and then it is written anew.
    pub entry: Option<Entry>,
    /// Whether it says what an operator wrote: nobody changed it by hand since.
    pub intact: bool,
    /// Whether the label by which agents find it and the digest of its text are on it as an operator writes them. If not it is written
    /// again, though it says the right thing.
    pub marked: bool,
    /// Of its blobs.
    pub origins: Origins,
}

/// A blob's ConfigMap, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBlob {
    /// Where it lies.
    pub namespace: String,
    /// Of the uncompressed bytes.
    pub digest: Digest,
    /// Of the ConfigMap.
    pub uid: String,
    /// The ConfigMap's resourceVersion.
    pub version: u64,
    /// What it takes of the pool's budget.
    pub compressed_bytes: u64,
}

/// An EndpointSlice's ready pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadyPods {
    /// Where it lies.
    pub namespace: String,
    /// Of the slice.
    pub name: String,
    /// The slice's resourceVersion.
    pub version: u64,
    /// The Service that it belongs to.
    pub service: String,
    /// Name and UID of each.
    pub pods: Vec<(String, String)>,
}

/// A resourceVersion as a number, which it is in fact and since Kubernetes 1.35 by contract; 0 if it is none.
pub fn version(meta: &ObjectMeta) -> u64 {
    meta.resource_version.as_deref().and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// The ConfigMap of an entry.
///
/// # Errors
/// When the entry cannot be written as JSON.
pub fn entry_config_map(draft: &EntryDraft) -> serde_json::Result<ConfigMap> {
    let EntryDraft { pool, entry, generation, origins } = draft;
    let origins = serde_json::to_string(origins)?;
    let json = serde_json::to_string(entry)?;
    let content = Digest::of(json.as_bytes()).to_string();
    let labels = [
        (labels::POOL, pool.name.clone()),
        (labels::KIND, labels::KIND_ENTRY.to_owned()),
        (labels::MODULE_UID, entry.id.uid.clone()),
    ];
    let metadata = ObjectMeta {
        name: Some(names::entry_config_map(&pool.name, &entry.key())),
        namespace: Some(pool.namespace.clone()),
        labels: Some(owned(labels)),
        annotations: Some(owned([
            (GENERATION, generation.to_string()),
            (ORIGINS, origins),
            (CONTENT, content),
        ])),
        ..ObjectMeta::default()
    };
    let data = Some(BTreeMap::from([(CONFIG_MAP_ENTRY_KEY.to_owned(), json)]));
    Ok(ConfigMap { metadata, data, ..ConfigMap::default() })
}

/// The ConfigMap of `blob`. Pools of one namespace share it, so it names none.
pub fn blob_config_map(namespace: &str, blob: &InlineBlob) -> ConfigMap {
    let metadata = ObjectMeta {
        name: Some(names::blob_config_map(&blob.digest)),
        namespace: Some(namespace.to_owned()),
        labels: Some(owned([(labels::KIND, labels::KIND_BLOB.to_owned())])),
        annotations: Some(owned([(COMPRESSED_BYTES, blob.compressed.len().to_string())])),
        ..ObjectMeta::default()
    };
    let data = BTreeMap::from([(CONFIG_MAP_BLOB_KEY.to_owned(), ByteString(blob.compressed.to_vec()))]);
    ConfigMap { metadata, binary_data: Some(data), immutable: Some(true), ..ConfigMap::default() }
}

fn owned<const N: usize>(pairs: [(&str, String); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

#[cfg(test)]
impl StoredEntry {
    /// The entry of a module of the namespace `shop` in a pool of the namespace `hotbay`, of which nothing else is known.
    pub fn unread(pool: &str, module: &str) -> Self {
        Self {
            pool: format!("hotbay/{pool}").parse().unwrap(),
            key: EntryKey::new("shop", module).unwrap(),
            uid: String::new(),
            version: 0,
            module_uid: String::new(),
            generation: 0,
            entry: None,
            origins: Origins::new(),
            intact: true,
            marked: true,
        }
    }
}

impl StoredEntry {
    /// Reads an entry's ConfigMap; `None` if its name is not an entry's.
    pub fn read(map: &ConfigMap) -> Option<Self> {
        let meta = &map.metadata;
        // No part can hold a dot, so dots part them.
        let ["hm", pool, namespace, name] = meta.name.as_deref()?.split('.').collect::<Vec<_>>()[..] else {
            return None;
        };
        let json = map.data.as_ref().and_then(|data| data.get(CONFIG_MAP_ENTRY_KEY));
        let label = |name| meta.labels.as_ref().and_then(|all| all.get(name));
        let annotation = |name| meta.annotations.as_ref().and_then(|all| all.get(name));
        let origins = annotation(ORIGINS).and_then(|json| serde_json::from_str(json).ok());
        let noted = annotation(CONTENT);
        let is_as_noted =
            noted.zip(json).is_some_and(|(noted, json)| Digest::of(json.as_bytes()).to_string() == *noted);
        Some(Self {
            pool: PoolRef { namespace: meta.namespace.clone()?, name: pool.to_owned() },
            key: EntryKey::new(namespace, name).ok()?,
            uid: meta.uid.clone()?,
            version: version(meta),
            module_uid: label(labels::MODULE_UID).cloned().unwrap_or_default(),
            generation: annotation(GENERATION).and_then(|text| text.parse().ok()).unwrap_or_default(),
            entry: json.and_then(|json| Entry::parse(json.as_bytes()).ok()),
            // Without a note it was written before contents were noted.
            intact: is_as_noted || noted.is_none(),
            marked: is_as_noted && label(labels::POOL).is_some_and(|label| label == pool),
            origins: origins.unwrap_or_default(),
        })
    }
}

impl StoredBlob {
    /// Reads the metadata of a blob's ConfigMap; `None` if its name is not a blob's.
    pub fn read(meta: &ObjectMeta) -> Option<Self> {
        let file = meta.name.as_deref()?.strip_prefix("blob.")?;
        let (digest, _) = names::parse_blob_file(file)?;
        let bytes = meta.annotations.as_ref().and_then(|all| all.get(COMPRESSED_BYTES));
        Some(Self {
            namespace: meta.namespace.clone()?,
            digest,
            uid: meta.uid.clone()?,
            version: version(meta),
            compressed_bytes: bytes.and_then(|text| text.parse().ok()).unwrap_or_default(),
        })
    }
}

impl ReadyPods {
    /// Reads an EndpointSlice; `None` if it belongs to no Service.
    pub fn read(slice: &EndpointSlice) -> Option<Self> {
        let meta = &slice.metadata;
        let pods = slice.endpoints.iter().flatten().filter_map(|endpoint| {
            // By the API's rule an absent condition means ready.
            let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true);
            let target =
                endpoint.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"))?;
            ready.then(|| Some((target.name.clone()?, target.uid.clone()?)))?
        });
        Some(Self {
            namespace: meta.namespace.clone()?,
            name: meta.name.clone()?,
            version: version(meta),
            service: meta.labels.as_ref()?.get(SERVICE_NAME)?.clone(),
            pods: pods.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> ConfigMap {
        let entry = serde_json::from_value(serde_json::json!({
            "version": 1, "id": {"namespace": "shop", "name": "hello", "uid": "u"}, "created": "", "revisions": [],
        }));
        let draft = EntryDraft {
            pool: "hotbay/default".parse().unwrap(),
            entry: entry.unwrap(),
            generation: 3,
            origins: Origins::new(),
        };
        let mut map = entry_config_map(&draft).unwrap();
        map.metadata.uid = Some("cm".into());
        map
    }

    /// What is read of an entry that was written and then changed like this: intact, marked.
    fn read(change: impl FnOnce(&mut ConfigMap)) -> (bool, bool) {
        let mut map = whole();
        change(&mut map);
        let stored = StoredEntry::read(&map).unwrap();
        (stored.intact, stored.marked)
    }

    fn put(map: &mut Option<BTreeMap<String, String>>, key: &str, value: &str) {
        map.get_or_insert_default().insert(key.to_owned(), value.to_owned());
    }

    #[test]
    fn an_entry_as_it_was_written_is_intact_and_marked() {
        assert_eq!(read(|_| ()), (true, true));
        assert_eq!(read(|map| put(&mut map.metadata.labels, "team", "a")), (true, true), "it is not ours");
    }

    #[test]
    fn an_entry_whose_text_is_another_is_neither() {
        assert_eq!(read(|map| put(&mut map.data, CONFIG_MAP_ENTRY_KEY, "{}")), (false, false));
        assert_eq!(read(|map| map.data = None), (false, false));
    }

    #[test]
    fn an_entry_that_lost_a_mark_is_to_be_written_again() {
        let pool = |map: &mut ConfigMap| put(&mut map.metadata.labels, labels::POOL, "other");
        assert_eq!(read(pool), (true, false), "no agent of its pool sees it");
        let unlabelled = |map: &mut ConfigMap| map.metadata.labels = None;
        assert_eq!(read(unlabelled), (true, false));
        let earlier = |map: &mut ConfigMap| drop(map.metadata.annotations.as_mut().unwrap().remove(CONTENT));
        assert_eq!(read(earlier), (true, false), "an earlier operator noted no content");
    }
}
