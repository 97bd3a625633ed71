//! What an entry's ConfigMap says.
//!
//! Owns how the ConfigMap's name, content and resourceVersion become an entry of the bay. An entry that cannot be read is still one: the
//! bay keeps what it has of it, and the report says why.

use std::sync::Arc;

use hotbay_api::names::{self, CONFIG_MAP_ENTRY_KEY};
use hotbay_api::{Entry, EntryError, EntryKey, Reason, Trouble};
use k8s_openapi::api::core::v1::ConfigMap;

/// An entry as the cluster has it now.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wanted {
    /// The ConfigMap's resourceVersion.
    pub sequence: u64,
    /// The entry, with that sequence, or why it cannot be read.
    pub entry: Result<Arc<Entry>, Trouble>,
}

/// The module that the ConfigMap is about; `None` if its name is not that of an entry of `pool`.
pub(super) fn key_of(pool: &str, config_map: &ConfigMap) -> Option<EntryKey> {
    let name = config_map.metadata.name.as_deref()?;
    let (namespace, module) =
        name.strip_prefix("hm.")?.strip_prefix(pool)?.strip_prefix('.')?.split_once('.')?;
    let key = EntryKey::new(namespace, module).ok()?;
    (names::entry_config_map(pool, &key) == name).then_some(key)
}

/// Reads the entry of `key`.
pub(super) fn read(key: &EntryKey, config_map: &ConfigMap) -> Wanted {
    let version = config_map.metadata.resource_version.as_deref().unwrap_or_default();
    match version.parse() {
        Ok(sequence) => Wanted { sequence, entry: parse(key, sequence, config_map) },
        Err(_) => {
            let message = format!("its ConfigMap's resourceVersion {version:?} is not a number");
            Wanted { sequence: 0, entry: Err(Trouble { reason: Reason::ManifestInvalid, message }) }
        }
    }
}

fn parse(key: &EntryKey, sequence: u64, config_map: &ConfigMap) -> Result<Arc<Entry>, Trouble> {
    let json = config_map.data.as_ref().and_then(|data| data.get(CONFIG_MAP_ENTRY_KEY));
    let Some(json) = json else {
        let message = format!("its ConfigMap has no {CONFIG_MAP_ENTRY_KEY}");
        return Err(Trouble { reason: Reason::ManifestInvalid, message });
    };
    let parsed = Entry::parse(json.as_bytes()).and_then(|entry| match entry.key() == *key {
        true => Ok(entry),
        false => Err(EntryError::OtherModule(entry.key().to_string())),
    });
    match parsed {
        Ok(entry) => Ok(Arc::new(Entry { sequence: Some(sequence), ..entry })),
        Err(error) => {
            let reason = match error {
                EntryError::Version(_) => Reason::EntryVersion,
                _ => Reason::ManifestInvalid,
            };
            Err(Trouble { reason, message: message_of(&error) })
        }
    }
}

fn message_of(error: &EntryError) -> String {
    match error {
        EntryError::Malformed(why) => format!("{error}: {why}"),
        _ => error.to_string(),
    }
}
