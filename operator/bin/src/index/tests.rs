//! The index against a small cluster that does as it is told.
//!
//! [`World`] carries out every action at once and feeds back what came of it, without a clock: whatever needs more than this to happen
//! waits for something that it should not wait for.

mod news;
mod paths;
mod removal;
mod rollout;
mod served;
mod sharing;
mod slow;
mod upkeep;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hotbay_api::condition::{READY, find};
use hotbay_api::{
    ArtifactStatus, Blob, Digest, Entry, EntryKey, HandlerModule, Limits, Platform, Reason, Revision, Route,
    RuntimePool, RuntimeReport, Timeouts,
};
use hotbay_pipeline::{Class, InlineBlob, Refusal};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::ObjectMeta;
use serde_json::{Value, json};

use super::*;
use crate::objects::{
    EntryDraft, Origin, Origins, StoredBlob, StoredEntry, blob_config_map, entry_config_map,
};

const POOL: &str = "hotbay/default";

struct World {
    index: Index,
    now: Instant,
    version: u64,
    /// What each reference holds: an artifact's name and its paths; absent: not found.
    registry: BTreeMap<String, (String, Vec<&'static str>)>,
    /// What was done, in order.
    log: Vec<String>,
    /// What was told as events.
    told: Vec<Notice>,
    /// How many statuses were written.
    statuses: usize,
    /// Of them, those of modules.
    module_statuses: usize,
    /// Whether no entry can be written.
    refuses_entries: bool,
    /// Whose entry a quota forbids.
    forbidden: Option<&'static str>,
    /// How many artifacts were pulled.
    pulls: usize,
    entries: BTreeMap<EntryKey, StoredEntry>,
    blobs: BTreeMap<Digest, StoredBlob>,
    modules: BTreeMap<EntryKey, HandlerModule>,
    pools: BTreeMap<String, RuntimePool>,
    reports: Vec<RuntimeReport>,
}

impl World {
    /// A cluster with a pool `hotbay/default` of two ready pods, and nothing else.
    fn new() -> Self {
        let mut world = Self::unlisted();
        world.list(Event::Module, vec![]);
        let pool = world.pool("default");
        world.list(Event::Pool, vec![pool]);
        let namespaces =
            ["shop", "hotbay"].map(|name| ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() });
        world.list(Event::Namespace, namespaces.into());
        world.list(Event::Report, vec![]);
        world.run();
        world.list_place("hotbay", vec![]);
        world.run();
        world.log.clear();
        world
    }

    fn unlisted() -> Self {
        Self {
            index: Index::new(POOL.parse().unwrap()),
            now: Instant::now(),
            version: 0,
            registry: BTreeMap::new(),
            log: vec![],
            told: vec![],
            statuses: 0,
            module_statuses: 0,
            refuses_entries: false,
            forbidden: None,
            pulls: 0,
            entries: BTreeMap::new(),
            blobs: BTreeMap::new(),
            modules: BTreeMap::new(),
            pools: BTreeMap::new(),
            reports: vec![],
        }
    }

    /// The same cluster with an operator that was just started: what was seen before is not known.
    fn restarted(self) -> Self {
        let Self { version, registry, modules, entries, blobs, pools, reports, .. } = self;
        Self { version, registry, modules, entries, blobs, pools, reports, ..Self::unlisted() }
    }

    /// The lists that a starting operator gets, with these modules.
    fn start(&mut self, modules: Vec<HandlerModule>) {
        self.list(Event::Module, modules);
        let pools = self.pools.values().cloned().collect();
        self.list(Event::Pool, pools);
        self.list(Event::Namespace, vec![]);
        self.list(Event::Report, self.reports.clone());
        self.run();
        let entries = self.entries.values().cloned().collect();
        self.list_place("hotbay", entries);
        self.run();
    }

    fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    /// What comes next comes later.
    fn tick(&mut self) {
        self.now += Duration::from_nanos(1);
    }

    fn handle(&mut self, event: Event) {
        self.index.handle(event, self.now);
    }

    fn list<T>(&mut self, event: impl Fn(Change<T>) -> Event, items: Vec<T>) {
        self.tick();
        self.handle(event(Change::Restarted));
        items.into_iter().for_each(|item| self.handle(event(Change::Listed(item))));
        self.handle(event(Change::Complete));
    }

    fn list_place(&mut self, namespace: &str, entries: Vec<StoredEntry>) {
        let pods = ["p0", "p1"].map(|name| (name.to_owned(), format!("uid-{name}")));
        let slice = ReadyPods {
            namespace: namespace.into(),
            name: "slice".into(),
            version: self.next_version(),
            service: "hotbay-default".into(),
            pods: pods.into(),
        };
        self.list(|change| Event::Entry(namespace.into(), change), entries);
        let blobs = self.blobs.values().cloned().collect();
        self.list(|change| Event::Blob(namespace.into(), change), blobs);
        self.list(|change| Event::Slice(namespace.into(), change), vec![slice]);
    }

    /// Carries actions out until there are none.
    fn run(&mut self) {
        loop {
            let time = Time(Timestamp::from_second(1_790_000_000).unwrap());
            let actions = self.index.decide(self.now, &time);
            if actions.is_empty() {
                return;
            }
            actions.into_iter().for_each(|action| self.perform(action));
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.run();
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::LookUp(request) => {
                let verb = if request.named.is_none() { "look up" } else { "prepare" };
                self.log.push(format!("{verb} {}", request.key.name));
                let looked_up = self.look_up(&request);
                self.pulls += usize::from(matches!(looked_up.found, Found::New(_)));
                self.handle(Event::LookedUp(request.key, request.ticket, looked_up));
            }
            Action::Write(target, write) => {
                let written = self.write(*write);
                self.handle(Event::Written(target, written));
            }
            Action::Watch(namespace) => self.log.push(format!("watch {namespace}")),
            Action::Unwatch(namespace) => self.log.push(format!("unwatch {namespace}")),
            Action::Tell(notice) => self.told.push(notice),
        }
    }

    fn look_up(&self, request: &LookUpRequest) -> LookedUp {
        let reference = &request.module.spec.source.oci.as_ref().unwrap().reference;
        let named = |named| Some((reference.clone(), named)).filter(|_| request.named.is_none());
        let Some((artifact, paths)) = self.registry.get(reference) else {
            let refusal = Refusal::of_artifact(Reason::SourceNotFound, format!("{reference} does not exist"));
            let refusal = Refusal { class: Class::Waiting, ..refusal };
            return LookedUp { found: Found::Refused(refusal.clone()), named: named(Err(refusal)) };
        };
        let digest = Digest::of(artifact.as_bytes());
        let found = if request.known == Some(digest) {
            Found::Same
        } else {
            Found::New(Box::new(candidate(reference, artifact, paths)))
        };
        LookedUp { found, named: named(Ok(digest)) }
    }

    fn write(&mut self, write: Write) -> Written {
        match write {
            Write::CreateEntry(_) | Write::UpdateEntry(..) if self.refuses_entries => Written::Failed,
            Write::CreateEntry(draft) if self.forbidden == Some(&*draft.entry.id.name) => Written::Refused,
            Write::CreateEntry(draft) => self.store("create", &draft),
            Write::UpdateEntry(draft, seen) => {
                assert_eq!(self.entries.get(&draft.entry.key()).map(|stored| &stored.uid), Some(&seen.uid));
                self.store("update", &draft)
            }
            Write::RemoveEntry(stored) => {
                self.log.push(format!("remove {}", stored.key.name));
                self.entries.remove(&stored.key);
                Written::EntryGone(stored)
            }
            Write::CreateBlob(namespace, blob) => {
                let mut map = blob_config_map(&namespace, &blob);
                (map.metadata.uid, map.metadata.resource_version) =
                    (Some("b".into()), Some(self.next_version().to_string()));
                self.log.push("store blob".into());
                let stored = StoredBlob::read(&map.metadata).unwrap();
                self.blobs.insert(stored.digest, stored.clone());
                Written::Blob(stored)
            }
            Write::RemoveBlob(blob) => {
                self.log.push("remove blob".into());
                self.blobs.remove(&blob.digest);
                Written::BlobGone(blob)
            }
            Write::ModuleStatus(key, _, status) => {
                self.statuses += 1;
                self.module_statuses += 1;
                let version = self.next_version().to_string();
                let module = self.modules.get_mut(&key).unwrap();
                (module.status, module.metadata.resource_version) = (Some(*status), Some(version));
                Written::Module(Box::new(module.clone()))
            }
            Write::PoolStatus(pool, _, status) => {
                self.statuses += 1;
                let version = self.next_version().to_string();
                let object = self.pools.get_mut(&pool.name).unwrap();
                (object.status, object.metadata.resource_version) = (Some(status), Some(version));
                Written::Pool(Box::new(object.clone()))
            }
        }
    }

    fn store(&mut self, verb: &str, draft: &EntryDraft) -> Written {
        let mut map = entry_config_map(draft).unwrap();
        let name = &draft.entry.id.name;
        let uid = format!("cm-{name}");
        (map.metadata.uid, map.metadata.resource_version) =
            (Some(uid), Some(self.next_version().to_string()));
        let stored = StoredEntry::read(&map).unwrap();
        self.log.push(format!("{verb} {name}"));
        self.entries.insert(stored.key.clone(), stored.clone());
        Written::Entry(Box::new(stored))
    }

    fn pool(&mut self, name: &str) -> RuntimePool {
        let version = self.next_version().to_string();
        let pool: RuntimePool = object(json!({
            "apiVersion": "hotbay.dev/v1alpha1", "kind": "RuntimePool",
            "metadata": {"namespace": "hotbay", "name": name, "uid": "pool", "generation": 1, "resourceVersion": version},
            "spec": {"serviceRef": {"name": "hotbay-default"}, "allowedModules": {"namespaces": {"from": "All"}}},
        }));
        self.pools.insert(name.to_owned(), pool.clone());
        pool
    }

    fn change_pool(&mut self, change: impl Fn(&mut RuntimePool)) {
        let version = self.next_version().to_string();
        let pool = self.pools.get_mut("default").unwrap();
        change(pool);
        pool.metadata.resource_version = Some(version);
        let pool = pool.clone();
        self.handle(Event::Pool(Change::Applied(pool)));
        self.run();
    }

    /// kubectl apply of a module; the n-th applied is the n-th oldest.
    fn apply(&mut self, name: &str, change: impl Fn(&mut HandlerModule)) {
        self.tick();
        let version = self.next_version();
        let key = EntryKey::new("shop", name).unwrap();
        let count = self.modules.len();
        let module = self.modules.entry(key).or_insert_with(|| {
            object(json!({
                "apiVersion": "hotbay.dev/v1alpha1", "kind": "HandlerModule",
                "metadata": {
                    "namespace": "shop", "name": name, "uid": format!("uid-{name}"), "generation": 0,
                    "creationTimestamp": format!("2026-01-01T00:00:{count:02}Z"),
                },
                "spec": {"source": {"oci": {"reference": format!("reg/{name}:1")}}},
                "status": {"observedGeneration": -1},
            }))
        });
        change(module);
        module.metadata.resource_version = Some(version.to_string());
        module.metadata.generation = module.metadata.generation.map(|generation| generation + 1);
        let module = module.clone();
        self.handle(Event::Module(Change::Applied(module)));
        self.run();
    }

    /// Puts an artifact into the registry and applies a module with its reference.
    fn serve(&mut self, name: &str, artifact: &str, paths: &[&'static str]) {
        let reference = format!("reg/{artifact}");
        self.registry.insert(reference.clone(), (artifact.to_owned(), paths.to_vec()));
        self.apply(name, |module| module.spec.source.oci.as_mut().unwrap().reference.clone_from(&reference));
    }

    fn delete(&mut self, name: &str) {
        self.tick();
        let version = self.next_version().to_string();
        let mut module = self.modules.remove(&EntryKey::new("shop", name).unwrap()).unwrap();
        module.metadata.resource_version = Some(version);
        self.handle(Event::Module(Change::Deleted(module)));
        self.run();
    }

    /// Both pods say that they serve everything up to now.
    fn report(&mut self) {
        self.reports.clear();
        for pod in ["p0", "p1"] {
            self.report_of(pod);
        }
        self.run();
    }

    /// One pod says so.
    fn report_of(&mut self, pod: &str) {
        let version = self.next_version().to_string();
        let report: RuntimeReport = object(json!({
            "apiVersion": "hotbay.dev/v1alpha1", "kind": "RuntimeReport",
            "metadata": {"namespace": "hotbay", "name": pod, "resourceVersion": version},
            "pool": "default", "podUid": format!("uid-{pod}"), "appliedThrough": self.version,
        }));
        self.reports.push(report.clone());
        self.handle(Event::Report(Change::Applied(report)));
    }

    fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.get(&EntryKey::new("shop", name).unwrap())?.entry.as_ref()
    }

    /// Ready's status and reason.
    fn ready(&self, name: &str) -> String {
        let status = self.modules[&EntryKey::new("shop", name).unwrap()].status.as_ref().unwrap();
        let ready = find(&status.conditions, READY).unwrap();
        format!("{:?} {}", ready.status, ready.reason)
    }

    fn took(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }
}

fn object<T: serde::de::DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).unwrap()
}

/// The one build of an artifact whose name begins with `large` fits into no ConfigMap.
fn candidate(reference: &str, artifact: &str, paths: &[&str]) -> Candidate {
    let fits = !artifact.starts_with("large");
    let digest = Digest::of(artifact.as_bytes());
    let platform = Platform { os: "linux".into(), arch: "amd64".into(), libc: None };
    let route = |path: &&str| Route {
        hostnames: vec![],
        path: path.parse().unwrap(),
        methods: vec![],
        handler: "h".into(),
    };
    Candidate {
        artifact: ArtifactStatus {
            reference: reference.into(),
            digest,
            version: "1".into(),
            abi: "0.1".into(),
            platforms: vec![],
        },
        revision: Revision {
            revision: format!("1@sha256:{}", digest.short()),
            blobs: vec![Blob { platform, digest, size: 9 }],
            routes: paths.iter().map(route).collect(),
            config: json!({}),
            timeouts: Timeouts::default(),
            limits: Limits::default(),
        },
        sizes: fits.then_some((digest, 5)).into_iter().collect(),
        blobs: Some(fits.then(|| InlineBlob { digest, compressed: vec![0; 5].into() }).into_iter().collect()),
    }
}
