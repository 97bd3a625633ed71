//! A person who may edit a pool's namespace, and so its ConfigMaps: entries and blobs cannot be faked nor held, and each can be deleted.

use hotbay_api::Digest;
use hotbay_api::names::{blob_config_map, labels};
use hotbay_e2e::cluster::account::{Account, Ask};
use hotbay_e2e::cluster::scene::{Scene, scene, scene_alone};
use hotbay_e2e::cluster::{POOL_NAMESPACE, kubectl};
use hotbay_e2e::wait::wait_for;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, Patch, PatchParams, PropagationPolicy};
use serde_json::json;

use super::Expected::{May, MayNot, Refused};
use super::{Row, blob, config_map, core, entry, entry_uid, hold, own};
use crate::hello::hello;

/// What others than the operator are told.
const ONLY: &str = "makes or changes entries and blobs";

#[tokio::test]
async fn an_editor_of_the_namespace_fakes_and_holds_no_entry_and_no_blob_and_may_delete_both() {
    scene("editor", async |scene: &Scene| {
        hello(scene).await;
        let ordinary = scene.namespace.as_str();
        let editor = editor(scene).await;
        let blob = blob(scene).await;
        let rows = [
            making_rows(ordinary),
            changing_rows(scene, &blob),
            holding_rows(scene, &blob),
            remaining_rows(scene, &blob),
        ];
        let rows = rows.into_iter().flatten().collect();
        let before = entry_uid(scene).await;
        let held = tokio::spawn(async move { hold(&editor, rows).await }).await;
        // What the test put into the pool's namespace does not go with its own.
        for kind in ["configmap", "rolebinding"] {
            kubectl(&["delete", "--namespace", POOL_NAMESPACE, kind, ordinary]).await;
        }
        assert_eq!(entry_uid(scene).await, before, "a dry run deletes nothing");
        if let Err(error) = held {
            std::panic::resume_unwind(error.into_panic());
        }
    })
    .await;
}

/// Deletion in the foreground, and that which makes orphans, holds an object by a finalizer, which Kubernetes' garbage collector takes away.
/// It may be busy for minutes after an outage, so its part is played here as well.
#[tokio::test]
async fn what_is_held_by_its_deletion_may_be_let_go() {
    scene_alone("let-go", async |scene: &Scene| {
        hello(scene).await;
        let maps = scene.cluster.api::<ConfigMap>(POOL_NAMESPACE);
        for policy in [PropagationPolicy::Foreground, PropagationPolicy::Orphan] {
            let before = scene.entry_map("hello").await.expect("it is Ready").metadata;
            let name = before.name.expect("a stored object has a name");
            let way = DeleteParams { propagation_policy: Some(policy.clone()), ..DeleteParams::default() };
            maps.delete(&name, &way).await.expect("deleting is free");
            let let_go = Patch::Merge(json!({"metadata": {"finalizers": null}}));
            match maps.patch(&name, &PatchParams::default(), &let_go).await {
                Ok(_) => {}
                // The garbage collector was faster.
                Err(kube::Error::Api(answer)) if answer.code == 404 => {}
                Err(error) => panic!("{policy:?}: {error}"),
            }
            wait_for(&format!("it is gone, and another there: {policy:?}"), async || {
                match scene.entry_map("hello").await {
                    Some(now) if now.metadata.uid != before.uid => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            })
            .await;
        }
        scene.ready("hello").await;
    })
    .await;
}

/// An account with Kubernetes' own role `edit` in the pool's namespace, and an ordinary ConfigMap there; both named as the scene.
async fn editor(scene: &Scene) -> Account {
    let name = scene.namespace.as_str();
    kubectl(&["create", "serviceaccount", "editor", "--namespace", name]).await;
    let subject = format!("--serviceaccount={name}:editor");
    kubectl(&["create", "rolebinding", name, "--clusterrole=edit", &subject, "--namespace", POOL_NAMESPACE])
        .await;
    kubectl(&["create", "configmap", name, "--from-literal=a=b", "--namespace", POOL_NAMESPACE]).await;
    scene.cluster.account(name, "editor", None).await
}

/// What makes entries and blobs anew.
fn making_rows(ordinary: &str) -> Vec<Row> {
    let maps = core(POOL_NAMESPACE, "configmaps");
    let ordinary = format!("{maps}/{ordinary}");
    let as_entry = json!({labels::KIND: labels::KIND_ENTRY, labels::POOL: "default"});
    let as_blob = json!({labels::KIND: labels::KIND_BLOB});
    let fake_blob = blob_config_map(&Digest::of(b"fake"));
    let mut unnamed = config_map("", json!({}));
    unnamed["metadata"] = json!({"generateName": "blob.sha256-"});
    let create = |name: &str, labels: &serde_json::Value| Ask::post(&maps, &config_map(name, labels.clone()));
    vec![
        ("create an ordinary ConfigMap", create("e2e-ordinary", &json!({})), May),
        ("change an ordinary ConfigMap", Ask::merge(&ordinary, &json!({"data": {"a": "c"}})), May),
        ("create an entry", create("hm.default.e2e.none", &as_entry), Refused(ONLY)),
        ("create an entry by its name alone", create("hm.default.e2e.none", &json!({})), Refused(ONLY)),
        ("create an entry by its label alone", create("e2e-entry", &as_entry), Refused(ONLY)),
        ("create a blob", create(&fake_blob, &as_blob), Refused(ONLY)),
        ("create a blob by its name alone", create(&fake_blob, &json!({})), Refused(ONLY)),
        ("create a blob by a generated name", Ask::post(&maps, &unnamed), Refused(ONLY)),
        (
            "create a blob by apply",
            Ask::apply(&format!("{maps}/{fake_blob}"), &config_map(&fake_blob, as_blob)),
            Refused(ONLY),
        ),
        (
            "label an ordinary ConfigMap",
            Ask::merge(&ordinary, &json!({"metadata": {"labels": as_entry}})),
            Refused(ONLY),
        ),
    ]
}

fn changing_rows(scene: &Scene, blob: &str) -> Vec<Row> {
    let entry = entry(scene);
    vec![
        ("change an entry", Ask::merge(&entry, &json!({"data": {"entry.json": "{}"}})), Refused(ONLY)),
        (
            "annotate an entry",
            Ask::merge(&entry, &json!({"metadata": {"annotations": {"hotbay.dev/generation": "9"}}})),
            Refused(ONLY),
        ),
        (
            "take an entry's label",
            Ask::merge(&entry, &json!({"metadata": {"labels": {labels::KIND: null}}})),
            Refused(ONLY),
        ),
        (
            "annotate a blob",
            Ask::merge(blob, &json!({"metadata": {"annotations": {"hotbay.dev/compressed-bytes": "1"}}})),
            Refused(ONLY),
        ),
    ]
}

/// What would hold an entry or a blob as it is, or have it deleted with something else.
fn holding_rows(scene: &Scene, blob: &str) -> Vec<Row> {
    let entry = entry(scene);
    let finalizer = json!({"metadata": {"finalizers": ["example.com/hold"]}});
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "kube-root-ca.crt", "uid": "e2e"});
    let owned = json!({"metadata": {"ownerReferences": [owner]}});
    vec![
        ("make an entry immutable", Ask::merge(&entry, &json!({"immutable": true})), Refused(ONLY)),
        ("give an entry a finalizer", Ask::merge(&entry, &finalizer), Refused(ONLY)),
        ("give an entry an owner", Ask::merge(&entry, &owned), Refused(ONLY)),
        ("give a blob a finalizer", Ask::merge(blob, &finalizer), Refused(ONLY)),
        ("give a blob an owner", Ask::merge(blob, &owned), Refused(ONLY)),
    ]
}

fn remaining_rows(scene: &Scene, blob: &str) -> Vec<Row> {
    let entry = entry(scene);
    vec![
        (
            "write an entry as it is, as the migration of stored objects does",
            Ask::merge(&entry, &json!({})),
            May,
        ),
        ("delete an entry", Ask::delete(&entry), May),
        ("delete a blob", Ask::delete(blob), May),
        ("create a report", Ask::post(&own(POOL_NAMESPACE, "runtimereports"), &json!({})), MayNot),
        ("change the pool", Ask::merge(&own(POOL_NAMESPACE, "runtimepools/default"), &json!({})), MayNot),
        ("list the operator's ConfigMaps", Ask::get(&core("hotbay-system", "configmaps")), MayNot),
    ]
}
