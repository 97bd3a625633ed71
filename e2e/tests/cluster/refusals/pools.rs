//! Pools that do not take a module, or have nobody to serve it.

use hotbay_api::{Reason, condition};
use hotbay_e2e::cluster::scene::{Scene, scene};
use hotbay_e2e::modules;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use super::{Refused, Says, V1, explains, refuses};

fn refused<'t>(reason: Reason, condition: &'t str, words: &'t [&'t str]) -> Refused<'t> {
    Refused { reason, condition, says: Says::Reconciling, words }
}

/// Applies a module that goes to `runtime`.
async fn apply(scene: &Scene, name: &str, runtime: &Value) {
    scene.push("hello:1.0", &modules::hello("1.0")).await;
    let mut spec = scene.spec("hello:1.0");
    spec["runtimeRef"] = runtime.clone();
    scene.apply(name, spec).await;
}

#[tokio::test]
async fn a_pool_that_does_not_exist() {
    scene("pool", async |scene: &Scene| {
        apply(scene, "hello", &json!({"name": "nowhere"})).await;
        let module = scene.not_ready("hello", &Reason::RuntimeNotFound).await;
        let words = ["hotbay/nowhere", "correct spec.runtimeRef"];
        explains(&module, &refused(Reason::RuntimeNotFound, condition::ACCEPTED, &words));
        scene.answers(&scene.path(), 404).await;

        scene.patch("hello", json!({"spec": {"runtimeRef": {"name": "default"}}})).await;
        scene.ready("hello").await;
        scene.serves_now(&scene.path(), V1).await;
    })
    .await;
}

#[tokio::test]
async fn a_move_to_a_pool_that_does_not_exist() {
    let edit = async |_: &Scene| json!({"runtimeRef": {"name": "nowhere"}});
    let words = ["hotbay/nowhere"];
    refuses("move", edit, refused(Reason::RuntimeNotFound, condition::ACCEPTED, &words)).await;
}

#[tokio::test]
async fn a_pool_that_does_not_take_the_namespace() {
    scene("namespace", async |scene: &Scene| {
        let selector = json!({"from": "Selector", "selector": {"matchLabels": {"e2e": "let-in"}}});
        let pool = scene.own_pool("choosy", json!({"allowedModules": {"namespaces": selector}})).await;
        apply(scene, "hello", &pool).await;
        let module = scene.not_ready("hello", &Reason::NotAllowed).await;
        let words = [&format!("takes no modules from namespace {}", scene.namespace), "ask its owner"];
        explains(&module, &refused(Reason::NotAllowed, condition::ACCEPTED, &words));
        assert!(scene.entry_map("hello").await.is_none());

        let label = Patch::Merge(json!({"metadata": {"labels": {"e2e": "let-in"}}}));
        let namespaces = Api::<Namespace>::all(scene.cluster.client.clone());
        namespaces.patch(&scene.namespace, &PatchParams::default(), &label).await.unwrap();
        scene.not_ready("hello", &Reason::NoRuntimePods).await;
    })
    .await;
}

#[tokio::test]
async fn a_pool_that_is_full() {
    scene("full", async |scene: &Scene| {
        let pool = scene.own_pool("small", json!({"limits": {"modules": 1}})).await;
        apply(scene, "a-first", &pool).await;
        scene.not_ready("a-first", &Reason::NoRuntimePods).await;
        apply(scene, "b-second", &pool).await;
        let module = scene.not_ready("b-second", &Reason::PoolFull).await;
        let words = ["already holds 1 modules", "spec.limits.modules", "delete an older module"];
        explains(&module, &refused(Reason::PoolFull, condition::ACCEPTED, &words));

        scene.delete("a-first").await;
        scene.not_ready("b-second", &Reason::NoRuntimePods).await;
    })
    .await;
}

#[tokio::test]
async fn a_pool_without_pods() {
    scene("no-pods", async |scene: &Scene| {
        let pool = scene.own_pool("empty", json!({})).await;
        apply(scene, "hello", &pool).await;
        let module = scene.not_ready("hello", &Reason::NoRuntimePods).await;
        let words = [&format!("no pod of {}/empty is ready", scene.namespace), "look at its Deployment"];
        explains(&module, &refused(Reason::NoRuntimePods, condition::PROGRAMMED, &words));
    })
    .await;
}

#[tokio::test]
async fn a_file_that_is_larger_than_the_pool_allows() {
    scene("large", async |scene: &Scene| {
        let pool = scene.own_pool("strict", json!({"limits": {"maxArtifactSize": "64Ki"}})).await;
        apply(scene, "hello", &pool).await;
        let module = scene.not_ready("hello", &Reason::TooLarge).await;
        let words = ["hello:1.0", "is larger than 65536 bytes"];
        let expected =
            Refused { says: Says::Stalled, ..refused(Reason::TooLarge, condition::ARTIFACT_READY, &words) };
        explains(&module, &expected);
        assert!(scene.entry_map("hello").await.is_none());
    })
    .await;
}
