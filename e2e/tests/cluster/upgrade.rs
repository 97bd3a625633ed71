//! The charts' life: upgrade, drain, uninstall, and back again.
//!
//! What concerns the pods happens to a pool of the test's own; the operator and the resource definitions are there once, so those tests are
//! alone, and leave both as they were.

mod drain;
mod uninstall;

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, resume_unwind};

use futures::FutureExt;
use hotbay_e2e::cluster::release::{Charts, Release};
use hotbay_e2e::cluster::scene::{Scene, scene_alone};
use hotbay_e2e::cluster::{OPERATOR_NAMESPACE, POOL_NAMESPACE};
use hotbay_e2e::http::{Protocol, get};
use hotbay_e2e::load::Load;
use hotbay_e2e::modules;
use hotbay_e2e::wait::wait_for;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::hello::V1;

/// A pool of the test's own, with pods, in the test's namespace.
struct OwnPool<'s> {
    scene: &'s Scene,
    release: Release,
}

/// Its name.
const POOL: &str = "own";

impl<'s> OwnPool<'s> {
    fn new(scene: &'s Scene) -> Self {
        Self { scene, release: Release::new("own-pool", &scene.namespace, "hotbay-runtime") }
    }

    /// Installs or upgrades it, with the images of the shared pool and the strictest of what a user may choose.
    async fn install(&self, charts: &Charts, replicas: u32, version: &str) {
        let shared = Release::new("hotbay-runtime", POOL_NAMESPACE, "hotbay-runtime").values().await;
        let values = json!({
            "pool": POOL,
            "image": shared["image"],
            "replicas": replicas,
            "networkPolicy": {"egress": {"open": false}},
            // Charts that differ in nothing would replace no pod.
            "podAnnotations": {"hotbay.dev/e2e-version": version},
        });
        self.release.install(charts, &values).await;
    }

    /// Has it serve hello.
    async fn hello(&self) {
        let scene = self.scene;
        scene.push("hello:1.0", &modules::hello("1.0")).await;
        let mut spec = scene.spec("hello:1.0");
        spec["runtimeRef"] = json!({"name": POOL, "namespace": scene.namespace});
        scene.apply("hello", spec).await;
        scene.ready("hello").await;
        self.serves(V1).await;
    }

    /// Where its Service answers.
    async fn address(&self) -> SocketAddr {
        let service: Service = self.scene.cluster.api(&self.scene.namespace).get("hotbay-own").await.unwrap();
        let ip = service.spec.and_then(|spec| spec.cluster_ip).expect("a Service has an address");
        SocketAddr::new(ip.parse().expect("an address"), 80)
    }

    /// Waits until its Service answers with `text`.
    async fn serves(&self, text: &str) {
        let address = self.address().await;
        wait_for(&format!("the Service answers {text:?}"), async || {
            match get(address, &self.scene.path()).await {
                Ok(answer) if answer.status == 200 && answer.text() == text => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }

    async fn pods(&self) -> Vec<Pod> {
        let labels = format!("hotbay.dev/pool={POOL}");
        let pods = self.scene.cluster.api::<Pod>(&self.scene.namespace);
        pods.list(&ListParams::default().labels(&labels)).await.expect("pods can be listed").items
    }

    /// Waits until every pod there is was made by this version.
    async fn is_all(&self, version: &str) {
        wait_for(&format!("every pod is of version {version}"), async || {
            let of = |pod: &Pod| pod.metadata.annotations.as_ref()?.get("hotbay.dev/e2e-version").cloned();
            let versions: Vec<_> = self.pods().await.iter().map(of).collect();
            let done = versions.iter().all(|other| other.as_deref() == Some(version));
            if done { Ok(()) } else { Err(format!("{versions:?}")) }
        })
        .await;
    }
}

/// The releases that are there once, and what their user has set.
struct Shared(Vec<(Release, Value)>);

impl Shared {
    /// In the order in which they are installed.
    async fn find() -> Self {
        let mut all = Vec::new();
        for chart in ["hotbay-crds", "hotbay"] {
            let release = Release::new(chart, OPERATOR_NAMESPACE, chart);
            let values = release.values().await;
            all.push((release, if values.is_null() { json!({}) } else { values }));
        }
        Self(all)
    }

    async fn install(&self, charts: &Charts) {
        for (release, values) in &self.0 {
            release.install(charts, values).await;
        }
    }

    async fn put(&self, charts: &Charts) {
        for (release, values) in &self.0 {
            release.put(charts, values).await;
        }
    }

    async fn uninstall(&self) {
        for (release, _) in self.0.iter().rev() {
            release.uninstall().await;
        }
    }
}

/// Plays a test in which the releases change, and puts them back however it ends.
async fn play(name: &str, test: impl AsyncFnOnce(&OwnPool, &Shared)) {
    scene_alone(name, async |scene: &Scene| {
        let (shared, pool) = (Shared::find().await, OwnPool::new(scene));
        let outcome = AssertUnwindSafe(test(&pool, &shared)).catch_unwind().await;
        if outcome.is_err() {
            // It goes with what follows, so it is told first.
            eprintln!("{}", scene.story().await);
        }
        shared.install(&Charts::present()).await;
        pool.release.uninstall().await;
        if let Err(panic) = outcome {
            resume_unwind(panic);
        }
    })
    .await;
}

/// The images of the commit before are not built anew, which would double the time of the whole run: under the charts of both commits run
/// the present ones. So the pool's must run under the charts before, which new settings with a default let them; the operator's need not,
/// and does nothing in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_from_the_charts_of_the_commit_before_loses_no_request() {
    play("upgrade", async |pool: &OwnPool, shared: &Shared| {
        let scene = pool.scene;
        let why = "on this cluster nobody can send load to a Service as a pod does";
        if scene.cluster.local_or_skip("an_upgrade_loses_no_request", why).is_none() {
            return;
        }
        let previous = Charts::previous().await;
        pool.install(&previous, 2, "previous").await;
        pool.hello().await;
        shared.put(&previous).await;
        let neighbour = scene.cluster.runtime_process(&scene.pods[0], "keeper").await;
        let address = pool.address().await;
        let loads = [Protocol::H1, Protocol::H2c]
            .map(|protocol| Load::start_in(Some(neighbour.network()), address, protocol, 4, &scene.path()));
        for load in &loads {
            load.answered(200).await;
        }

        shared.install(&Charts::present()).await;
        pool.install(&Charts::present(), 2, "present").await;
        pool.is_all("present").await;
        for load in loads {
            load.answered(200).await;
            let tally = load.stop().await;
            assert_eq!(tally.failed(), 0, "{tally:?}");
        }

        scene.patch("hello", json!({"spec": {"config": {"greeting": "Upgraded"}}})).await;
        pool.serves("Upgraded 1.0\n").await;
        scene.ready("hello").await;
    })
    .await;
}
