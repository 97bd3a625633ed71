//! The module that is there while something else dies.
//!
//! Owns its start and the proof that edits still arrive afterwards. Must not know what dies.

use hotbay_e2e::cluster::scene::Scene;
use hotbay_e2e::modules;
use serde_json::json;

/// What it answers before any edit.
pub const V1: &str = "Hello from Hotbay 1.0\n";

/// Has every pod serve `hello`.
pub async fn hello(scene: &Scene) {
    scene.push("hello:1.0", &modules::hello("1.0")).await;
    scene.apply("hello", scene.spec("hello:1.0")).await;
    scene.ready("hello").await;
    scene.serves_now(&scene.path(), V1).await;
}

/// An edit of `hello` reaches every pod and is told as Ready.
pub async fn edits_still_arrive(scene: &Scene) {
    scene.patch("hello", json!({"spec": {"config": {"greeting": "Back"}}})).await;
    scene.serves(&scene.path(), "Back 1.0\n").await;
    scene.ready("hello").await;
}
