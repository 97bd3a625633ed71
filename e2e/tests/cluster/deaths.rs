//! What dies, and what does not notice.

use hotbay_api::{Reason, condition};
use hotbay_e2e::cluster::pods::{container, is_ready};
use hotbay_e2e::cluster::scene::{Scene, current, scene_alone};
use hotbay_e2e::http::Protocol;
use hotbay_e2e::load::Load;
use hotbay_e2e::modules;
use hotbay_e2e::wait::wait_for;
use serde_json::json;

use crate::hello::{V1, edits_still_arrive, hello};

const CONNECTIONS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_engine_refuses_no_connection() {
    scene_alone("engine", async |scene: &Scene| {
        let why = "on this cluster nobody can kill an engine";
        if scene.cluster.local_or_skip("a_killed_engine_refuses_no_connection", why).is_none() {
            return;
        }
        hello(scene).await;
        let pod = &scene.pods[0];
        let before = scene.report(pod).await.spec.engine;
        let load = Load::start(pod.address, Protocol::H1, CONNECTIONS, &scene.path());
        load.answered(500).await;

        scene.cluster.runtime_process(pod, "engine").await.kill();
        wait_for("the next engine serves", async || {
            let engine = scene.report(pod).await.spec.engine;
            if engine > before { Ok(()) } else { Err(format!("engine {engine}")) }
        })
        .await;
        load.answered(500).await;

        let tally = load.stop().await;
        assert_eq!(
            (tally.connect_errors, tally.timeouts),
            (0, 0),
            "connections wait, none is refused: {tally:?}"
        );
        assert!(tally.other.is_empty(), "the next engine knows its routes when it accepts: {tally:?}");
        let cut = usize::try_from(tally.socket_errors).expect("a count");
        assert!(cut <= CONNECTIONS, "only what was under way is lost: {tally:?}");
    })
    .await;
}

#[tokio::test]
async fn a_module_that_aborts_is_quarantined_and_costs_nobody_else() {
    scene_alone("abort", async |scene: &Scene| {
        hello(scene).await;
        scene.push("faulty:1.0", &modules::faulty()).await;
        let mut engines = Vec::new();
        for pod in &scene.pods {
            engines.push(scene.report(pod).await.spec.engine);
        }

        let mut spec = scene.spec("faulty:1.0");
        spec["routes"] = json!([{"path": format!("{}/faulty", scene.path())}]);
        spec["config"] = json!({"mode": "create-abort"});
        scene.apply("faulty", spec).await;
        let module = scene.not_ready("faulty", &Reason::Quarantined).await;
        assert!(
            current(&module, condition::STALLED).is_some(),
            "only another build or config helps: {module:#?}"
        );
        let quarantined = scene.pods.len();
        let module = scene
            .module("faulty", "quarantined on every pod", |module| {
                let failures = module.status.iter().flat_map(|status| &status.failures);
                failures.filter(|failure| failure.reason == Reason::Quarantined).count() == quarantined
            })
            .await;
        let message = &module.status.expect("it has one").failures[0].message;
        assert!(message.contains("SIGABRT"), "{message}");

        // It had two engines of each pod and got no third, and a module that comes later is served.
        scene.serves(&scene.path(), V1).await;
        scene.patch("hello", json!({"spec": {"config": {"greeting": "Later"}}})).await;
        scene.serves(&scene.path(), "Later 1.0\n").await;
        for (pod, before) in scene.pods.iter().zip(engines) {
            let engine = scene.report(pod).await.spec.engine;
            assert!(engine <= before + 2, "pod {} went from engine {before} to {engine}", pod.name);
        }

        scene.patch("faulty", json!({"spec": {"config": {"mode": "none"}}})).await;
        scene.serves(&format!("{}/faulty", scene.path()), "ok\n").await;
        scene.ready("faulty").await;
    })
    .await;
}

#[tokio::test]
async fn a_killed_agent_leaves_the_bay_as_it_is() {
    scene_alone("agent", async |scene: &Scene| {
        let why = "on this cluster nobody can kill an agent";
        if scene.cluster.local_or_skip("a_killed_agent_leaves_the_bay_as_it_is", why).is_none() {
            return;
        }
        hello(scene).await;
        let pod = &scene.pods[0];
        let restarts = || async {
            let pods = scene.cluster.pod_objects().await;
            let object = pods
                .into_iter()
                .find(|object| object.metadata.name.as_ref() == Some(&pod.name))
                .expect("it stays");
            (container(&object, "agent").map_or(0, |agent| agent.restart_count), is_ready(&object))
        };
        let (before, _) = restarts().await;
        let load = Load::start(pod.address, Protocol::H1, 2, &scene.path());
        load.answered(100).await;

        let agents = scene.cluster.processes(pod, "agent").await;
        let [agent] = &agents[..] else { panic!("{agents:?}") };
        agent.kill();
        wait_for("the agent is started again", async || match restarts().await {
            (count, true) if count == before + 1 => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
        let tally = load.stop().await;
        assert_eq!(tally.failed(), 0, "{tally:?}");

        edits_still_arrive(scene).await;
    })
    .await;
}
