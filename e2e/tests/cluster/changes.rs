//! Edits and tags that move: what follows them, and what must not.

use hotbay_api::{Reason, condition};
use hotbay_e2e::cluster::scene::{Scene, scene};
use hotbay_e2e::modules;
use serde_json::json;

const V1: &str = "Hello from Hotbay 1.0\n";
const V2: &str = "Hello from Hotbay 2.0\n";

#[tokio::test]
async fn an_edited_reference_swaps_on_every_pod() {
    scene("edit", async |scene: &Scene| {
        scene.push("hello:1.0", &modules::hello("1.0")).await;
        let second = scene.push("hello:2.0", &modules::hello("2.0")).await;
        scene.apply("hello", scene.spec("hello:1.0")).await;
        scene.serves(&scene.path(), V1).await;
        scene.ready("hello").await;

        scene.refer("hello", "hello:2.0").await;
        scene.serves(&scene.path(), V2).await;
        let module = scene.ready("hello").await;
        let artifact = module.status.and_then(|status| status.artifact).expect("it is Ready");
        assert_eq!((artifact.digest, artifact.reference), (second, scene.reference("hello:2.0")));
    })
    .await;
}

#[tokio::test]
async fn an_edited_config_is_a_new_instance() {
    scene("config", async |scene: &Scene| {
        scene.push("hello:1.0", &modules::hello("1.0")).await;
        scene.apply("hello", scene.spec("hello:1.0")).await;
        scene.serves(&scene.path(), V1).await;
        scene.patch("hello", json!({"spec": {"config": {"greeting": "Good morning"}}})).await;
        scene.serves(&scene.path(), "Good morning 1.0\n").await;
        scene.ready("hello").await;
    })
    .await;
}

#[tokio::test]
async fn a_tag_that_moves_is_followed_by_those_who_ask() {
    scene("tag", async |scene: &Scene| {
        scene.push("hello:latest", &modules::hello("1.0")).await;
        let cases = [("follows", "2s", false), ("stays", "0s", false), ("sleeps", "2s", true)];
        let path = |name: &str| format!("{}/{name}", scene.path());
        for (name, interval, suspended) in cases {
            let mut spec = scene.spec("hello:latest");
            spec["interval"] = json!(interval);
            spec["routes"] = json!([{"path": path(name)}]);
            scene.apply(name, spec).await;
            scene.ready(name).await;
            if suspended {
                scene.patch(name, json!({"spec": {"suspend": true}})).await;
                scene
                    .module(name, "suspended", |module| {
                        let conditions = module.status.iter().flat_map(|status| &status.conditions);
                        conditions.clone().any(|condition| condition.reason == Reason::Suspended)
                    })
                    .await;
            }
        }

        scene.push("hello:latest", &modules::hello("2.0")).await;
        scene.serves(&path("follows"), V2).await;
        // Two intervals of the one that follows have to pass for the others to have had their chance.
        scene.push("hello:latest", &modules::hello("3.0")).await;
        scene.serves(&path("follows"), "Hello from Hotbay 3.0\n").await;
        scene.serves_now(&path("stays"), V1).await;
        scene.serves_now(&path("sleeps"), V1).await;

        scene.patch("sleeps", json!({"spec": {"suspend": false}})).await;
        scene.serves(&path("sleeps"), "Hello from Hotbay 3.0\n").await;
        let module = scene.ready("sleeps").await;
        let conditions = module.status.map(|status| status.conditions).unwrap_or_default();
        assert_eq!(condition::find(&conditions, condition::STALLED), None, "nothing is stuck any more");
    })
    .await;
}
