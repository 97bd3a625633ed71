//! From `kubectl apply` to an answer of every pod.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use hotbay_api::names::{entry_config_map, labels};
use hotbay_e2e::cluster::scene::Scene;
use hotbay_e2e::cluster::{POOL, POOL_NAMESPACE};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{WatchEvent, WatchParams};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::laptop::millis;
use crate::report::{Figure, Section, aim_at_most};
use crate::server::Shipped;
use crate::stats::{median, percentile, worst};
use crate::wire::until_every;

/// Between two looks at a pod. Shorter ones would take the processor from what is measured.
const LOOK: Duration = Duration::from_millis(2);

pub async fn measure(scene: &Scene, shipped: &Shipped, quick: bool) -> anyhow::Result<Section> {
    let count = if quick { 5 } else { 50 };
    let (pods, nodes) =
        (scene.pods.len(), if scene.cluster.local.is_some() { "local cluster" } else { "cluster" });
    // Before the clock runs: the author's push is no part of it.
    for number in 0..=count {
        push(scene, shipped, number).await?;
    }
    let entries = Entries::watch(scene);
    // The first one finds connections that are not open yet; who operates a cluster meets that once.
    let first = roll_out(scene, 0).await?;
    let (mut figures, mut operator, mut pods_figures) = (Vec::new(), Vec::new(), Vec::new());
    for number in 1..=count {
        let began = Instant::now();
        let took = roll_out(scene, number).await?;
        figures.push(took);
        if let Some(seen) = entries.seen(scene, number) {
            let written = millis(began, seen);
            operator.push(written);
            pods_figures.push((took - written).max(0.0));
        }
    }
    let mut section = Section::new(
        "kubectl apply → 200 on all pods",
        format!(
            "{count} new HandlerModules on a {nodes} with {pods} runtime pods, each of a digest that nothing has seen: operator resolves, pulls, checks, \
             writes; agents fetch; engines probe and load. From before the apply is sent to the last pod's first 200, each asked every 2 ms."
        ),
    );
    section.add(Figure::median("p50", "ms", median(&figures)));
    section.add(
        Figure::one(format!("p99 of {count}"), "ms", percentile(&figures, 0.99)).wanted(aim_at_most(500.0)),
    );
    section.add(Figure::one("the slowest", "ms", worst(&figures)));
    section.add(Figure::one("the very first", "ms", first));
    section.add(Figure::median(
        "of it until the entry's ConfigMap is seen: operator",
        "ms",
        median(&operator),
    ));
    section.add(Figure::median("of it after that: agents and engines", "ms", median(&pods_figures)));
    Ok(section)
}

/// When the entries of modules came by, as the agents see them.
struct Entries {
    seen: Arc<Mutex<HashMap<String, Instant>>>,
    task: JoinHandle<()>,
}

impl Entries {
    fn watch(scene: &Scene) -> Self {
        let maps = scene.cluster.api::<ConfigMap>(POOL_NAMESPACE);
        let seen = Arc::<Mutex<HashMap<String, Instant>>>::default();
        let seen_here = Arc::clone(&seen);
        let params = WatchParams::default().labels(&format!("{}={}", labels::KIND, labels::KIND_ENTRY));
        let task = tokio::spawn(async move {
            // It ends after some minutes, or with the connection; then the split is known of fewer rollouts.
            let Ok(events) = maps.watch(&params, "0").await else { return };
            let mut events = std::pin::pin!(events);
            while let Some(Ok(event)) = events.next().await {
                if let WatchEvent::Added(map) = event {
                    let mut seen = seen_here.lock().unwrap_or_else(PoisonError::into_inner);
                    seen.entry(map.metadata.name.unwrap_or_default()).or_insert_with(Instant::now);
                }
            }
        });
        Self { seen, task }
    }

    fn seen(&self, scene: &Scene, number: u32) -> Option<Instant> {
        let name = entry_config_map(POOL, &scene.key(&format!("hello-{number}")));
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(&name).copied()
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Stores a build that is `number`'s own.
pub async fn push(scene: &Scene, shipped: &Shipped, number: u32) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("libhello.so");
    std::fs::write(&file, shipped.build(number)?)?;
    scene.push(&format!("hello:{number}"), &file).await;
    Ok(())
}

/// Applies a module of that build, on a path of its own, and waits for every pod. Milliseconds.
pub async fn roll_out(scene: &Scene, number: u32) -> anyhow::Result<f64> {
    let path = format!("{}/{number}", scene.path());
    let spec = json!({"source": {"oci": {"reference": scene.reference(&format!("hello:{number}"))}}, "routes": [{"path": path}]});
    let addresses: Vec<_> = scene.pods.iter().map(|pod| pod.address).collect();
    let waits: Vec<_> = addresses
        .into_iter()
        .map(|address| {
            let path = path.clone();
            tokio::task::spawn_blocking(move || until_every(LOOK, address, &path, 200))
        })
        .collect();
    let began = Instant::now();
    scene.apply(&format!("hello-{number}"), spec).await;
    let mut last = began;
    for wait in waits {
        last = last.max(wait.await??);
    }
    Ok(millis(began, last))
}
