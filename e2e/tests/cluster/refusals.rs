//! What cannot be served: the old version goes on, and the object says what is wrong and what to do.
//!
//! Each case starts from a module that serves, and breaks one thing.

use bytes::Bytes;
use hotbay_api::{HandlerModule, Platform, Reason, condition};
use hotbay_e2e::cluster::scene::{Scene, current, scene};
use hotbay_e2e::modules;
use serde_json::{Value, json};

const V1: &str = "Hello from Hotbay 1.0\n";

/// Whether the object says that waiting helps.
#[derive(Clone, Copy)]
enum Says {
    Reconciling,
    Stalled,
}

/// Breaks a module that serves with what `edit` says; it must say `reason` and `words`, and go on serving. Then it is mended.
async fn refuses(
    name: &str,
    edit: impl AsyncFnOnce(&Scene) -> Value,
    reason: Reason,
    says: Says,
    words: &[&str],
) {
    scene(name, async |scene: &Scene| {
        scene.push("hello:1.0", &modules::hello("1.0")).await;
        let good = scene.spec("hello:1.0");
        scene.apply("hello", good.clone()).await;
        let served =
            scene.ready("hello").await.status.and_then(|status| status.revision).expect("it is Ready");
        scene.serves_now(&scene.path(), V1).await;

        let edit = edit(scene).await;
        scene.patch("hello", json!({"spec": edit})).await;
        let refused = scene.not_ready("hello", &reason).await;
        explains(&refused, says, words);
        let message = &current(&refused, condition::READY).expect("it is there").message;
        assert!(message.ends_with(&format!("; still serving {served}")), "{message}");
        scene.serves_now(&scene.path(), V1).await;

        scene.patch("hello", json!({"spec": {"config": null}})).await;
        scene.apply("hello", good).await;
        scene.ready("hello").await;
        scene.serves_now(&scene.path(), V1).await;
    })
    .await;
}

/// Whether a refused module says what is wrong, what to do, and whether waiting helps.
fn explains(module: &HandlerModule, says: Says, words: &[&str]) {
    let message = &current(module, condition::READY).expect("it is there").message;
    for word in words {
        assert!(message.contains(word), "{word:?} should be in {message:?}");
    }
    let (present, absent) = match says {
        Says::Reconciling => (condition::RECONCILING, condition::STALLED),
        Says::Stalled => (condition::STALLED, condition::RECONCILING),
    };
    assert!(current(module, present).is_some(), "it should be {present}: {module:#?}");
    assert!(current(module, absent).is_none(), "it should not be {absent}: {module:#?}");
}

fn reference(scene: &Scene, name: &str) -> Value {
    json!({"source": {"oci": {"reference": scene.reference(name)}}})
}

#[tokio::test]
async fn a_missing_tag() {
    let edit = async |scene: &Scene| reference(scene, "hello:none");
    refuses(
        "missing",
        edit,
        Reason::SourceNotFound,
        Says::Reconciling,
        &["hello:none does not exist", "push it"],
    )
    .await;
}

#[tokio::test]
async fn a_registry_that_nobody_knows() {
    let edit = async |_: &Scene| json!({"source": {"oci": {"reference": "registry.invalid/hello:1.0"}}});
    refuses("unknown-host", edit, Reason::SourceUnreachable, Says::Reconciling, &["registry.invalid"]).await;
}

#[tokio::test]
async fn a_file_that_is_no_elf() {
    let edit = async |scene: &Scene| {
        scene
            .push_builds("hello:text", &[(Platform::current(), Bytes::from_static(b"#!/bin/sh\nexit 0\n"))])
            .await;
        reference(scene, "hello:text")
    };
    refuses("no-elf", edit, Reason::InvalidElf, Says::Stalled, &["ELF"]).await;
}

#[tokio::test]
async fn a_module_for_a_newer_abi() {
    let edit = async |scene: &Scene| {
        scene.push("faulty:newer", &modules::newer_abi()).await;
        reference(scene, "faulty:newer")
    };
    refuses("abi", edit, Reason::AbiMismatch, Says::Stalled, &["ABI"]).await;
}

#[tokio::test]
async fn a_create_that_panics() {
    let edit = async |scene: &Scene| {
        scene.push("faulty:1.0", &modules::faulty()).await;
        let mut edit = reference(scene, "faulty:1.0");
        edit["config"] = json!({"mode": "create-panic"});
        edit
    };
    refuses(
        "panic",
        edit,
        Reason::StartFailed,
        Says::Stalled,
        &["pod hotbay-", "the config asked create to panic"],
    )
    .await;
}

#[tokio::test]
async fn a_create_that_says_no() {
    let edit = async |scene: &Scene| {
        scene.push("faulty:1.0", &modules::faulty()).await;
        let mut edit = reference(scene, "faulty:1.0");
        edit["config"] = json!({"mode": "create-error"});
        edit
    };
    let words = ["the config asked create to fail"];
    refuses("error", edit, Reason::StartFailed, Says::Stalled, &words).await;
}

#[tokio::test]
async fn a_constructor_that_aborts() {
    let edit = async |scene: &Scene| {
        scene.push("faulty:abort", &modules::constructor_abort()).await;
        reference(scene, "faulty:abort")
    };
    refuses("constructor", edit, Reason::ProbeCrashed, Says::Stalled, &["SIGABRT"]).await;
}

#[tokio::test]
async fn a_config_that_does_not_fit() {
    let edit = async |_: &Scene| json!({"config": {"greeting": 5}});
    refuses("bad-config", edit, Reason::ConfigRejected, Says::Stalled, &["greeting"]).await;
}

#[tokio::test]
async fn a_route_of_an_older_module() {
    scene("conflict", async |scene: &Scene| {
        scene.push("hello:1.0", &modules::hello("1.0")).await;
        scene.push("hello:2.0", &modules::hello("2.0")).await;
        scene.apply("a-first", scene.spec("hello:1.0")).await;
        scene.ready("a-first").await;

        // Whole modules are refused …
        scene.apply("b-second", scene.spec("hello:2.0")).await;
        let refused = scene.not_ready("b-second", &Reason::RouteConflict).await;
        let other = scene.key("a-first").to_string();
        explains(&refused, Says::Stalled, &[&other, &scene.path()]);
        let accepted = current(&refused, condition::ACCEPTED).expect("it was seen");
        assert_eq!(
            (accepted.status, &accepted.reason),
            (hotbay_api::ConditionStatus::False, &Reason::RouteConflict)
        );
        scene.serves_now(&scene.path(), V1).await;

        // … and so are updates of modules that serve something else.
        let elsewhere = format!("{}/else", scene.path());
        scene.patch("b-second", json!({"spec": {"routes": [{"path": elsewhere}]}})).await;
        scene.ready("b-second").await;
        scene.serves_now(&elsewhere, "Hello from Hotbay 2.0\n").await;
        scene.patch("b-second", json!({"spec": {"routes": [{"path": scene.path()}]}})).await;
        let refused = scene.not_ready("b-second", &Reason::RouteConflict).await;
        explains(&refused, Says::Stalled, &[&other, "still serving"]);
        scene.serves_now(&elsewhere, "Hello from Hotbay 2.0\n").await;
        scene.serves_now(&scene.path(), V1).await;

        // The older one gives the route up, and nobody needs to touch the newer.
        scene.delete("a-first").await;
        scene.serves(&scene.path(), "Hello from Hotbay 2.0\n").await;
        scene.ready("b-second").await;
    })
    .await;
}

#[tokio::test]
async fn a_pool_that_does_not_exist() {
    scene("pool", async |scene: &Scene| {
        scene.push("hello:1.0", &modules::hello("1.0")).await;
        let mut spec = scene.spec("hello:1.0");
        spec["runtimeRef"] = json!({"name": "nowhere"});
        scene.apply("hello", spec).await;
        let refused = scene.not_ready("hello", &Reason::RuntimeNotFound).await;
        let accepted = current(&refused, condition::ACCEPTED).expect("it was seen");
        assert!(accepted.message.contains("hotbay/nowhere"), "{}", accepted.message);
        scene.answers(&scene.path(), 404).await;

        scene.patch("hello", json!({"spec": {"runtimeRef": {"name": "default"}}})).await;
        scene.ready("hello").await;
        scene.serves_now(&scene.path(), V1).await;
    })
    .await;
}
