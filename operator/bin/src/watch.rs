//! Watches: what the API server says, as events for the index.
//!
//! Owns how each kind is watched and reduced. A watch that fails backs off and starts again by itself; an object that cannot be read is
//! named in a warning and otherwise left as it was, until it is deleted. Must not decide.

use std::sync::Arc;

use futures::{Stream, StreamExt, TryStreamExt};
use hotbay_api::names::labels;
use hotbay_api::{HandlerModule, RuntimePool, RuntimeReport, chain};
use hotbay_watch::patient;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, ObjectMeta, PartialObjectMeta};
use kube::core::DeserializeGuard;
use kube::runtime::watcher::{self, Config, watcher};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use crate::index::{Change, Event};
use crate::metrics::Metrics;
use crate::objects::{ReadyPods, StoredBlob, StoredEntry};
use crate::write::is_made_here;

/// Where events go, and where what a watch does is counted.
#[derive(Clone)]
pub struct Events {
    /// To the index.
    pub queue: mpsc::Sender<Event>,
    /// See there.
    pub metrics: Arc<Metrics>,
}

/// Watches every HandlerModule.
pub async fn modules(client: Client, events: Events) {
    let stream = guarded::<HandlerModule>(Api::all(client), Config::default());
    forward("HandlerModules", stream, events, without_history, Event::Module, |_| None).await;
}

/// Watches every RuntimePool.
pub async fn pools(client: Client, events: Events) {
    let stream = guarded::<RuntimePool>(Api::all(client), Config::default());
    forward("RuntimePools", stream, events, without_history, Event::Pool, |_| None).await;
}

/// Watches every RuntimeReport.
pub async fn reports(client: Client, events: Events) {
    let stream = guarded::<RuntimeReport>(Api::all(client), Config::default());
    forward("RuntimeReports", stream, events, without_history, Event::Report, |_| None).await;
}

/// Watches every namespace's metadata.
pub async fn namespaces(client: Client, events: Events) {
    let stream =
        watcher(Api::<PartialObjectMeta<Namespace>>::all(client), Config::default()).map_ok(readable);
    let read = |namespace: PartialObjectMeta<Namespace>| Some(namespace.metadata);
    forward("Namespaces", stream, events, read, Event::Namespace, |_| None).await;
}

/// Watches the entries in one namespace.
pub async fn entries(client: Client, namespace: String, events: Events) {
    let selector = format!("{}={}", labels::KIND, labels::KIND_ENTRY);
    let stream =
        guarded::<ConfigMap>(Api::namespaced(client, &namespace), Config::default().labels(&selector));
    let event = |change| Event::Entry(namespace.clone(), change);
    let failed = failed("ConfigMaps (entries)", &namespace);
    forward("entries", stream, events, |map| StoredEntry::read(&map), event, failed).await;
}

/// Watches the metadata of the blobs in one namespace: their bytes may fill the pool's budget many times over. One that somebody else made
/// is as good as none, since nobody here knows its bytes: the index has it made, and that replaces it.
pub async fn blobs(client: Client, namespace: String, events: Events) {
    let selector = format!("{}={}", labels::KIND, labels::KIND_BLOB);
    let api = Api::<PartialObjectMeta<ConfigMap>>::namespaced(client, &namespace);
    let stream = watcher(api, Config::default().labels(&selector)).map_ok(readable);
    let event = |change| Event::Blob(namespace.clone(), change);
    let read = |map: PartialObjectMeta<ConfigMap>| known_blob(&map.metadata);
    forward("blobs", stream, events, read, event, failed("ConfigMaps (blobs)", &namespace)).await;
}

fn known_blob(meta: &ObjectMeta) -> Option<StoredBlob> {
    StoredBlob::read(meta).filter(|_| is_made_here(meta))
}

/// Watches the EndpointSlices in one namespace.
pub async fn slices(client: Client, namespace: String, events: Events) {
    let stream = guarded::<EndpointSlice>(Api::namespaced(client, &namespace), Config::default());
    let event = |change| Event::Slice(namespace.clone(), change);
    let failed = failed("EndpointSlices", &namespace);
    forward("EndpointSlices", stream, events, |slice| ReadyPods::read(&slice), event, failed).await;
}

/// What the index hears of a failed watch in a pool's namespace: there a Role may be missing, which its owner must be told.
fn failed(what: &'static str, namespace: &str) -> impl Fn(String) -> Option<Event> {
    move |why| Some(Event::Unreadable(namespace.to_owned(), what, why))
}

/// An object, or the metadata of one that cannot be read.
type Guarded<K> = Result<K, Box<ObjectMeta>>;

fn guarded<K>(
    api: Api<DeserializeGuard<K>>,
    config: Config,
) -> impl Stream<Item = watcher::Result<watcher::Event<Guarded<K>>>>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
{
    watcher(api, config).map_ok(|event| {
        map_event(event, |DeserializeGuard(object)| {
            object.map_err(|invalid| {
                let (namespace, name) = (invalid.metadata.namespace.as_deref(), invalid.metadata.name.as_deref());
                let kind = K::kind(&());
                tracing::warn!(%kind, namespace, name, error = invalid.error, "an object cannot be read and is left as it was");
                Box::new(invalid.metadata)
            })
        })
    })
}

fn readable<K>(event: watcher::Event<K>) -> watcher::Event<Guarded<K>> {
    map_event(event, Ok)
}

fn map_event<A, B>(event: watcher::Event<A>, map: impl FnOnce(A) -> B) -> watcher::Event<B> {
    match event {
        watcher::Event::Apply(object) => watcher::Event::Apply(map(object)),
        watcher::Event::Delete(object) => watcher::Event::Delete(map(object)),
        watcher::Event::Init => watcher::Event::Init,
        watcher::Event::InitApply(object) => watcher::Event::InitApply(map(object)),
        watcher::Event::InitDone => watcher::Event::InitDone,
    }
}

/// Who changed which field when is a third of an object, and nobody here asks.
fn without_history<K: Resource>(mut object: K) -> Option<K> {
    object.meta_mut().managed_fields = None;
    Some(object)
}

/// Hands on what `read` makes of each object, until nobody listens. Ends in no other way.
async fn forward<K, T>(
    what: &'static str,
    stream: impl Stream<Item = watcher::Result<watcher::Event<Guarded<K>>>>,
    events: Events,
    read: impl Fn(K) -> Option<T>,
    event: impl Fn(Change<T>) -> Event,
    failed: impl Fn(String) -> Option<Event>,
) {
    let mut stream = std::pin::pin!(patient(stream));
    while let Some(next) = stream.next().await {
        let told = match next {
            Ok(next) => {
                if matches!(next, watcher::Event::Init) {
                    events.metrics.listed(what);
                }
                change(next, &read).map(&event)
            }
            Err(error) => {
                events.metrics.watch_failed(what);
                let why = chain(&error);
                tracing::warn!(what, error = why, "a watch failed; it starts again after a pause");
                failed(why)
            }
        };
        if let Some(told) = told
            && events.queue.send(told).await.is_err()
        {
            return;
        }
    }
}

fn change<K, T>(event: watcher::Event<Guarded<K>>, read: &impl Fn(K) -> Option<T>) -> Option<Change<T>> {
    match event {
        watcher::Event::Init => Some(Change::Restarted),
        watcher::Event::InitDone => Some(Change::Complete),
        watcher::Event::InitApply(Ok(object)) => read(object).map(Change::Listed),
        watcher::Event::Apply(Ok(object)) => read(object).map(Change::Applied),
        watcher::Event::Delete(Ok(object)) => read(object).map(Change::Deleted),
        watcher::Event::InitApply(Err(meta)) => {
            Some(Change::Unreadable(meta.namespace.unwrap_or_default(), meta.name?))
        }
        watcher::Event::Delete(Err(meta)) => Some(Change::DeletedUnreadable(meta)),
        watcher::Event::Apply(Err(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use hotbay_api::{Digest, names};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;

    use super::*;

    #[test]
    fn an_object_that_cannot_be_read_is_left_as_it_was_until_it_is_deleted() {
        let meta = || ObjectMeta { name: Some("hello".into()), ..ObjectMeta::default() };
        let told = |event| change(event, &|module: ObjectMeta| Some(module));
        assert!(told(watcher::Event::Apply(Err(Box::new(meta())))).is_none());
        let deleted = told(watcher::Event::Delete(Err(Box::new(meta()))));
        assert!(matches!(deleted, Some(Change::DeletedUnreadable(told)) if *told == meta()));
    }

    #[test]
    fn a_blob_that_somebody_else_made_is_none() {
        let made_by = |manager: &str| ObjectMeta {
            name: Some(names::blob_config_map(&Digest::of(b"blob"))),
            namespace: Some("hotbay".into()),
            uid: Some("uid".into()),
            managed_fields: Some(vec![ManagedFieldsEntry {
                manager: Some(manager.into()),
                ..ManagedFieldsEntry::default()
            }]),
            ..ObjectMeta::default()
        };
        assert_eq!(known_blob(&made_by("hotbay-operator")).unwrap().digest, Digest::of(b"blob"));
        assert_eq!(known_blob(&made_by("kubectl-create")), None);
        let untold = ObjectMeta { managed_fields: None, ..made_by("") };
        assert!(known_blob(&untold).is_some(), "who does not say who made it says nothing against it");
    }
}
