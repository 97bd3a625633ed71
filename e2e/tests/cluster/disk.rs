//! A pod's volumes: the kubelet evicts a pod that passes one, so nothing is put there that would.
//!
//! It happens in a pool of the test's own, with one pod and a small bay, in the test's namespace.

use std::panic::{AssertUnwindSafe, resume_unwind};

use futures::FutureExt;
use hotbay_api::{Digest, Platform, Reason, condition};
use hotbay_e2e::cluster::POOL_NAMESPACE;
use hotbay_e2e::cluster::pods::is_ready;
use hotbay_e2e::cluster::release::{Charts, Release};
use hotbay_e2e::cluster::scene::{Scene, current, scene};
use hotbay_e2e::modules;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use serde_json::json;

const POOL: &str = "small";

/// `hello`, and behind it so much that two of them are more than 90 % of 1 MiB.
async fn push(scene: &Scene, name: &str) {
    let mut build = std::fs::read(modules::hello("1.0")).unwrap();
    let seed = format!("{}{name}", scene.namespace);
    let missing = (600 << 10_usize) - build.len();
    let random = |number: usize| Digest::of(format!("{seed}{number}").as_bytes()).hex();
    build.extend((0..missing / 64).flat_map(|number| random(number).into_bytes()));
    scene.push_builds(&format!("{name}:1.0"), &[(Platform::current(), build.into())]).await;
}

async fn apply(scene: &Scene, name: &str) {
    push(scene, name).await;
    let mut spec = scene.spec(&format!("{name}:1.0"));
    spec["runtimeRef"] = json!({"name": POOL, "namespace": scene.namespace});
    spec["routes"] = json!([{"path": format!("/{name}")}]);
    scene.apply(name, spec).await;
}

/// The pool's pods: UID, whether it is ready, why it failed.
async fn pods(scene: &Scene) -> Vec<(Option<String>, bool, Option<String>)> {
    let labels = ListParams::default().labels(&format!("hotbay.dev/pool={POOL}"));
    let pods = scene.cluster.api::<Pod>(&scene.namespace).list(&labels).await.expect("pods can be listed");
    let story = |pod: Pod| {
        let ready = is_ready(&pod);
        (pod.metadata.uid, ready, pod.status.and_then(|status| status.reason))
    };
    pods.items.into_iter().map(story).collect()
}

async fn fills_and_empties(scene: &Scene, release: &Release) {
    let shared = Release::new("hotbay-runtime", POOL_NAMESPACE, "hotbay-runtime").values().await;
    let values = json!({
        "pool": POOL, "image": shared["image"], "replicas": 1, "volumes": {"bay": "1Mi"},
        // From the blob service each build takes its whole size.
        "limits": {"inlineBlobMax": "1Ki"},
    });
    release.install(&Charts::present(), &values).await;
    let before = pods(scene).await;
    assert!(matches!(&before[..], [(Some(_), true, None)]), "{before:?}");
    apply(scene, "first").await;
    scene.ready("first").await;

    apply(scene, "second").await;
    let refused = scene.not_ready("second", &Reason::NoSpace).await;
    let message = &current(&refused, condition::READY).expect("it is there").message;
    for words in ["does not fit into the bay: it has 600.0 KiB", "of 1.0 MiB are used", "raise volumes.bay"] {
        assert!(message.contains(words), "{words:?} should be in {message:?}");
    }
    scene.ready("first").await;

    scene.delete("first").await;
    scene.ready("second").await;
    assert_eq!(pods(scene).await, before, "it costs no pod");
}

#[tokio::test]
async fn a_module_that_does_not_fit_costs_no_pod_and_is_served_when_another_goes() {
    scene("disk", async |scene: &Scene| {
        let release = Release::new("small-pool", &scene.namespace, "hotbay-runtime");
        let outcome = AssertUnwindSafe(fills_and_empties(scene, &release)).catch_unwind().await;
        if outcome.is_err() {
            // It goes with what follows, so it is told first.
            eprintln!("{}", scene.story().await);
        }
        release.uninstall().await;
        if let Err(panic) = outcome {
            resume_unwind(panic);
        }
    })
    .await;
}
