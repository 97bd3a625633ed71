//! The operator's account.

use hotbay_e2e::cluster::account::Ask;
use hotbay_e2e::cluster::scene::{Scene, scene};
use hotbay_e2e::cluster::{OPERATOR_NAMESPACE, POOL_NAMESPACE};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use serde_json::json;

use super::Expected::{May, MayNot, Refused};
use super::{Row, config_map, core, entry, entry_uid, hold, own};
use crate::hello::hello;

/// What it is told when it would write any other ConfigMap.
const ONLY: &str = "the operator writes only ConfigMaps named hm.*";

#[tokio::test]
async fn the_operator_writes_status_entries_and_blobs_and_reads_no_secret() {
    scene("operator-token", async |scene: &Scene| {
        hello(scene).await;
        let pods = scene.cluster.api::<Pod>(OPERATOR_NAMESPACE);
        let list = ListParams::default().labels("app.kubernetes.io/name=hotbay-operator");
        let pod = pods.list(&list).await.expect("pods can be listed").items.remove(0);
        let pod = pod.metadata.name.expect("a stored pod has a name");
        let operator = scene.cluster.account(OPERATOR_NAMESPACE, "hotbay-operator", Some(&pod)).await;
        let before = entry_uid(scene).await;
        hold(&operator, operators_own_objects(scene)).await;
        hold(&operator, operators_config_maps(scene)).await;
        hold(&operator, operators_surroundings(scene)).await;
        assert_eq!(entry_uid(scene).await, before, "a dry run deletes nothing");
    })
    .await;
}

fn operators_own_objects(scene: &Scene) -> Vec<Row> {
    let all = |kind: &str| format!("/apis/hotbay.dev/v1alpha1/{kind}");
    let module = own(&scene.namespace, "handlermodules/hello");
    let status = json!({"status": {"observedGeneration": 1}});
    vec![
        ("list HandlerModules", Ask::get(&all("handlermodules")), May),
        ("list RuntimePools", Ask::get(&all("runtimepools")), May),
        ("list RuntimeReports", Ask::get(&all("runtimereports")), May),
        ("get a HandlerModule", Ask::get(&module), May),
        ("write its status", Ask::merge(&format!("{module}/status"), &status), May),
        (
            "write a pool's status",
            Ask::merge(&own(POOL_NAMESPACE, "runtimepools/default/status"), &status),
            May,
        ),
        ("change a HandlerModule", Ask::merge(&module, &json!({"spec": {"config": {}}})), MayNot),
        ("delete a HandlerModule", Ask::delete(&module), MayNot),
        ("create a HandlerModule", Ask::post(&own(&scene.namespace, "handlermodules"), &json!({})), MayNot),
        ("change a pool", Ask::merge(&own(POOL_NAMESPACE, "runtimepools/default"), &json!({})), MayNot),
        (
            "delete a report",
            Ask::delete(&own(POOL_NAMESPACE, &format!("runtimereports/{}", scene.pods[0].name))),
            MayNot,
        ),
    ]
}

fn operators_config_maps(scene: &Scene) -> Vec<Row> {
    let maps = core(POOL_NAMESPACE, "configmaps");
    let root = format!("{maps}/kube-root-ca.crt");
    let fresh = config_map("hm.default.e2e.none", json!({"hotbay.dev/kind": "entry"}));
    let there = entry(scene);
    let name = there.rsplit('/').next().expect("a path has an end");
    let again = config_map(name, json!({"hotbay.dev/kind": "entry"}));
    vec![
        ("list entries", Ask::get(&maps), May),
        ("create an entry", Ask::post(&maps, &fresh), May),
        ("apply an entry", Ask::apply(&there, &again), May),
        ("delete an entry", Ask::delete(&there), May),
        ("create another ConfigMap", Ask::post(&maps, &config_map("e2e", json!({}))), Refused(ONLY)),
        (
            "create an entry without its label",
            Ask::post(&maps, &config_map("hm.default.e2e.none", json!({}))),
            Refused(ONLY),
        ),
        (
            "change the API server's authority",
            Ask::merge(&root, &json!({"data": {"ca.crt": ""}})),
            Refused(ONLY),
        ),
        ("delete the API server's authority", Ask::delete(&root), Refused(ONLY)),
        ("list ConfigMaps elsewhere", Ask::get(&core(&scene.namespace, "configmaps")), MayNot),
        ("list its own namespace's ConfigMaps", Ask::get(&core(OPERATOR_NAMESPACE, "configmaps")), MayNot),
        ("create an entry elsewhere", Ask::post(&core(&scene.namespace, "configmaps"), &fresh), MayNot),
        ("list all ConfigMaps", Ask::get("/api/v1/configmaps"), MayNot),
    ]
}

fn operators_surroundings(scene: &Scene) -> Vec<Row> {
    let definition = |name: &str| format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}");
    let modules = definition("handlermodules.hotbay.dev");
    let pod = core(POOL_NAMESPACE, &format!("pods/{}", scene.pods[0].name));
    let account = core(POOL_NAMESPACE, "serviceaccounts/hotbay-default/token");
    let slices = format!("/apis/discovery.k8s.io/v1/namespaces/{POOL_NAMESPACE}/endpointslices");
    let events = format!("/apis/events.k8s.io/v1/namespaces/{}/events", scene.namespace);
    let event = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"generateName": "e2e-"},
        "eventTime": "2026-01-01T00:00:00.000000Z", "type": "Normal", "reason": "Tested", "action": "Test",
        "reportingController": "hotbay.dev/e2e", "reportingInstance": "e2e",
        "regarding": {"apiVersion": "hotbay.dev/v1alpha1", "kind": "HandlerModule", "name": "hello", "namespace": scene.namespace},
    });
    let review =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": "none"}});
    vec![
        ("list namespaces", Ask::get("/api/v1/namespaces"), May),
        ("list a pool's EndpointSlices", Ask::get(&slices), May),
        ("tell an event", Ask::post(&events, &event), May),
        ("have a token reviewed", Ask::post("/apis/authentication.k8s.io/v1/tokenreviews", &review), May),
        ("see whether HandlerModules are established", Ask::get(&modules), May),
        ("see another definition", Ask::get(&definition("runtimepools.hotbay.dev")), MayNot),
        ("delete a definition", Ask::delete(&modules), MayNot),
        ("list all Secrets", Ask::get("/api/v1/secrets"), MayNot),
        ("list a pool's Secrets", Ask::get(&core(POOL_NAMESPACE, "secrets")), MayNot),
        ("list its own Secrets", Ask::get(&core(OPERATOR_NAMESPACE, "secrets")), MayNot),
        ("list a user's Secrets", Ask::get(&core(&scene.namespace, "secrets")), MayNot),
        ("get a pod", Ask::get(&pod), MayNot),
        ("patch a pod", Ask::merge(&pod, &json!({})), MayNot),
        ("delete a pod", Ask::delete(&pod), MayNot),
        ("create a pod", Ask::post(&core(POOL_NAMESPACE, "pods"), &json!({})), MayNot),
        ("get a pod's token", Ask::post(&account, &json!({})), MayNot),
        (
            "change a pool's Deployment",
            Ask::merge(
                &format!("/apis/apps/v1/namespaces/{POOL_NAMESPACE}/deployments/hotbay-default"),
                &json!({}),
            ),
            MayNot,
        ),
        (
            "change the policies",
            Ask::delete(
                "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/hotbay.hotbay.default.entries",
            ),
            MayNot,
        ),
    ]
}
