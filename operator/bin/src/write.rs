//! Writes: the only code that changes anything in the cluster.
//!
//! Owns how each object is written so that no write can undo another's: what is new is made by POST, what exists is changed by server-side
//! apply with its UID (an entry also with the resourceVersion that the decision was made from), what goes is deleted with both, and an entry
//! only after the API server said itself that its module is gone. Must not decide what to write: the index does.

use std::sync::Arc;
use std::time::Duration;

use hotbay_api::{HandlerModule, PoolRef, RuntimePool, labels};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions};
use kube::{Client, CustomResourceExt, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::index::{Target, Write, Written};
use crate::objects::{EntryDraft, StoredBlob, StoredEntry, blob_config_map, entry_config_map, version};

/// Who owns the fields of entries and blobs.
const OBJECTS_MANAGER: &str = "hotbay-operator";
/// Who owns the fields of statuses.
const STATUS_MANAGER: &str = "hotbay-operator-status";
/// A write that takes longer is given up and tried again: the API server's own limit is a minute, and then it is gone anyway.
const LIMIT: Duration = Duration::from_secs(15);

/// Answers that the same write would have again: a quota, a policy, too large, not well-formed.
const LASTING: [u16; 4] = [400, 403, 413, 422];

/// Why a write failed.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error("the API server refused: {0}")]
    Refused(String),
    #[error("the API server forbids it: {0}")]
    Forbidden(String),
    #[error("the API server cannot be asked")]
    Api(#[source] kube::Error),
    #[error("the entry cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    #[error("no answer within {} s", LIMIT.as_secs())]
    TimedOut,
    #[error("the API server answered with an object that is not what was written")]
    Odd,
}

impl From<kube::Error> for WriteError {
    fn from(error: kube::Error) -> Self {
        match error {
            // Its display repeats the whole answer; the message says it all.
            kube::Error::Api(answer) if LASTING.contains(&answer.code) => Self::Forbidden(answer.message),
            kube::Error::Api(answer) => Self::Refused(answer.message),
            other => Self::Api(other),
        }
    }
}

/// Writes for one operator.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    default_pool: PoolRef,
}

impl Writer {
    /// A writer; `default_pool` is that of modules that name none.
    pub fn new(client: Client, default_pool: PoolRef) -> Self {
        Self { client, default_pool }
    }

    /// Writes, and logs a failure.
    pub async fn write(&self, target: &Target, write: Write) -> Written {
        let result =
            tokio::time::timeout(LIMIT, self.attempt(write)).await.unwrap_or(Err(WriteError::TimedOut));
        result.unwrap_or_else(|error| {
            let cause = std::error::Error::source(&error).map(tracing::field::display);
            tracing::warn!(object = %target, %error, cause, "a write failed; it is tried again after a pause");
            if matches!(error, WriteError::Forbidden(_)) { Written::Refused } else { Written::Failed }
        })
    }

    async fn attempt(&self, write: Write) -> Result<Written, WriteError> {
        match write {
            Write::CreateEntry(draft) => {
                let map = entry_config_map(&draft)?;
                let EntryDraft { pool, entry, .. } = *draft;
                let made = self.make(&pool.namespace, map).await?;
                tracing::info!(module = %entry.key(), revision = revision(&entry), %pool, "entry created");
                StoredEntry::read(&made).map(|entry| Written::Entry(Box::new(entry))).ok_or(WriteError::Odd)
            }
            Write::UpdateEntry(draft, seen) => {
                let mut map = entry_config_map(&draft)?;
                let EntryDraft { pool, entry, .. } = *draft;
                // One that is gone is not made again, and what another operator wrote meanwhile is not undone.
                map.metadata.uid = Some(seen.uid.clone());
                map.metadata.resource_version = Some(seen.version.to_string());
                let name = map.metadata.name.clone().unwrap_or_default();
                let made = self
                    .config_maps(&pool.namespace)
                    .patch(&name, &applying(OBJECTS_MANAGER), &Patch::Apply(&map))
                    .await?;
                tracing::info!(module = %entry.key(), revision = revision(&entry), %pool, "entry updated");
                StoredEntry::read(&made).map(|entry| Written::Entry(Box::new(entry))).ok_or(WriteError::Odd)
            }
            Write::RemoveEntry(stored) => self.remove_entry(stored).await,
            Write::CreateBlob(namespace, blob) => {
                let map = blob_config_map(&namespace, &blob);
                let made = self.make(&namespace, map).await?;
                tracing::info!(digest = %blob.digest, bytes = blob.compressed.len(), "blob stored");
                StoredBlob::read(&made.metadata).map(Written::Blob).ok_or(WriteError::Odd)
            }
            Write::RemoveBlob(stored) => {
                let name = hotbay_api::names::blob_config_map(&stored.digest);
                self.delete(&stored.namespace, &name, &stored.uid, stored.version).await?;
                tracing::info!(digest = %stored.digest, "blob removed, no entry names it");
                Ok(Written::BlobGone(stored))
            }
            Write::ModuleStatus(key, uid, status) => {
                let api = Api::<HandlerModule>::namespaced(self.client.clone(), &key.namespace);
                let written = apply_status(&api, &key.name, &uid, &*status).await?;
                Ok(written.map_or(Written::Vanished(uid), |module| Written::Module(Box::new(module))))
            }
            Write::PoolStatus(pool, uid, status) => {
                let api = Api::<RuntimePool>::namespaced(self.client.clone(), &pool.namespace);
                let written = apply_status(&api, &pool.name, &uid, &status).await?;
                Ok(written.map_or(Written::Vanished(uid), |pool| Written::Pool(Box::new(pool))))
            }
        }
    }

    /// Makes a ConfigMap. One of its name that has lost the label by which it is watched is taken for it: it looks like one that is gone. A
    /// blob of its name that somebody else made is replaced, because nobody here knows its bytes, and they cannot be changed.
    async fn make(&self, namespace: &str, mut map: ConfigMap) -> Result<ConfigMap, WriteError> {
        let maps = self.config_maps(namespace);
        let refusal = match maps.create(&posting(), &map).await {
            Err(kube::Error::Api(answer)) if answer.code == 409 => answer.message,
            made => return Ok(made?),
        };
        let name = map.metadata.name.clone().unwrap_or_default();
        let same_name = ListParams::default().fields(&format!("metadata.name={name}"));
        let mut there = maps.list_metadata(&same_name).await?.items.into_iter().map(|found| found.metadata);
        let found = there.find(|found| found.name == map.metadata.name);
        let kind = |meta: &ObjectMeta| meta.labels.as_ref().and_then(|all| all.get(labels::KIND)).cloned();
        let is_blob = map.binary_data.is_some();
        match found {
            Some(found) if is_blob && !is_made_here(&found) => {
                tracing::warn!(
                    config_map = name,
                    "somebody else made a blob's ConfigMap, whose bytes may be others; it is made anew"
                );
                self.delete(namespace, &name, &found.uid.clone().unwrap_or_default(), version(&found))
                    .await?;
                Ok(maps.create(&posting(), &map).await?)
            }
            Some(found) if kind(&found) != kind(&map.metadata) => {
                tracing::warn!(
                    config_map = name,
                    "somebody took the labels off a ConfigMap of ours, which has them again"
                );
                map.metadata.uid = found.uid;
                map.metadata.resource_version = found.resource_version;
                Ok(maps.patch(&name, &applying(OBJECTS_MANAGER), &Patch::Apply(&map)).await?)
            }
            // Another operator's, or one that the watch has not told of yet.
            _ => Err(WriteError::Refused(refusal)),
        }
    }

    async fn remove_entry(&self, stored: Arc<StoredEntry>) -> Result<Written, WriteError> {
        if !self.is_gone(&stored).await? {
            tracing::debug!(module = %stored.key, "the module is still there, so its entry stays");
            return Ok(Written::EntryKept(stored));
        }
        let name = hotbay_api::names::entry_config_map(&stored.pool.name, &stored.key);
        self.delete(&stored.pool.namespace, &name, &stored.uid, stored.version).await?;
        tracing::info!(module = %stored.key, pool = %stored.pool, "entry removed, its module is gone");
        Ok(Written::EntryGone(stored))
    }

    /// Asks the API server itself whether the entry's module is gone from the pool. Without the resource definition every module seems gone.
    async fn is_gone(&self, stored: &StoredEntry) -> Result<bool, WriteError> {
        let modules = Api::<HandlerModule>::namespaced(self.client.clone(), &stored.key.namespace);
        if let Some(module) = modules.get_opt(&stored.key.name).await? {
            let same = module.metadata.uid.as_deref() == Some(stored.module_uid.as_str());
            return Ok(!same || module.spec.pool(&self.default_pool) != stored.pool);
        }
        let definitions = Api::<CustomResourceDefinition>::all(self.client.clone());
        let definition = definitions.get_opt(HandlerModule::crd_name()).await?;
        let established = definition.as_ref().is_some_and(is_established);
        if !established {
            tracing::warn!(module = %stored.key, "HandlerModules are not established, so no entry is removed");
        }
        Ok(established)
    }

    async fn delete(&self, namespace: &str, name: &str, uid: &str, version: u64) -> Result<(), WriteError> {
        let preconditions =
            Preconditions { uid: Some(uid.to_owned()), resource_version: Some(version.to_string()) };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match self.config_maps(namespace).delete(name, &params).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            result => result.map(drop).map_err(WriteError::from),
        }
    }

    fn config_maps(&self, namespace: &str) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), namespace)
    }
}

/// Applies a status; `None` if the object is gone.
async fn apply_status<K>(
    api: &Api<K>,
    name: &str,
    uid: &str,
    status: &impl Serialize,
) -> Result<Option<K>, WriteError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let object = serde_json::json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {"name": name, "uid": uid},
        "status": status,
    });
    match api.patch_status(name, &applying(STATUS_MANAGER), &Patch::Apply(&object)).await {
        Ok(object) => Ok(Some(object)),
        Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn is_established(definition: &CustomResourceDefinition) -> bool {
    let conditions = definition.status.iter().flat_map(|status| status.conditions.iter().flatten());
    definition.metadata.deletion_timestamp.is_none()
        && conditions
            .into_iter()
            .any(|condition| condition.type_ == "Established" && condition.status == "True")
}

/// Whether an operator made this object, or nobody says who did. Who deletes one and makes another of its name is not its maker.
pub fn is_made_here(meta: &ObjectMeta) -> bool {
    let managers = meta.managed_fields.iter().flatten().filter_map(|fields| fields.manager.as_deref());
    let mut managers = managers.peekable();
    managers.peek().is_none() || managers.any(|manager| manager == OBJECTS_MANAGER)
}

fn revision(entry: &hotbay_api::Entry) -> &str {
    entry.wanted().map_or("", |revision| &revision.revision)
}

fn posting() -> PostParams {
    PostParams { field_manager: Some(OBJECTS_MANAGER.to_owned()), ..PostParams::default() }
}

/// The operator owns what it writes: another's change of it is undone.
fn applying(manager: &str) -> PatchParams {
    PatchParams::apply(manager).force()
}

#[cfg(test)]
mod tests;
