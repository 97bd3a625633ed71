//! What cannot be served: the old version goes on, and the object says what is wrong and what to do.
//!
//! Owns how a refusal looks; the files below have one test for each way to cause one. Each case starts from a module that serves, and breaks
//! one thing.

mod artifacts;
mod pods;
mod pools;
mod routes;
mod sources;

use std::path::{Path, PathBuf};

use hotbay_api::{ConditionStatus, HandlerModule, Reason, condition};
use hotbay_e2e::cluster::scene::{Scene, current, scene};
use hotbay_e2e::modules;
use hotbay_e2e::wait::wait_for;
use serde_json::{Value, json};

pub const V1: &str = "Hello from Hotbay 1.0\n";

/// Whether the object says that waiting helps.
#[derive(Clone, Copy)]
pub enum Says {
    Reconciling,
    Stalled,
}

/// What an object says of a refusal.
pub struct Refused<'t> {
    pub reason: Reason,
    /// The condition that it makes False, beside Ready.
    pub condition: &'t str,
    pub says: Says,
    /// What its message holds.
    pub words: &'t [&'t str],
}

/// Breaks a module that serves with what `edit` says; it must say what is expected, and go on serving. Then it is mended.
pub async fn refuses(name: &str, edit: impl AsyncFnOnce(&Scene) -> Value, expected: Refused<'_>) {
    scene(name, async |scene: &Scene| refuses_in(scene, edit, expected).await).await;
}

/// The same, in a scene that is there.
pub async fn refuses_in(scene: &Scene, edit: impl AsyncFnOnce(&Scene) -> Value, expected: Refused<'_>) {
    scene.push("hello:1.0", &modules::hello("1.0")).await;
    let good = scene.spec("hello:1.0");
    scene.apply("hello", good.clone()).await;
    let served = scene.ready("hello").await.status.and_then(|status| status.revision).expect("it is Ready");
    scene.serves_now(&scene.path(), V1).await;

    let edit = edit(scene).await;
    scene.patch("hello", json!({"spec": edit})).await;
    let refused = scene.not_ready("hello", &expected.reason).await;
    explains(&refused, &expected);
    let message = &current(&refused, condition::READY).expect("it is there").message;
    assert!(message.ends_with(&format!("still serving {served}")), "{message}");
    scene.serves_now(&scene.path(), V1).await;
    if expected.condition == condition::PROGRAMMED {
        every_pod_reports(scene, &expected.reason, &served).await;
        scene.serves_now(&scene.path(), V1).await;
    }

    scene.patch("hello", json!({"spec": {"config": null, "runtimeRef": null}})).await;
    scene.apply("hello", good).await;
    scene.ready("hello").await;
    scene.serves_now(&scene.path(), V1).await;
}

/// Whether a refused module says what is wrong, what to do, and whether waiting helps.
pub fn explains(module: &HandlerModule, expected: &Refused) {
    let message = &current(module, condition::READY).expect("it is there").message;
    for word in expected.words {
        assert!(message.contains(word), "{word:?} should be in {message:?}");
    }
    let cause = current(module, expected.condition).expect("the condition is there");
    let told = (cause.status, &cause.reason);
    assert_eq!(told, (ConditionStatus::False, &expected.reason), "{}: {module:#?}", expected.condition);
    let (present, absent) = match expected.says {
        Says::Reconciling => (condition::RECONCILING, condition::STALLED),
        Says::Stalled => (condition::STALLED, condition::RECONCILING),
    };
    let conditions = &module.status.as_ref().expect("it has one").conditions;
    let present = condition::find(conditions, present).expect("it says whether waiting helps");
    assert_eq!((present.status, &present.reason), (ConditionStatus::True, &expected.reason));
    assert!(condition::find(conditions, absent).is_none(), "it should not be {absent}: {module:#?}");
}

/// Waits until the module's status and the report of each pod name the pod's failure and what it serves instead.
async fn every_pod_reports(scene: &Scene, reason: &Reason, served: &str) {
    let module = scene
        .module("hello", "failed on every pod", |module| {
            let failures = module.status.iter().flat_map(|status| &status.failures);
            failures.filter(|failure| failure.reason == *reason).count() == scene.pods.len()
        })
        .await;
    let status = module.status.expect("it has one");
    assert_eq!(status.failures_total as usize, scene.pods.len());
    for pod in &scene.pods {
        wait_for(&format!("the report of {} names the failure", pod.name), async || {
            let exceptions = scene.report(pod).await.spec.exceptions;
            let told = exceptions.iter().any(|exception| {
                (&exception.namespace, exception.name.as_str()) == (&scene.namespace, "hello")
                    && exception.reason == *reason
                    && exception.serving_revision.as_deref() == Some(served)
            });
            if told { Ok(()) } else { Err(format!("{exceptions:#?}")) }
        })
        .await;
    }
}

pub fn reference(scene: &Scene, name: &str) -> Value {
    json!({"source": {"oci": {"reference": scene.reference(name)}}})
}

/// A module's reference comes to lead to this file.
async fn file(name: &str, file: &Path, expected: Refused<'_>) {
    let edit = async |scene: &Scene| {
        scene.push("hello:broken", file).await;
        reference(scene, "hello:broken")
    };
    refuses(name, edit, expected).await;
}

/// What the broken files are made of.
fn hello() -> PathBuf {
    modules::hello("1.0")
}
