//! Lists of HandlerModules that lie. The most dangerous thing that an operator can be told is that there are no modules.

use std::collections::BTreeMap;

use hotbay_api::condition::{SWEEP_HELD, find};
use hotbay_api::{Reason, RuntimePool};
use hotbay_e2e::cluster::OPERATOR_NAMESPACE;
use hotbay_e2e::cluster::own_operator::{OPERATOR, OwnOperator};
use hotbay_e2e::cluster::proxy::{Lists, Proxy};
use hotbay_e2e::cluster::scene::{Scene, scene, scene_alone};
use hotbay_e2e::wait::wait_for;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::hello::{V1, hello};

/// More than may go unasked.
const MANY: usize = 25;
const POOL: &str = "many";

/// UID and resourceVersion of every entry of the test's own pool.
async fn entries(scene: &Scene) -> BTreeMap<String, (String, String)> {
    let params = ListParams::default().labels(&format!("hotbay.dev/pool={POOL}"));
    let maps =
        scene.cluster.api::<ConfigMap>(&scene.namespace).list(&params).await.expect("they can be listed");
    let entry = |map: ConfigMap| {
        let meta = map.metadata;
        (meta.name.unwrap(), (meta.uid.unwrap(), meta.resource_version.unwrap()))
    };
    maps.items.into_iter().map(entry).collect()
}

/// Waits until the test's own pool has SweepHeld, or has it no more.
async fn sweep_is_held(scene: &Scene, held: bool) {
    wait_for(&format!("SweepHeld is there: {held}"), async || {
        let pool: RuntimePool =
            scene.cluster.api(&scene.namespace).get(POOL).await.map_err(|error| error.to_string())?;
        let conditions = pool.status.unwrap_or_default().conditions;
        if find(&conditions, SWEEP_HELD).is_some() == held { Ok(()) } else { Err(format!("{conditions:#?}")) }
    })
    .await;
}

/// Waits until a metric of the operator has this value, or more.
async fn metric_reaches(operator: &OwnOperator, name: &str, labels: &str, least: f64) {
    wait_for(&format!("{name}{{{labels}}} is {least}"), async || {
        let value = operator.metric(name, labels).await;
        if value >= least { Ok(()) } else { Err(value.to_string()) }
    })
    .await;
}

/// Waits until this was told about an object of the test.
async fn told(scene: &Scene, kind: &str, name: &str, reason: &Reason) {
    wait_for(&format!("an event {reason} of {kind} {name}"), async || {
        let events = scene.cluster.api::<Event>(&scene.namespace).list(&ListParams::default()).await;
        let events = events.map_err(|error| error.to_string())?.items;
        let is_meant = |event: &&Event| {
            let regarding = event.regarding.clone().unwrap_or_default();
            regarding.kind.as_deref() == Some(kind)
                && regarding.name.as_deref() == Some(name)
                && event.reason.as_deref() == Some(reason.as_str())
        };
        match events.iter().filter(is_meant).count() {
            1 => Ok(()),
            count => Err(format!("{count} of {}", events.len())),
        }
    })
    .await;
}

/// Has a pool with [`MANY`] modules of one tag, and every entry written.
async fn many(scene: &Scene) -> BTreeMap<String, (String, String)> {
    let runtime = scene.own_pool(POOL, json!({})).await;
    for number in 0..MANY {
        let mut spec = scene.spec("hello:1.0");
        spec["runtimeRef"] = runtime.clone();
        spec["routes"] = json!([{"path": format!("/m{number}")}]);
        scene.apply(&format!("m{number}"), spec).await;
    }
    wait_for("every module has its entry", async || match entries(scene).await {
        all if all.len() == MANY => Ok(all),
        some => Err(format!("{} of {MANY}", some.len())),
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_or_forbidden_list_removes_no_entry() {
    scene_alone("lists", async |scene: &Scene| {
        hello(scene).await;
        scene.cluster.without_operator(async || lies_and_then_the_truth(scene).await).await;
    })
    .await;
}

async fn lies_and_then_the_truth(scene: &Scene) {
    let cluster = &scene.cluster;
    let proxy = Proxy::start(cluster.client.clone(), OPERATOR_NAMESPACE, OPERATOR).await;
    let operator = cluster.own_operator(&proxy.kubeconfig()).await;
    operator.ready().await;
    let before = many(scene).await;
    told(scene, "HandlerModule", "m0", &Reason::Progressing).await;

    proxy.answer_lists(Lists::Empty);
    sweep_is_held(scene, true).await;
    told(scene, "RuntimePool", POOL, &Reason::SweepHeld).await;
    let own = format!(r#"pool="{}/{POOL}""#, scene.namespace);
    metric_reaches(&operator, "hotbay_operator_sweeps_held", &own, MANY as f64).await;
    // In the shared pool they are few enough to go, and what saves them is that the API server is asked itself.
    let kept = r#"kind="entry",operation="delete",outcome="kept""#;
    metric_reaches(&operator, "hotbay_operator_write_duration_seconds_count", kept, 1.0).await;
    assert_eq!(entries(scene).await, before, "an empty list costs no entry, and writes none");
    scene.serves_now(&scene.path(), V1).await;

    proxy.answer_lists(Lists::Forbidden);
    let failures = "hotbay_operator_watch_failures_total";
    // The end of the watch that was there, and then the list, twice.
    metric_reaches(&operator, failures, r#"kind="HandlerModules""#, 4.0).await;
    assert_eq!(entries(scene).await, before, "a forbidden list costs no entry, and writes none");
    operator.stop().await;

    let blind = cluster.own_operator(&proxy.kubeconfig()).await;
    wait_for("the new operator was refused too", async || {
        match blind.log().matches("a watch failed").count() {
            0 => Err(blind.log()),
            _ => Ok(()),
        }
    })
    .await;
    assert_eq!(entries(scene).await, before, "who has seen no list decides nothing");
    blind.stop().await;

    proxy.answer_lists(Lists::Empty);
    let deceived = cluster.own_operator(&proxy.kubeconfig()).await;
    deceived.ready().await;
    metric_reaches(&deceived, "hotbay_operator_sweeps_held", &own, MANY as f64).await;
    assert_eq!(entries(scene).await, before, "also when it is the first that an operator hears");
    deceived.stop().await;

    scene.delete("m0").await;
    proxy.answer_lists(Lists::Honest);
    the_truth(scene, &proxy, before).await;
}

/// An operator that is late applies what it believes to be there. This is what the API server makes of it.
#[tokio::test]
async fn an_apply_with_the_uid_of_what_is_gone_makes_nothing() {
    scene("apply", async |scene: &Scene| {
        let maps = scene.cluster.api::<ConfigMap>(&scene.namespace);
        let named =
            |meta: serde_json::Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta});
        let object = serde_json::from_value(named(json!({"name": "entry"}))).unwrap();
        let made: ConfigMap = maps.create(&PostParams::default(), &object).await.unwrap();
        maps.delete("entry", &DeleteParams::default()).await.unwrap();
        let late = named(json!({"name": "entry", "uid": made.metadata.uid}));
        let params = PatchParams::apply("late").force();
        let refused = maps.patch("entry", &params, &Patch::Apply(&late)).await;
        let Err(kube::Error::Api(status)) = refused else { panic!("{refused:?}") };
        assert_eq!(status.code, 409, "{status:?}");
        assert!(maps.get_opt("entry").await.unwrap().is_none(), "it stays gone");
    })
    .await;
}

/// What an honest list lacks goes, and nothing else; and what was prepared before is prepared still.
async fn the_truth(scene: &Scene, proxy: &Proxy, before: BTreeMap<String, (String, String)>) {
    let operator = scene.cluster.own_operator(&proxy.kubeconfig()).await;
    operator.ready().await;
    let gone = format!("hm.{POOL}.{}.m0", scene.namespace);
    let mut left = before;
    left.remove(&gone).expect("it was there");
    let now = wait_for("the entry of the deleted module is gone", async || match entries(scene).await {
        now if now.contains_key(&gone) => Err(format!("{} entries", now.len())),
        now => Ok(now),
    })
    .await;
    assert_eq!(now, left, "the others are as they were");
    sweep_is_held(scene, false).await;
    let log = operator.log();
    let prepared =
        log.lines().filter(|line| line.contains("prepared an artifact") && line.contains(&scene.namespace));
    assert_eq!(prepared.count(), 0, "a restart pulls nothing that is there: {log}");
    scene.serves_now(&scene.path(), V1).await;
    operator.stop().await;
}
