//! What a user does first: apply, look, wait, delete.

use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use hotbay_api::names::{blob_config_map, labels};
use hotbay_api::{Digest, HandlerModule, Platform, condition};
use hotbay_artifact::oci::Form;
use hotbay_e2e::cargo::workspace;
use hotbay_e2e::cluster::scene::{Scene, current, scene, scene_alone};
use hotbay_e2e::cluster::{POOL_NAMESPACE, kubectl, say};
use hotbay_e2e::modules;
use hotbay_e2e::wait::wait_for;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ListParams, PostParams};

const HELLO: &str = "Hello from Hotbay first\n";

/// The file of the quick start, in the test's namespace.
fn hello_module(scene: &Scene) -> HandlerModule {
    let file = workspace().join("plugins/examples/hello/hello-module.yaml");
    let yaml = std::fs::read_to_string(file).expect("the example is there");
    let mut module: HandlerModule = serde_yaml::from_str(&yaml).expect("the example is a HandlerModule");
    module.metadata.namespace = Some(scene.namespace.clone());
    module
}

async fn push_as_the_example_says(scene: &Scene, file: &Path) {
    let bytes = Bytes::from(std::fs::read(file).expect("the module can be read"));
    scene.cluster.push("hello:1.0", &[(Platform::current(), bytes)], Form::Artifact).await;
}

#[tokio::test]
async fn the_example_answers_on_every_pod_and_says_so() {
    // Alone, for its figure.
    scene_alone("first", async |scene: &Scene| {
        // Bytes of its own, which neither pool nor pods have: the figure is that of a first apply.
        push_as_the_example_says(scene, &modules::hello("first")).await;
        let began = Instant::now();
        let created = scene.modules().create(&PostParams::default(), &hello_module(scene)).await.unwrap();
        let unseen = created.status.expect("kstatus needs a status from the beginning");
        assert_eq!(unseen.observed_generation, -1);

        scene.serves("/hello", HELLO).await;
        say(&format!(
            "e2e: apply to 200 on {} pods took {:.2} s",
            scene.pods.len(),
            began.elapsed().as_secs_f64()
        ));
        let namespace = format!("--namespace={}", scene.namespace);
        kubectl(&["wait", &namespace, "--for=condition=Ready", "--timeout=60s", "handlermodule/hello"]).await;

        let module = scene.ready("hello").await;
        for kind in [condition::ACCEPTED, condition::ARTIFACT_READY, condition::PROGRAMMED] {
            assert!(current(&module, kind).is_some(), "{kind} should be about this generation: {module:#?}");
        }
        let status = module.status.expect("it is Ready");
        for kind in [condition::RECONCILING, condition::STALLED] {
            assert_eq!(
                condition::find(&status.conditions, kind),
                None,
                "{kind} is absent when there is nothing to do"
            );
        }
        assert_eq!(status.serving_generation, module.metadata.generation);
        assert_eq!((status.failures, status.failures_total), (Vec::new(), 0));
    })
    .await;
}

#[tokio::test]
async fn kubectl_shows_modules_and_pools() {
    scene("columns", async |scene: &Scene| {
        let digest = scene.push("hello:1.0", &modules::hello("1.0")).await;
        scene.apply("hello", scene.spec("hello:1.0")).await;
        scene.ready("hello").await;

        let table = kubectl(&["get", "handlermodules", &format!("--namespace={}", scene.namespace)]).await;
        let [head, row] = &rows(&table)[..] else { panic!("{table}") };
        assert_eq!(*head, ["NAME", "READY", "REASON", "REVISION", "RUNTIME", "AGE"]);
        assert_eq!(
            (row[0], row[1], row[2], row[4]),
            ("hello", "True", "Succeeded", "hotbay/default"),
            "{table}"
        );
        assert!(row[3].contains(&digest.short()), "the revision should name {digest}: {table}");

        let pods = scene.pods.len();
        wait_for("the pool's row is right", async || {
            let table = kubectl(&["get", "runtimepools", "--namespace", POOL_NAMESPACE]).await;
            let [head, row] = &rows(&table)[..] else { return Err(table.clone()) };
            assert_eq!(*head, ["NAME", "READY", "CONVERGED", "MODULES", "FAILED", "AGE"]);
            let attached = row[3].parse().is_ok_and(|modules: usize| modules >= 1);
            if row[0] == "default" && row[1] == pods.to_string() && attached {
                Ok(())
            } else {
                Err(table.clone())
            }
        })
        .await;
    })
    .await;
}

fn rows(table: &str) -> Vec<Vec<&str>> {
    table.lines().map(|line| line.split_whitespace().collect()).collect()
}

#[tokio::test]
async fn a_deleted_module_is_gone_from_every_pod_and_from_the_pool() {
    scene("delete", async |scene: &Scene| {
        // Bytes of its own, so that no other test's entry names its blob.
        scene.push("hello:1.0", &modules::hello("delete")).await;
        scene.apply("hello", scene.spec("hello:1.0")).await;
        scene.ready("hello").await;
        let blob = scene.entry("hello").await.revisions[0].blobs[0].digest;

        scene.delete("hello").await;
        scene.answers(&scene.path(), 404).await;
        wait_for("the entry is gone", async || match scene.entry_map("hello").await {
            None => Ok(()),
            Some(map) => Err(format!("{:?}", map.metadata)),
        })
        .await;
        is_kept_for_ten_minutes(scene, blob).await;
        bays_have_no_entry(scene).await;
    })
    .await;
}

/// The blob stays a while, for whoever takes the deletion back, and no entry names it.
async fn is_kept_for_ten_minutes(scene: &Scene, blob: Digest) {
    let maps = scene.cluster.api::<ConfigMap>(POOL_NAMESPACE);
    assert!(maps.get_opt(&blob_config_map(&blob)).await.unwrap().is_some(), "the blob is kept for 10 min");
    let entries = ListParams::default().labels(&format!("{}={}", labels::KIND, labels::KIND_ENTRY));
    for map in maps.list(&entries).await.unwrap() {
        let text = format!("{:?}", map.data);
        assert!(!text.contains(&blob.hex()), "{:?} should not name {blob}", map.metadata.name);
    }
}

async fn bays_have_no_entry(scene: &Scene) {
    let why = "on this cluster nobody can look into a bay";
    if scene.cluster.local_or_skip("a_deleted_module_is_gone: bays", why).is_none() {
        return;
    }
    let file = scene.key("hello").file_name();
    for pod in &scene.pods {
        let keeper = scene.cluster.runtime_process(pod, "keeper").await;
        wait_for("the bay and the keeper's report are without the module", async || {
            let report = std::fs::read_to_string(keeper.file("/report/report.json"))
                .map_err(|error| error.to_string())?;
            let reported = report.contains(&format!("\"{}\"", scene.namespace));
            let there = keeper.file("/bay").join(&file).exists();
            if reported || there { Err(format!("file {there}, report {report}")) } else { Ok(()) }
        })
        .await;
    }
}

#[tokio::test]
async fn a_namespace_with_modules_can_be_deleted() {
    scene("namespace", async |scene: &Scene| {
        scene.push("hello:1.0", &modules::hello("1.0")).await;
        scene.apply("hello", scene.spec("hello:1.0")).await;
        let module = scene.ready("hello").await;
        assert_eq!(module.metadata.finalizers, None, "a finalizer would hold the namespace");

        kubectl(&["delete", "namespace", &scene.namespace, "--timeout=60s"]).await;
        scene.answers(&scene.path(), 404).await;
        // Waits until the entries are gone.
        scene.close().await;
    })
    .await;
}
