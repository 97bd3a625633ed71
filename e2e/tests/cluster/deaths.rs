//! What is killed, and what does not notice.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

use bytes::Bytes;
use hotbay_api::Platform;
use hotbay_e2e::cluster::node::Process;
use hotbay_e2e::cluster::pods::RuntimePod;
use hotbay_e2e::cluster::scene::{Scene, scene_alone};
use hotbay_e2e::http::Protocol;
use hotbay_e2e::load::Load;
use hotbay_e2e::wait::wait_for;
use hotbay_e2e::{broken, modules};
use serde_json::json;

use crate::hello::{V1, edits_still_arrive, hello};

const CONNECTIONS: usize = 8;
/// Modules of a full bay, each with a blob of its own.
const MANY: usize = 12;
const WHY: &str = "on this cluster nobody can kill a process";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_engine_refuses_no_connection() {
    scene_alone("engine", async |scene: &Scene| {
        if scene.cluster.local_or_skip("a_killed_engine_refuses_no_connection", WHY).is_none() {
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

/// The blobs and entries of a pod's bay, each with its inode, which changes when it is written again.
fn bay(process: &Process) -> BTreeMap<String, u64> {
    let files = fs::read_dir(process.file("/bay")).expect("the bay can be read").flatten();
    // What other tests have left may be swept meanwhile.
    let files = files.filter_map(|file| {
        let inode = file.metadata().ok()?.ino();
        Some((file.file_name().to_string_lossy().into_owned(), inode))
    });
    files.filter(|(name, _)| !name.starts_with('.')).collect()
}

/// How many files of `now` are other ones than in `before`. What other tests have left may be swept meanwhile.
fn rewritten(now: &BTreeMap<String, u64>, before: &BTreeMap<String, u64>) -> usize {
    now.iter().filter(|(name, inode)| before.get(*name) != Some(inode)).count()
}

/// Has every pod serve many modules, and returns their paths.
async fn many(scene: &Scene) -> Vec<String> {
    let small = modules::hello("1.0");
    let size = fs::metadata(&small).expect("it was built").len();
    let size = usize::try_from(size).expect("a module is small");
    let mut paths = Vec::new();
    for number in 1..=MANY {
        let bytes = Bytes::from(fs::read(broken::padded(&small, size + number)).expect("it was made"));
        let name = format!("many-{number}");
        scene.push_builds(&format!("{name}:1.0"), &[(Platform::current(), bytes)]).await;
        let mut spec = scene.spec(&format!("{name}:1.0"));
        let path = format!("{}/{name}", scene.path());
        spec["routes"] = json!([{"path": path}]);
        scene.apply(&name, spec).await;
        paths.push(path);
    }
    for path in &paths {
        scene.serves(path, V1).await;
    }
    paths
}

#[tokio::test]
async fn a_killed_agent_fetches_nothing_again_and_unloads_nothing() {
    scene_alone("agent", async |scene: &Scene| {
        let test = "a_killed_agent_fetches_nothing_again_and_unloads_nothing";
        if scene.cluster.local_or_skip(test, WHY).is_none() {
            return;
        }
        hello(scene).await;
        let paths = many(scene).await;
        let pod = &scene.pods[0];
        let engine = scene.report(pod).await.spec.engine;
        let before = scene.cluster.restarts(pod, "agent").await;
        let agent = scene.cluster.agent_process(pod).await;
        let full = bay(&agent);
        assert!(full.len() >= 2 * MANY, "{full:?}");
        let load = Load::start(pod.address, Protocol::H1, 2, &paths[0]);
        load.answered(100).await;

        agent.kill();
        wait_for("another agent is there", async || {
            let all = scene.cluster.processes(pod, "agent").await;
            let another = all.iter().any(|process| process.is("run") && process.pid != agent.pid);
            if another { Ok(()) } else { Err(format!("{all:?}")) }
        })
        .await;
        edits_still_arrive(scene).await;
        let tally = load.stop().await;
        assert_eq!(tally.failed(), 0, "{tally:?}");

        let mut now = bay(&scene.cluster.agent_process(pod).await);
        now.retain(|name, _| name.starts_with("sha256-"));
        assert_eq!(
            (rewritten(&now, &full), now.len() > MANY),
            (0, true),
            "no blob is written again: {now:?}"
        );
        for path in &paths {
            scene.serves_now(path, V1).await;
        }
        assert_eq!(scene.report(pod).await.spec.engine, engine, "the engine goes on");
        assert_eq!(scene.cluster.restarts(pod, "agent").await, before, "nor does its container end");
    })
    .await;
}

#[tokio::test]
async fn a_killed_operator_finishes_what_it_had_begun() {
    scene_alone("killed-op", async |scene: &Scene| {
        if scene.cluster.local_or_skip("a_killed_operator_finishes_what_it_had_begun", WHY).is_none() {
            return;
        }
        hello(scene).await;
        scene.push("late:1.0", &modules::hello("2.0")).await;
        let load = Load::start(scene.pods[0].address, Protocol::H1, 2, &scene.path());
        load.answered(100).await;

        // In the midst of an edit and of a first rollout.
        let operator = scene.cluster.operator_process().await;
        scene.patch("hello", json!({"spec": {"config": {"greeting": "Good evening"}}})).await;
        let late = format!("{}/late", scene.path());
        let mut spec = scene.spec("late:1.0");
        spec["routes"] = json!([{"path": late}]);
        scene.apply("late", spec).await;
        operator.kill();

        scene.serves(&scene.path(), "Good evening 1.0\n").await;
        scene.serves(&late, "Hello from Hotbay 2.0\n").await;
        scene.ready("hello").await;
        scene.ready("late").await;
        let tally = load.stop().await;
        assert_eq!(tally.failed(), 0, "{tally:?}");
    })
    .await;
}

/// Kills the first process of a pod's runtime container and waits until the container was started again.
async fn kill_container(scene: &Scene, pod: &RuntimePod) {
    scene.ends(pod).await;
    let (before, _) = scene.cluster.restarts(pod, "runtime").await;
    scene.cluster.runtime_process(pod, "keeper").await.kill();
    wait_for("the container is started again", async || match scene.cluster.restarts(pod, "runtime").await {
        (count, true) if count == before + 1 => Ok(()),
        other => Err(format!("restarts and readiness: {other:?}")),
    })
    .await;
}

#[tokio::test]
async fn a_killed_container_comes_back_with_what_it_served() {
    scene_alone("keeper", async |scene: &Scene| {
        if scene.cluster.local_or_skip("a_killed_container_comes_back_with_what_it_served", WHY).is_none() {
            return;
        }
        hello(scene).await;
        scene.push("hello:2.0", &modules::hello("2.0")).await;
        let [pod, other, ..] = &scene.pods[..] else { panic!("the pool has several pods") };
        let load = Load::start(other.address, Protocol::H1, 2, &scene.path());
        load.answered(100).await;

        let agent = scene.cluster.agent_process(pod).await;
        let full = bay(&agent);
        kill_container(scene, pod).await;
        assert_eq!(pod.get(&scene.path()).await.text(), V1, "a ready pod serves at once");
        let kept = bay(&agent);
        assert_eq!(
            (rewritten(&kept, &full), kept.len() >= 2),
            (0, true),
            "the bay outlives the container: {full:?}, {kept:?}"
        );

        // In the midst of a swap.
        scene.refer("hello", "hello:2.0").await;
        kill_container(scene, pod).await;
        scene.serves(&scene.path(), "Hello from Hotbay 2.0\n").await;
        scene.ready("hello").await;
        let tally = load.stop().await;
        assert_eq!(tally.failed(), 0, "the other pods do not notice: {tally:?}");
    })
    .await;
}
