//! The control plane away: what is served stays, and what comes back picks up where it was.

use hotbay_api::condition;
use hotbay_api::names::labels;
use hotbay_e2e::cluster::OPERATOR_NAMESPACE;
use hotbay_e2e::cluster::node::control;
use hotbay_e2e::cluster::pods::is_ready;
use hotbay_e2e::cluster::scene::{Scene, scene_alone};
use hotbay_e2e::http::Protocol;
use hotbay_e2e::load::Load;
use hotbay_e2e::wait::wait_for;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams};
use serde_json::json;

use crate::hello::{V1, edits_still_arrive, hello};

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_api_server_costs_no_request() {
    scene_alone("api", async |scene: &Scene| {
        let why = "on this cluster nobody can stop the API server";
        let Some(state) = scene.cluster.local_or_skip("a_lost_api_server_costs_no_request", why) else {
            return;
        };
        hello(scene).await;
        let load = Load::start(scene.pods[0].address, Protocol::H1, 2, &scene.path());
        load.answered(200).await;
        control(state, "stop", "kube-apiserver").await;
        // So many answers take seconds: agents and operator have noticed by then.
        load.answered(3000).await;
        scene.serves_now(&scene.path(), V1).await;
        control(state, "start", "kube-apiserver").await;
        wait_for("the API server is back", async || {
            scene.modules().get("hello").await.map(drop).map_err(|error| error.to_string())
        })
        .await;
        let tally = load.stop().await;
        assert_eq!(tally.failed(), 0, "{tally:?}");

        edits_still_arrive(scene).await;
    })
    .await;
}
