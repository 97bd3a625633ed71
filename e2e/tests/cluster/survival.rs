//! Entries and blobs that somebody edits by hand: nobody serves wrong bytes, and the operator mends them.
//!
//! The chart's admission policies refuse such edits to everybody, so they are lifted here, as whoever may edit policies can.

use std::collections::BTreeMap;

use hotbay_api::names::{blob_config_map, labels};
use hotbay_e2e::cluster::outage::always;
use hotbay_e2e::cluster::scene::{Scene, scene_alone};
use hotbay_e2e::cluster::{POOL, POOL_NAMESPACE};
use hotbay_e2e::wait::wait_for;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::hello::{V1, edits_still_arrive, hello};

fn maps(scene: &Scene) -> Api<ConfigMap> {
    scene.cluster.api(POOL_NAMESPACE)
}

/// Plays `test` while everybody with the rights may write entries and blobs.
async fn without_policy(scene: &Scene, test: impl AsyncFnOnce()) {
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(scene.cluster.client.clone());
    let name = format!("hotbay.{POOL_NAMESPACE}.{POOL}.entries");
    let mut binding = bindings.get(&name).await.expect("the chart made it");
    bindings.delete(&name, &DeleteParams::default()).await.unwrap();
    (binding.metadata.resource_version, binding.metadata.uid) = (None, None);
    let lifted_for_test = async {
        let name = hotbay_api::names::entry_config_map(POOL, &scene.key("hello"));
        let params = PatchParams { dry_run: true, ..PatchParams::default() };
        let edit = Patch::Merge(json!({"metadata": {"labels": {"e2e": "may-i"}}}));
        wait_for("the policy is lifted", async || {
            maps(scene).patch(&name, &params, &edit).await.map(drop).map_err(|error| error.to_string())
        })
        .await;
        test().await;
    };
    always(lifted_for_test, async {
        bindings.create(&PostParams::default(), &binding).await.expect("the policy is back");
    })
    .await;
}

/// Merges `part` into the entry of hello, and waits until it says again what it said.
async fn edit_entry(scene: &Scene, what: &str, part: Value) {
    let before = scene.entry_map("hello").await.expect("it is Ready");
    let name = before.metadata.name.clone().expect("it has one");
    maps(scene).patch(&name, &PatchParams::default(), &Patch::Merge(part)).await.unwrap();
    wait_for(&format!("the entry is mended: {what}"), async || {
        let now = scene.entry_map("hello").await.ok_or("it is gone")?;
        let says = |map: &ConfigMap| {
            let meta = map.metadata.clone();
            (map.data.clone(), meta.labels, meta.annotations)
        };
        if says(&now) == says(&before) { Ok(()) } else { Err(format!("{now:#?}")) }
    })
    .await;
    scene.serves(&scene.path(), V1).await;
    scene.ready("hello").await;
}

#[tokio::test]
async fn an_entry_that_was_edited_by_hand_is_mended() {
    scene_alone("edited", async |scene: &Scene| {
        hello(scene).await;
        without_policy(scene, async || {
            let mut entry = serde_json::to_value(scene.entry("hello").await).unwrap();
            entry["revisions"][0]["config"] = json!({"greeting": "Forged"});
            let forged = json!({"data": {"entry.json": entry.to_string()}});
            edit_entry(scene, "its config was forged", forged).await;
            edit_entry(scene, "it is no JSON", json!({"data": {"entry.json": "{"}})).await;
            let unlabelled = json!({"metadata": {"labels": {labels::KIND: null}}});
            edit_entry(scene, "a label was taken away", unlabelled).await;
            let another_pools = json!({"metadata": {"labels": {labels::POOL: "another"}}});
            edit_entry(scene, "its pool is another", another_pools).await;
            let unnoted = json!({"metadata": {"annotations": null}});
            edit_entry(scene, "its annotations were taken away", unnoted).await;
        })
        .await;
        edits_still_arrive(scene).await;
    })
    .await;
}

#[tokio::test]
async fn an_entry_that_was_deleted_by_hand_is_made_again() {
    scene_alone("unmade", async |scene: &Scene| {
        hello(scene).await;
        let entry = scene.entry_map("hello").await.expect("it is Ready").metadata;
        maps(scene).delete(&entry.name.unwrap(), &DeleteParams::default()).await.unwrap();
        wait_for("there is another entry", async || match scene.entry_map("hello").await {
            Some(now) if now.metadata.uid != entry.uid => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
        scene.serves(&scene.path(), V1).await;
        edits_still_arrive(scene).await;
    })
    .await;
}

/// The bytes in a blob's ConfigMap.
fn bytes(map: &ConfigMap) -> &BTreeMap<String, ByteString> {
    map.binary_data.as_ref().expect("a blob is binary")
}

#[tokio::test]
async fn a_blob_with_other_bytes_is_loaded_by_nobody() {
    scene_alone("forged", async |scene: &Scene| {
        hello(scene).await;
        let digest = scene.entry("hello").await.revisions[0].blobs[0].digest;
        let name = blob_config_map(&digest);
        let good = maps(scene).get(&name).await.expect("a small blob is in a ConfigMap");
        without_policy(scene, async || {
            let mut forged = good.clone();
            forged.metadata.resource_version = None;
            forged.metadata.uid = None;
            // As of a file that `kubectl get` wrote, which says nothing of who made it.
            forged.metadata.managed_fields = None;
            for content in forged.binary_data.iter_mut().flat_map(BTreeMap::values_mut) {
                if let Some(last) = content.0.last_mut() {
                    *last ^= 0xff;
                }
            }
            // It is immutable, so it is replaced; and the operator may be faster than we are.
            wait_for("the blob is forged", async || {
                drop(maps(scene).delete(&name, &DeleteParams::default()).await);
                let made = maps(scene).create(&PostParams::default(), &forged).await;
                made.map(drop).map_err(|error| error.to_string())
            })
            .await;

            let loaded_right = async {
                let old = &scene.pods[0];
                scene.ends(old).await;
                let pods = scene.cluster.api::<Pod>(POOL_NAMESPACE);
                pods.delete(&old.name, &DeleteParams::default()).await.unwrap();
                wait_for("a new pod serves hello, by its right bytes", async || {
                    let now = scene.cluster.runtime_pods().await;
                    let new = now.iter().find(|pod| scene.pods.iter().all(|known| known.uid != pod.uid));
                    let answer = new.ok_or("there is no new pod")?.get(&scene.path()).await;
                    if answer.text() == V1 { Ok(()) } else { Err(format!("{answer:?}")) }
                })
                .await;
                wait_for("the operator makes anew what it has not made", async || {
                    let now = maps(scene).get(&name).await.map_err(|error| error.to_string())?;
                    if bytes(&now) == bytes(&good) { Ok(()) } else { Err("it is still forged".to_owned()) }
                })
                .await;
            };
            // Whoever deletes the forged one has the right one made.
            always(loaded_right, async {
                maps(scene).delete(&name, &DeleteParams::default()).await.expect("it is there");
            })
            .await;
        })
        .await;
        wait_for("the blob is mended", async || {
            let now = maps(scene).get(&name).await.map_err(|error| error.to_string())?;
            if bytes(&now) == bytes(&good) { Ok(()) } else { Err("it is still forged".to_owned()) }
        })
        .await;
        let rest: Vec<_> = scene.pods[1..].iter().collect();
        for pod in rest {
            pod.serves(&scene.path(), V1).await;
        }
    })
    .await;
}
