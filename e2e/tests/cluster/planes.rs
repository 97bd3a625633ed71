//! The control plane away: what is served stays, and what comes back picks up where it was.

use std::time::Duration;

use hotbay_api::condition;
use hotbay_api::names::labels;
use hotbay_e2e::cluster::node::control;
use hotbay_e2e::cluster::pods::is_ready;
use hotbay_e2e::cluster::scene::{Scene, scene_alone};
use hotbay_e2e::cluster::{OPERATOR_NAMESPACE, POOL_NAMESPACE};
use hotbay_e2e::http::Protocol;
use hotbay_e2e::load::Load;
use hotbay_e2e::wait::wait_for;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams};
use serde_json::json;
use tokio::time::Instant;

use crate::hello::{V1, edits_still_arrive, hello};

const CONNECTIONS: usize = 8;

/// Deletes the operator's pod and waits until another one is ready.
async fn restart_operator(scene: &Scene) {
    let pods = scene.cluster.api::<Pod>(OPERATOR_NAMESPACE);
    let params = ListParams::default().labels("app.kubernetes.io/name=hotbay-operator");
    let old = pods.list(&params).await.unwrap().items;
    let [old] = &old[..] else { panic!("there should be one operator: {}", old.len()) };
    let (name, uid) = (old.metadata.name.clone().unwrap(), old.metadata.uid.clone());
    pods.delete(&name, &DeleteParams::default()).await.unwrap();
    wait_for("another operator is ready", async || {
        let list = pods.list(&params).await.map_err(|error| error.to_string())?.items;
        let mut others = list.iter().filter(|pod| pod.metadata.uid != uid);
        if others.any(is_ready) { Ok(()) } else { Err(format!("{} pods", list.len())) }
    })
    .await;
}

#[tokio::test]
async fn a_new_operator_changes_nothing_until_it_is_asked() {
    scene_alone("operator", async |scene: &Scene| {
        hello(scene).await;
        let entry = scene.entry_map("hello").await.expect("it is Ready").metadata;
        let ready = |module: &hotbay_api::HandlerModule| {
            let conditions =
                module.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
            condition::find(&conditions, condition::READY).cloned()
        };
        let before = ready(&scene.ready("hello").await);

        restart_operator(scene).await;
        // Once it has looked the reference up again, it knows all that it will.
        let asked = "again";
        scene
            .patch("hello", json!({"metadata": {"annotations": {labels::RECONCILE_REQUESTED_AT: asked}}}))
            .await;
        let module = scene
            .module("hello", "looked up by the new operator", |module| {
                module.status.as_ref().and_then(|status| status.last_handled_reconcile_at.as_deref())
                    == Some(asked)
            })
            .await;
        assert_eq!(ready(&module), before, "Ready does not flap");
        let after = scene.entry_map("hello").await.expect("the entry stays").metadata;
        assert_eq!(
            (after.uid, after.resource_version),
            (entry.uid, entry.resource_version),
            "no entry is written"
        );
        scene.serves_now(&scene.path(), V1).await;

        scene.patch("hello", json!({"spec": {"config": {"greeting": "Edited"}}})).await;
        scene.serves(&scene.path(), "Edited 1.0\n").await;
        scene.ready("hello").await;
    })
    .await;
}

#[tokio::test]
async fn a_deletion_that_the_operator_missed_is_made_good() {
    scene_alone("missed", async |scene: &Scene| {
        hello(scene).await;
        let deployments = scene.cluster.api::<k8s_openapi::api::apps::v1::Deployment>(OPERATOR_NAMESPACE);
        let scale = async |replicas: i32| {
            let patch = kube::api::Patch::Merge(json!({"spec": {"replicas": replicas}}));
            deployments.patch("hotbay-operator", &kube::api::PatchParams::default(), &patch).await.unwrap();
        };
        scale(0).await;
        let pods = scene.cluster.api::<Pod>(OPERATOR_NAMESPACE);
        let params = ListParams::default().labels("app.kubernetes.io/name=hotbay-operator");
        wait_for("there is no operator", async || match pods.list(&params).await {
            Ok(list) if list.items.is_empty() => Ok(()),
            other => Err(format!("{:?}", other.map(|list| list.items.len()))),
        })
        .await;
        scene.delete("hello").await;
        scene.serves_now(&scene.path(), V1).await;
        scale(1).await;
        scene.answers(&scene.path(), 404).await;
        assert!(scene.entry_map("hello").await.is_none(), "the entry is swept");
    })
    .await;
}

/// How long the API server is away: longer than a watch, a lease or a probe of any of ours waits.
const OUTAGE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_dies_while_there_is_no_api_server_is_replaced() {
    scene_alone("api", async |scene: &Scene| {
        let test = "an_engine_that_dies_while_there_is_no_api_server_is_replaced";
        let why = "on this cluster nobody can stop the API server";
        let Some(state) = scene.cluster.local_or_skip(test, why) else { return };
        hello(scene).await;
        let [pod, other, ..] = &scene.pods[..] else { panic!("the pool has several pods") };
        // The API server knows which processes are whose, so they are found before.
        let engine = scene.cluster.runtime_process(pod, "engine").await;
        let load = Load::start(other.address, Protocol::H1, 2, &scene.path());
        let hit = Load::start(pod.address, Protocol::H1, CONNECTIONS, &scene.path());
        load.answered(200).await;
        scene
            .cluster
            .without(state, "kube-apiserver", async || {
                let until = Instant::now() + OUTAGE;
                engine.kill();
                // Of each connection one answer is lost at most, so this many come from the next engine.
                hit.answered(200).await;
                scene.serves_now(&scene.path(), V1).await;
                // The outage's length, not a wait for anything.
                tokio::time::sleep_until(until).await;
                scene.serves_now(&scene.path(), V1).await;
            })
            .await;
        wait_for("the API server is back", async || {
            scene.modules().get("hello").await.map(drop).map_err(|error| error.to_string())
        })
        .await;
        let (tally, hit) = (load.stop().await, hit.stop().await);
        assert_eq!(tally.failed(), 0, "{tally:?}");
        let cut = usize::try_from(hit.socket_errors).expect("a count");
        assert!(hit.failed() == hit.socket_errors && cut <= CONNECTIONS, "only what was under way: {hit:?}");

        edits_still_arrive(scene).await;
        // Kubernetes' own controllers pause as long as the outage was; anew, they remove the namespaces of later tests in time.
        control(state, "stop", "kube-controller-manager").await;
        control(state, "start", "kube-controller-manager").await;
        scene.delete("hello").await;
        scene.answers(&scene.path(), 404).await;
    })
    .await;
}

#[tokio::test]
async fn a_pod_that_starts_while_operator_and_registry_are_gone_serves() {
    scene_alone("start", async |scene: &Scene| {
        let test = "a_pod_that_starts_while_operator_and_registry_are_gone_serves";
        let why = "on this cluster nobody can stop the registry";
        let Some(state) = scene.cluster.local_or_skip(test, why) else { return };
        hello(scene).await;
        let [old, other, ..] = &scene.pods[..] else { panic!("the pool has several pods") };
        let load = Load::start(other.address, Protocol::H1, 2, &scene.path());
        let pods = scene.cluster.api::<Pod>(POOL_NAMESPACE);
        let both_gone = async || {
            scene.ends(old).await;
            pods.delete(&old.name, &DeleteParams::default()).await.unwrap();
            let new = wait_for("another pod is ready", async || {
                let now = scene.cluster.runtime_pods().await;
                let new = now.iter().find(|pod| scene.pods.iter().all(|known| known.uid != pod.uid));
                match new {
                    Some(new) if now.len() == scene.pods.len() => Ok(new.clone()),
                    _ => Err(format!("{now:?}")),
                }
            })
            .await;
            assert_eq!(new.get(&scene.path()).await.text(), V1, "a pod that is ready serves at once");
        };
        scene
            .cluster
            .without_operator(async || scene.cluster.without(state, "registry", both_gone).await)
            .await;
        let tally = load.stop().await;
        assert_eq!(tally.failed(), 0, "{tally:?}");
    })
    .await;
}
