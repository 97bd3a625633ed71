//! Modules that end engines: they are found, named and kept from doing it again.

use hotbay_api::{HandlerModule, Platform, Reason, condition};
use hotbay_e2e::cluster::scene::{Scene, current, scene_alone};
use hotbay_e2e::http::get;
use hotbay_e2e::modules;
use hotbay_e2e::wait::wait_for;
use k8s_openapi::api::core::v1::Event;
use kube::api::ListParams;
use serde_json::json;

use crate::hello::{V1, hello};

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

/// The module's failure on a pod, once it is this one.
async fn failure(scene: &Scene, name: &str, reason: &Reason) -> String {
    let module = scene
        .module(name, &format!("failed for {reason}"), |module: &HandlerModule| {
            let failures = module.status.iter().flat_map(|status| &status.failures);
            failures.clone().any(|failure| failure.reason == *reason)
        })
        .await;
    let failures = module.status.expect("it has one").failures;
    failures.into_iter().find(|failure| failure.reason == *reason).expect("it was there").message
}

#[tokio::test]
async fn a_module_that_reads_where_nothing_is_is_named_with_signal_and_request() {
    scene_alone("segv", async |scene: &Scene| {
        hello(scene).await;
        let digest = scene.push("faulty:1.0", &modules::faulty()).await;
        let path = format!("{}/faulty", scene.path());
        let mut spec = scene.spec("faulty:1.0");
        spec["routes"] = json!([{"path": path}]);
        spec["config"] = json!({"mode": "handler-segv"});
        scene.apply("faulty", spec).await;
        scene.ready("faulty").await;

        let pod = &scene.pods[0];
        for _ in 0..2 {
            let before = scene.report(pod).await.spec.engine;
            // It gets no answer, or that of the next engine, which does not serve the module any more.
            if let Ok(answer) = get(pod.address, &path).await {
                assert_ne!(answer.status, 200, "{}", answer.text());
            }
            wait_for("the next engine serves", async || match scene.report(pod).await.spec.engine {
                engine if engine > before => Ok(()),
                engine => Err(format!("engine {engine}")),
            })
            .await;
            pod.serves(&scene.path(), V1).await;
        }

        let message = failure(scene, "faulty", &Reason::Quarantined).await;
        let build = scene.entry("faulty").await.revisions[0].blobs[0].digest;
        for word in ["SIGSEGV", &format!("GET {path}"), &format!("(build sha256:{})", build.short())] {
            assert!(message.contains(word), "{word:?} should be in {message:?}");
        }
        let events = scene.cluster.api::<Event>(&scene.namespace);
        wait_for("an event tells it", async || {
            let events = events.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
            let told = events.iter().any(|event| {
                let note = event.message.as_deref().unwrap_or_default();
                event.involved_object.name.as_deref() == Some("faulty")
                    && event.reason.as_deref() == Some("Quarantined")
                    && note.contains("SIGSEGV")
            });
            if told { Ok(()) } else { Err(format!("{:#?}", events.items)) }
        })
        .await;
        assert_eq!(scene.ready("faulty").await.status.unwrap().artifact.unwrap().digest, digest);

        scene.patch("faulty", json!({"spec": {"config": {"mode": "none"}}})).await;
        scene.serves(&path, "ok\n").await;
        scene.ready("faulty").await;
    })
    .await;
}

#[tokio::test]
async fn a_module_that_holds_a_thread_is_named_and_stays_ready() {
    scene_alone("stall", async |scene: &Scene| {
        // A build of its own: pods that outlive a run remember which ones held a thread.
        let mut build = std::fs::read(modules::faulty()).unwrap();
        build.extend(scene.namespace.bytes());
        scene.push_builds("faulty:1.0", &[(Platform::current(), build.into())]).await;
        let path = format!("{}/faulty", scene.path());
        let mut spec = scene.spec("faulty:1.0");
        spec["routes"] = json!([{"path": path}]);
        // Ten times what is too long: each pod is asked once, and a machine that stalls just then must not hide it.
        spec["config"] = json!({"mode": "handler-sleep-ms:5000"});
        scene.apply("faulty", spec).await;
        scene.ready("faulty").await;
        scene.serves(&path, "ok\n").await;
        let module =
            scene.module("faulty", "demoted", |module| current(module, condition::DEMOTED).is_some()).await;
        let demoted = current(&module, condition::DEMOTED).expect("it was there");
        assert_eq!(demoted.reason, Reason::Stalled);
        assert!(demoted.message.contains(&format!("handler faulty ({path}) held")), "{}", demoted.message);
        scene.ready("faulty").await;
        scene.serves(&path, "ok\n").await;
    })
    .await;
}
