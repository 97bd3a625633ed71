//! The same route twice: the older module keeps it.

use hotbay_api::{Reason, condition};
use hotbay_e2e::cluster::scene::{Scene, scene};
use hotbay_e2e::modules;
use serde_json::json;

use super::{Refused, Says, V1, explains};

fn conflict<'t>(words: &'t [&'t str]) -> Refused<'t> {
    Refused { reason: Reason::RouteConflict, condition: condition::ACCEPTED, says: Says::Stalled, words }
}

const V2: &str = "Hello from Hotbay 2.0\n";

#[tokio::test]
async fn a_route_of_an_older_module() {
    scene("conflict", async |scene: &Scene| {
        scene.push("hello:1.0", &modules::hello("1.0")).await;
        scene.push("hello:2.0", &modules::hello("2.0")).await;
        scene.apply("a-first", scene.spec("hello:1.0")).await;
        scene.ready("a-first").await;
        let other = scene.key("a-first").to_string();

        // Whole modules are refused …
        scene.apply("b-second", scene.spec("hello:2.0")).await;
        let refused = scene.not_ready("b-second", &Reason::RouteConflict).await;
        explains(&refused, &conflict(&[&other, &scene.path()]));
        scene.serves_now(&scene.path(), V1).await;

        // … and so are updates of modules that serve something else.
        let elsewhere = format!("{}/else", scene.path());
        scene.patch("b-second", json!({"spec": {"routes": [{"path": elsewhere}]}})).await;
        scene.ready("b-second").await;
        scene.serves_now(&elsewhere, V2).await;
        scene.patch("b-second", json!({"spec": {"routes": [{"path": scene.path()}]}})).await;
        let refused = scene.not_ready("b-second", &Reason::RouteConflict).await;
        explains(&refused, &conflict(&[&other, "; still serving 2.0@sha256:"]));
        scene.serves_now(&elsewhere, V2).await;
        scene.serves_now(&scene.path(), V1).await;

        // The older one gives the route up, and nobody needs to touch the newer.
        scene.delete("a-first").await;
        scene.serves(&scene.path(), V2).await;
        scene.ready("b-second").await;
    })
    .await;
}
