//! A test's own place in the cluster: a namespace, and routes and a repository that carry its name.
//!
//! Owns its beginning and end. However a test ends, the namespace goes and with it every entry; a test that fails tells its story first. Tests
//! run beside each other unless one says that it must be alone, because it ends engines or measures.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures::FutureExt;
use hotbay_api::names::{entry_config_map, labels};
use hotbay_api::{
    Condition, ConditionStatus, Digest, Entry, EntryKey, HandlerModule, Platform, Reason, RuntimeReport,
    condition,
};
use hotbay_artifact::oci::Form;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::sync::RwLock;

use super::pods::RuntimePod;
use super::{Cluster, POOL, POOL_NAMESPACE, registry};
use crate::wait::wait_for;

/// Who tests are to the API server.
const MANAGER: &str = "hotbay-e2e";
/// Shared by tests that run beside each other.
static TURN: RwLock<()> = RwLock::const_new(());

/// A test's own place.
pub struct Scene {
    /// Where it is.
    pub cluster: Cluster,
    /// Its namespace.
    pub namespace: String,
    /// The pool's pods.
    pub pods: Vec<RuntimePod>,
    /// Pods, by UID, whose runtime container the test has ended, or which it has deleted.
    ended: Mutex<BTreeSet<String>>,
}

/// Plays a test beside others.
pub async fn scene(name: &str, test: impl AsyncFnOnce(&Scene)) {
    let _turn = TURN.read().await;
    play(name, test).await;
}

/// Plays a test while no other one runs in this program.
pub async fn scene_alone(name: &str, test: impl AsyncFnOnce(&Scene)) {
    let _turn = TURN.write().await;
    play(name, test).await;
}

async fn play(name: &str, test: impl AsyncFnOnce(&Scene)) {
    let scene = Scene::open(name).await;
    let mut outcome = AssertUnwindSafe(test(&scene)).catch_unwind().await;
    if outcome.is_ok() {
        outcome = AssertUnwindSafe(scene.pods_are_unharmed()).catch_unwind().await;
    }
    if outcome.is_err() {
        eprintln!("{}", scene.story().await);
    }
    scene.close().await;
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

impl Scene {
    async fn open(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let cluster = Cluster::connect().await;
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("e2e-{name}-{}-{number}", seconds % 1_000_000);
        let object: Namespace =
            serde_json::from_value(json!({"metadata": {"name": namespace}})).expect("it is a namespace");
        let namespaces = Api::all(cluster.client.clone());
        namespaces.create(&PostParams::default(), &object).await.expect("a namespace can be made");
        let pods = cluster.runtime_pods().await;
        Self { cluster, namespace, pods, ended: Mutex::default() }
    }

    /// Ends the test's namespace, and waits until none of its modules is left in the pool.
    pub async fn close(&self) {
        let namespaces = Api::<Namespace>::all(self.cluster.client.clone());
        let modules = Api::<HandlerModule>::namespaced(self.cluster.client.clone(), &self.namespace);
        // Deleted by name of their kind as well: after an outage Kubernetes' own controllers may leave a namespace's contents alone for minutes.
        drop(modules.delete_collection(&DeleteParams::default(), &ListParams::default()).await);
        // The test may have ended it itself.
        drop(namespaces.delete(&self.namespace, &DeleteParams::default()).await);
        wait_for("the entries of the test's modules are gone", async || match &self.entry_maps().await[..] {
            [] => Ok(()),
            left => Err(format!("{:?}", left.iter().map(|map| &map.metadata.name).collect::<Vec<_>>())),
        })
        .await;
    }

    /// The test is about to delete this pod, or to end its runtime container; nothing else may cost a pod.
    pub async fn ends(&self, pod: &RuntimePod) {
        self.cluster.excuse(pod).await;
        self.ended.lock().expect("nobody panics in there").insert(pod.uid.clone());
    }

    /// No test costs a pod or a runtime container, but those that it has ended itself.
    async fn pods_are_unharmed(&self) {
        let ended = self.ended.lock().expect("nobody panics in there").clone();
        let now = self.cluster.runtime_pods().await;
        let restarts_of = |pod: &RuntimePod| {
            let same = now.iter().find(|other| other.uid == pod.uid);
            same.map(|same| same.restarts)
        };
        for pod in self.pods.iter().filter(|pod| !ended.contains(&pod.uid)) {
            let (name, now) = (&pod.name, restarts_of(pod));
            assert_eq!(now, Some(pod.restarts), "restarts of {name}: it is not replaced nor started again");
        }
    }

    /// A path that no other test serves.
    pub fn path(&self) -> String {
        format!("/{}", self.namespace)
    }

    /// The reference of what [`Self::push`] stores under `name`.
    pub fn reference(&self, name: &str) -> String {
        format!("{}/e2e/{}/{name}", registry::NAME, self.namespace)
    }

    /// Stores a module under a name such as `hello:1.0`.
    pub async fn push(&self, name: &str, file: &Path) -> Digest {
        let bytes = Bytes::from(std::fs::read(file).expect("the module can be read"));
        self.push_builds(name, &[(Platform::current(), bytes)]).await
    }

    /// Stores a module's builds.
    pub async fn push_builds(&self, name: &str, builds: &[(Platform, Bytes)]) -> Digest {
        self.cluster.push(&format!("e2e/{}/{name}", self.namespace), builds, Form::Artifact).await
    }

    /// The spec of a module that serves what was pushed as `name` on the test's path.
    pub fn spec(&self, name: &str) -> Value {
        json!({"source": {"oci": {"reference": self.reference(name)}}, "routes": [{"path": self.path()}]})
    }

    /// The HandlerModules of the test.
    pub fn modules(&self) -> Api<HandlerModule> {
        self.cluster.api(&self.namespace)
    }

    /// Makes a module, or makes its spec this one.
    pub async fn apply(&self, name: &str, spec: Value) -> HandlerModule {
        let module = json!({
            "apiVersion": "hotbay.dev/v1alpha1", "kind": "HandlerModule",
            "metadata": {"name": name, "namespace": self.namespace}, "spec": spec,
        });
        let params = PatchParams::apply(MANAGER).force();
        self.modules()
            .patch(name, &params, &Patch::Apply(module))
            .await
            .expect("the API server takes the module")
    }

    /// Changes a part of a module, as `kubectl patch --type=merge` does.
    pub async fn patch(&self, name: &str, part: Value) -> HandlerModule {
        let patched = self.modules().patch(name, &PatchParams::default(), &Patch::Merge(part)).await;
        patched.expect("the API server takes the change")
    }

    /// Changes a module's reference.
    pub async fn refer(&self, name: &str, artifact: &str) -> HandlerModule {
        self.patch(name, json!({"spec": {"source": {"oci": {"reference": self.reference(artifact)}}}})).await
    }

    /// Deletes a module.
    pub async fn delete(&self, name: &str) {
        self.modules().delete(name, &DeleteParams::default()).await.expect("the module is there");
    }

    /// Waits until every pod answers `path` with 200 and `text`.
    pub async fn serves(&self, path: &str, text: &str) {
        futures::future::join_all(self.pods.iter().map(|pod| pod.serves(path, text))).await;
    }

    /// Waits until every pod answers `path` with `status`.
    pub async fn answers(&self, path: &str, status: u16) {
        futures::future::join_all(self.pods.iter().map(|pod| pod.answers(path, status))).await;
    }

    /// Asserts that every pod answers `path` with 200 and `text` now, with no time to become so.
    pub async fn serves_now(&self, path: &str, text: &str) {
        for pod in &self.pods {
            let answer = pod.get(path).await;
            assert_eq!((answer.status, answer.text().as_str()), (200, text), "pod {} and {path}", pod.name);
        }
    }

    /// Waits until a module is as asked.
    pub async fn module(&self, name: &str, what: &str, is: impl Fn(&HandlerModule) -> bool) -> HandlerModule {
        wait_for(&format!("module {name} is {what}"), async || {
            let module = self.modules().get(name).await.map_err(|error| error.to_string())?;
            if is(&module) { Ok(module) } else { Err(format!("{:#?}", module.status)) }
        })
        .await
    }

    /// Waits until the module's present generation is Ready.
    pub async fn ready(&self, name: &str) -> HandlerModule {
        self.module(name, "Ready", |module| {
            current(module, condition::READY).is_some_and(|ready| ready.status == ConditionStatus::True)
        })
        .await
    }

    /// Waits until the module's present generation is not Ready for `reason`, and returns the status.
    pub async fn not_ready(&self, name: &str, reason: &Reason) -> HandlerModule {
        self.module(name, &format!("not Ready for {reason}"), |module| {
            current(module, condition::READY)
                .is_some_and(|ready| ready.status == ConditionStatus::False && ready.reason == *reason)
        })
        .await
    }

    /// The key of one of the test's modules.
    pub fn key(&self, name: &str) -> EntryKey {
        EntryKey::new(&self.namespace, name).expect("tests choose names that are names")
    }

    /// The ConfigMap of a module's entry.
    pub async fn entry_map(&self, name: &str) -> Option<ConfigMap> {
        let maps = self.cluster.api::<ConfigMap>(POOL_NAMESPACE);
        maps.get_opt(&entry_config_map(POOL, &self.key(name))).await.expect("ConfigMaps can be read")
    }

    /// A module's entry.
    pub async fn entry(&self, name: &str) -> Entry {
        let map = self.entry_map(name).await.expect("the module has an entry");
        let json = map.data.and_then(|mut data| data.remove(hotbay_api::names::CONFIG_MAP_ENTRY_KEY));
        Entry::parse(json.expect("the entry is under its key").as_bytes()).expect("the entry is one")
    }

    /// The ConfigMaps of the entries of all of the test's modules.
    pub async fn entry_maps(&self) -> Vec<ConfigMap> {
        let params = ListParams::default().labels(&format!("{}={}", labels::KIND, labels::KIND_ENTRY));
        let maps = self.cluster.api::<ConfigMap>(POOL_NAMESPACE).list(&params).await;
        let prefix = format!("hm.{POOL}.{}.", self.namespace);
        let mut maps = maps.expect("ConfigMaps can be listed").items;
        maps.retain(|map| map.metadata.name.as_ref().is_some_and(|name| name.starts_with(&prefix)));
        maps
    }

    /// What a pod reports.
    pub async fn report(&self, pod: &RuntimePod) -> RuntimeReport {
        self.cluster.api(POOL_NAMESPACE).get(&pod.name).await.expect("a ready pod reports")
    }
}

/// A condition, if it is about the module's present generation.
pub fn current<'m>(module: &'m HandlerModule, kind: &str) -> Option<&'m Condition> {
    let status = module.status.as_ref()?;
    let generation = module.metadata.generation?;
    condition::find(&status.conditions, kind).filter(|condition| {
        status.observed_generation == generation && condition.observed_generation == generation
    })
}
