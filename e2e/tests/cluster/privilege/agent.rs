//! A runtime pod's account, which its agent alone has a token of.

use hotbay_e2e::cluster::account::{Account, Ask, Ruling};
use hotbay_e2e::cluster::pods::RuntimePod;
use hotbay_e2e::cluster::scene::{Scene, scene};
use hotbay_e2e::cluster::{OPERATOR_NAMESPACE, POOL, POOL_NAMESPACE};
use hotbay_e2e::wait::wait_for;
use serde_json::{Value, json};

use super::Expected::{May, MayNot, Refused};
use super::{Row, blob, config_map, core, entry, hold, own};
use crate::hello::hello;

fn report(pod: &str, uid: &str) -> Value {
    json!({
        "apiVersion": "hotbay.dev/v1alpha1", "kind": "RuntimeReport",
        "metadata": {"name": pod, "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid}]},
        "pool": POOL, "podUid": uid,
    })
}

/// Two pods of the pool: the one whose token is tried, and another.
fn two(scene: &Scene) -> (&RuntimePod, &RuntimePod) {
    let [mine, others, ..] = &scene.pods[..] else { panic!("the pool should have two pods") };
    (mine, others)
}

#[tokio::test]
async fn an_agent_reads_its_namespace_and_writes_its_own_report() {
    scene("agent-token", async |scene: &Scene| {
        hello(scene).await;
        let (mine, others) = two(scene);
        let agent = scene.cluster.account(POOL_NAMESPACE, "hotbay-default", Some(&mine.name)).await;
        hold(&agent, on_reports(mine, others)).await;
        hold(&agent, on_config_maps(scene, &blob(scene).await)).await;
        hold(&agent, on_all_else(scene, mine)).await;

        assert_eq!(replaces(&agent, &mine.name).await, Ruling::Granted, "an agent replaces its own report");
        let Ruling::Policy(message) = replaces(&agent, &others.name).await else {
            panic!("an agent must not replace another pod's report")
        };
        assert!(message.contains(&format!("name it {}", mine.name)), "{message}");
    })
    .await;
}

fn on_reports(mine: &RuntimePod, others: &RuntimePod) -> Vec<Row> {
    let all = own(POOL_NAMESPACE, "runtimereports");
    let its_own = format!("{all}/{}", mine.name);
    vec![
        ("get its report", Ask::get(&its_own), May),
        ("create its report", Ask::post(&all, &report(&mine.name, &mine.uid)), May),
        (
            "create another pod's report",
            Ask::post(&all, &report(&others.name, &others.uid)),
            Refused("a pod writes only the report of its own name"),
        ),
        (
            "create its report for another pod's UID",
            Ask::post(&all, &report(&mine.name, &others.uid)),
            Refused("a report belongs to its pod"),
        ),
        ("delete its report", Ask::delete(&its_own), MayNot),
        ("list reports", Ask::get(&all), MayNot),
    ]
}

fn on_config_maps(scene: &Scene, blob: &str) -> Vec<Row> {
    let maps = core(POOL_NAMESPACE, "configmaps");
    let entry = entry(scene);
    let label = json!({"hotbay.dev/kind": "entry"});
    vec![
        ("list entries", Ask::get(&format!("{maps}?labelSelector=hotbay.dev/kind%3Dentry")), May),
        ("watch entries", Ask::get(&format!("{maps}?watch=1&timeoutSeconds=1")), May),
        ("get a blob by name", Ask::get(blob), May),
        ("create a ConfigMap", Ask::post(&maps, &config_map("e2e-intruder", json!({}))), MayNot),
        ("create an entry", Ask::post(&maps, &config_map("hm.default.a.b", label)), MayNot),
        ("change an entry", Ask::merge(&entry, &json!({"data": {}})), MayNot),
        ("delete an entry", Ask::delete(&entry), MayNot),
        ("list ConfigMaps elsewhere", Ask::get(&core(&scene.namespace, "configmaps")), MayNot),
        ("list the operator's ConfigMaps", Ask::get(&core(OPERATOR_NAMESPACE, "configmaps")), MayNot),
    ]
}

fn on_all_else(scene: &Scene, mine: &RuntimePod) -> Vec<Row> {
    let here = |rest: &str| core(POOL_NAMESPACE, rest);
    let module = own(&scene.namespace, "handlermodules/hello");
    vec![
        ("list Secrets", Ask::get(&here("secrets")), MayNot),
        ("list pods", Ask::get(&here("pods")), MayNot),
        ("get its pod", Ask::get(&here(&format!("pods/{}", mine.name))), MayNot),
        ("list HandlerModules", Ask::get(&own(&scene.namespace, "handlermodules")), MayNot),
        ("change a HandlerModule", Ask::merge(&module, &json!({"spec": {}})), MayNot),
        ("change its pool", Ask::merge(&own(POOL_NAMESPACE, "runtimepools/default"), &json!({})), MayNot),
        ("get itself a token", Ask::post(&here("serviceaccounts/hotbay-default/token"), &json!({})), MayNot),
    ]
}

#[tokio::test]
async fn a_token_that_is_no_pods_or_for_blobs_alone_writes_no_report() {
    scene("other-tokens", async |scene: &Scene| {
        let (mine, _) = two(scene);
        let create = Ask::post(&own(POOL_NAMESPACE, "runtimereports"), &report(&mine.name, &mine.uid));
        let nobodys = scene.cluster.account(POOL_NAMESPACE, "hotbay-default", None).await;
        hold(&nobodys, vec![("write a report", create.clone(), Refused("this token belongs to no pod"))])
            .await;

        let (account, pod) = ("hotbay-default", Some(mine.name.as_str()));
        let blobs = scene.cluster.account_for("hotbay-blobs", POOL_NAMESPACE, account, pod).await;
        let Ruling::Other(story) = blobs.ask(&create).await else {
            panic!("a token for the blob service is none for the API server")
        };
        assert!(story.starts_with("401 "), "{story}");
    })
    .await;
}

/// Replaces a pod's report by itself. Its agent may have written in between: then again.
async fn replaces(account: &Account, pod: &str) -> Ruling {
    let path = own(POOL_NAMESPACE, &format!("runtimereports/{pod}"));
    wait_for("the report stays the same for a moment", async || {
        let text = account.text(&Ask::get(&path)).await.map_err(|ruling| format!("{ruling:?}"))?;
        let report: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        match account.ask(&Ask::put(&path, &report)).await {
            Ruling::Other(story) => Err(story),
            ruling => Ok(ruling),
        }
    })
    .await
}
