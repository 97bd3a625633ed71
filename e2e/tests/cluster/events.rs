//! What `kubectl describe` tells of a module's life.

use hotbay_e2e::cluster::scene::{Scene, scene_alone};
use hotbay_e2e::http::get;
use hotbay_e2e::modules;
use hotbay_e2e::wait::wait_for;
use k8s_openapi::api::events::v1::Event;
use kube::api::ListParams;
use serde_json::json;

/// Type, reason and words of each event about a module, oldest first.
async fn events(scene: &Scene, module: &str) -> Vec<(String, String, String)> {
    let list = scene.cluster.api::<Event>(&scene.namespace).list(&ListParams::default()).await;
    let mut list = list.expect("events can be listed").items;
    list.retain(|event| event.regarding.as_ref().is_some_and(|about| about.name.as_deref() == Some(module)));
    list.sort_by_key(|event| event.event_time.as_ref().map(|time| time.0));
    let told = |event: Event| {
        (event.type_.unwrap_or_default(), event.reason.unwrap_or_default(), event.note.unwrap_or_default())
    };
    list.into_iter().map(told).collect()
}

/// Waits until exactly these were told, and returns their words.
async fn told(scene: &Scene, module: &str, expected: &[&str]) -> Vec<String> {
    wait_for(&format!("{expected:?} is told of {module}"), async || {
        let mut events = events(scene, module).await;
        // A build that holds a thread is demoted for all who use it, and another test has this one do so.
        events.retain(|(_, reason, _)| reason != "Stalled");
        let heads: Vec<String> = events.iter().map(|(kind, reason, _)| format!("{kind} {reason}")).collect();
        if heads == expected {
            Ok(events.into_iter().map(|(.., note)| note).collect())
        } else {
            Err(format!("{events:#?}"))
        }
    })
    .await
}

#[tokio::test]
async fn a_module_is_told_from_its_refusal_to_its_crash_and_its_recovery() {
    scene_alone("events", async |scene: &Scene| {
        scene.push("faulty:1.0", &modules::faulty()).await;
        let mut spec = scene.spec("faulty:1.0");
        spec["config"] = json!({"mode": "no-such-mode"});
        scene.apply("faulty", spec.clone()).await;
        let refused = "Warning ConfigRejected";
        let words = told(scene, "faulty", &[refused]).await;
        assert!(words[0].contains("spec.config.mode"), "{words:?}");

        spec["config"] = json!({"mode": "handler-segv"});
        scene.apply("faulty", spec).await;
        scene.ready("faulty").await;
        let (prepared, served) = ("Normal Progressing", "Normal Succeeded");
        told(scene, "faulty", &[refused, prepared, served]).await;

        // It ends the engine, so there is no answer.
        drop(get(scene.pods[0].address, &scene.path()).await);
        let crashed = "Warning Crashed";
        let words = wait_for("the crash is told", async || {
            let crash = events(scene, "faulty")
                .await
                .into_iter()
                .find(|(kind, reason, _)| format!("{kind} {reason}") == crashed);
            crash.map(|(.., note)| note).ok_or_else(|| "not yet".to_owned())
        })
        .await;
        for part in [&scene.pods[0].name, "SIGSEGV", &scene.path(), "sha256:"] {
            assert!(words.contains(part), "{words} must name {part}");
        }
        told(scene, "faulty", &[refused, prepared, served, crashed, served]).await;
    })
    .await;
}
