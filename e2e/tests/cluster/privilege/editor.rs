//! A person who may edit a pool's namespace, and so its ConfigMaps: entries and blobs cannot be faked, and each can be deleted.

use hotbay_api::Digest;
use hotbay_api::names::{blob_config_map, labels};
use hotbay_e2e::cluster::account::{Account, Ask};
use hotbay_e2e::cluster::scene::{Scene, scene};
use hotbay_e2e::cluster::{POOL_NAMESPACE, kubectl};
use serde_json::json;

use super::Expected::{May, MayNot, Refused};
use super::{Row, blob, config_map, core, entry, entry_uid, hold, own};
use crate::hello::hello;

/// What others than the operator are told.
const ONLY: &str = "makes or changes entries and blobs";

#[tokio::test]
async fn an_editor_of_the_namespace_fakes_no_entry_and_no_blob_and_may_delete_both() {
    scene("editor", async |scene: &Scene| {
        hello(scene).await;
        let ordinary = scene.namespace.as_str();
        let editor = editor(scene).await;
        let rows = editors_rows(scene, ordinary, &blob(scene).await);
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

fn editors_rows(scene: &Scene, ordinary: &str, blob: &str) -> Vec<Row> {
    let maps = core(POOL_NAMESPACE, "configmaps");
    let ordinary = format!("{maps}/{ordinary}");
    let entry = entry(scene);
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
