//! A power cut: every process of the cluster ends at once, and what the disks hold serves again, with no operator there to help.
//!
//! Of the local cluster only, and apart from its other tests, to which it would do the same.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use std::net::SocketAddr;
use std::time::Duration;

use hotbay_api::names::PORT_RUNTIME;
use hotbay_e2e::cluster::pods::{container, is_ready, name};
use hotbay_e2e::cluster::run;
use hotbay_e2e::cluster::scene::{Scene, scene_alone};
use hotbay_e2e::http::get;
use hotbay_e2e::modules;
use hotbay_e2e::wait::wait_for;
use serde_json::json;

/// For one look at an address that may have gone with the reboot.
const LOOK: Duration = Duration::from_secs(2);

/// Waits until every pod that is there was started again, is ready and answers `path` with `text`.
async fn serves_again(scene: &Scene, path: &str, text: &str) {
    wait_for(&format!("every pod answers GET {path} with {text:?} after the reboot"), async || {
        let pods = scene.cluster.try_pod_objects().await.map_err(|error| error.to_string())?;
        for pod in &pods {
            let restarts = container(pod, "runtime").map_or(0, |status| status.restart_count);
            let before =
                scene.pods.iter().find(|known| known.name == name(pod)).map_or(-1, |pod| pod.restarts);
            let address = pod.status.as_ref().and_then(|status| status.pod_ip.as_ref());
            let address = address.and_then(|ip| ip.parse().ok()).ok_or("a pod has no address yet")?;
            let address = SocketAddr::new(address, PORT_RUNTIME);
            let answer = tokio::time::timeout(LOOK, get(address, path)).await;
            let story = format!("{}: {restarts} restarts, ready {}, {answer:?}", name(pod), is_ready(pod));
            match answer {
                Ok(Ok(answer)) if answer.text() == text && restarts > before && is_ready(pod) => {}
                _ => return Err(story),
            }
        }
        if pods.len() == scene.pods.len() { Ok(()) } else { Err(format!("{} pods", pods.len())) }
    })
    .await;
}

#[tokio::test]
async fn a_node_that_reboots_serves_again_without_an_operator() {
    scene_alone("reboot", async |scene: &Scene| {
        let test = "a_node_that_reboots_serves_again_without_an_operator";
        let why = "on this cluster nobody can cut the power";
        let Some(state) = scene.cluster.local_or_skip(test, why) else { return };
        scene.push("hello:1.0", &modules::hello("1.0")).await;
        scene.push("other:2.0", &modules::hello("2.0")).await;
        scene.apply("hello", scene.spec("hello:1.0")).await;
        let other = format!("{}/other", scene.path());
        let mut spec = scene.spec("other:2.0");
        spec["routes"] = json!([{"path": other}]);
        scene.apply("other", spec).await;
        scene.ready("hello").await;
        scene.ready("other").await;

        scene
            .cluster
            .without_operator(async || {
                for pod in &scene.pods {
                    scene.ends(pod).await;
                }
                let state = state.to_str().expect("the state folder's name is text");
                run("cluster", &["reboot", "-dir", state]).await;
                serves_again(scene, &scene.path(), "Hello from Hotbay 1.0\n").await;
                serves_again(scene, &other, "Hello from Hotbay 2.0\n").await;
            })
            .await;

        scene.patch("hello", json!({"spec": {"config": {"greeting": "Back"}}})).await;
        serves_again(scene, &scene.path(), "Back 1.0\n").await;
        scene.ready("hello").await;
    })
    .await;
}
