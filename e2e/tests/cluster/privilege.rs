//! Who may do what: each account's token against the API server, in tables.
//!
//! A row says what is tried, how, and what must come of it. Reading is real; every write is a dry run, which is judged like any other.

mod agent;
mod editor;
mod operator;

use hotbay_api::names::{blob_config_map, entry_config_map};
use hotbay_e2e::cluster::account::{Account, Ask, Ruling};
use hotbay_e2e::cluster::scene::Scene;
use hotbay_e2e::cluster::{POOL, POOL_NAMESPACE};
use hotbay_e2e::wait::wait_for;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};

/// What must come of a request.
enum Expected {
    /// It is granted.
    May,
    /// RBAC does not grant it.
    MayNot,
    /// RBAC would grant it; a policy refuses it in words with these among them.
    Refused(&'static str),
}
use Expected::{May, MayNot, Refused};

type Row = (&'static str, Ask, Expected);

/// Tries every row before it judges, so that a failure names all that is wrong.
async fn hold(account: &Account, rows: Vec<Row>) {
    let mut wrong = Vec::new();
    for (what, ask, expected) in rows {
        let ruling = account.ask(&ask).await;
        let right = match (&expected, &ruling) {
            (May, Ruling::Granted) | (MayNot, Ruling::NoRight) => true,
            (Refused(words), Ruling::Policy(message)) => message.contains(words),
            _ => false,
        };
        if !right {
            let should = match expected {
                May => "should be granted".to_owned(),
                MayNot => "should not be granted by RBAC".to_owned(),
                Refused(words) => format!("should be refused with {words:?}"),
            };
            wrong.push(format!("to {what} {should}, and the answer is {ruling:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", account.name, wrong.join("\n"));
}

fn core(namespace: &str, rest: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/{rest}")
}

fn own(namespace: &str, rest: &str) -> String {
    format!("/apis/hotbay.dev/v1alpha1/namespaces/{namespace}/{rest}")
}

fn config_map(name: &str, labels: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}, "data": {"entry.json": "{}"}})
}

/// The UID of the ConfigMap of the entry of the scene's hello: dry runs leave it.
async fn entry_uid(scene: &Scene) -> Option<String> {
    scene.entry_map("hello").await.and_then(|map| map.metadata.uid)
}

/// The ConfigMap of the entry of the scene's hello, as a path.
fn entry(scene: &Scene) -> String {
    let name = entry_config_map(POOL, &scene.key("hello"));
    core(POOL_NAMESPACE, &format!("configmaps/{name}"))
}

/// The ConfigMap of its blob, as a path, once it is there: pods that ask before get the blob from the operator.
async fn blob(scene: &Scene) -> String {
    let digest = scene.entry("hello").await.revisions[0].blobs[0].digest;
    let name = blob_config_map(&digest);
    let maps = scene.cluster.api::<ConfigMap>(POOL_NAMESPACE);
    wait_for(&format!("there is {name}"), async || {
        maps.get(&name).await.map(drop).map_err(|error| error.to_string())
    })
    .await;
    core(POOL_NAMESPACE, &format!("configmaps/{name}"))
}
