//! What module code cannot reach in its pod.

use std::fs;

use hotbay_e2e::cluster::POOL_NAMESPACE;
use hotbay_e2e::cluster::scene::{Scene, scene};
use k8s_openapi::api::core::v1::{Container, Pod};

const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

fn mount<'c>(container: &'c Container, volume: &str) -> Option<&'c k8s_openapi::api::core::v1::VolumeMount> {
    container.volume_mounts.iter().flatten().find(|mount| mount.name == volume)
}

#[tokio::test]
async fn only_the_agent_has_a_token_and_only_the_agent_writes_the_bay() {
    scene("token", async |scene: &Scene| {
        for pod in &scene.pods {
            let object: Pod = scene.cluster.api(POOL_NAMESPACE).get(&pod.name).await.unwrap();
            let spec = object.spec.expect("a pod has a spec");
            assert_eq!(spec.automount_service_account_token, Some(false));
            let secret: Vec<&str> = spec
                .volumes
                .iter()
                .flatten()
                .filter(|volume| volume.projected.is_some() || volume.secret.is_some())
                .map(|volume| volume.name.as_str())
                .collect();
            assert_eq!(secret, ["token"]);
            let all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
            for container in all {
                let is_agent = container.name == "agent";
                assert_eq!(mount(container, "token").is_some(), is_agent, "token in {}", container.name);
                let bay = mount(container, "bay").expect("both have the bay");
                assert_eq!(bay.read_only.unwrap_or(false), !is_agent, "bay in {}", container.name);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn the_engine_finds_no_token_and_cannot_write_the_bay() {
    scene("proc", async |scene: &Scene| {
        let why = "on this cluster nobody can look into a container";
        if scene.cluster.local_or_skip("the_engine_finds_no_token_and_cannot_write_the_bay", why).is_none() {
            return;
        }
        for pod in &scene.pods {
            let engine = scene.cluster.runtime_process(pod, "engine").await;
            assert!(!engine.file(TOKEN).exists(), "no token in the runtime's container of {}", pod.name);
            let options = engine.mount_options("/bay").expect("the bay is mounted");
            assert!(options.split(',').any(|option| option == "ro"), "the bay is mounted {options}");
            let error =
                fs::write(engine.file("/bay/intruder"), "x").expect_err("even root cannot write there");
            assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);

            // The same look into the agent's container finds both, so it can find them.
            let agents = scene.cluster.processes(pod, "agent").await;
            let [agent] = &agents[..] else { panic!("{agents:?}") };
            assert!(agent.file(TOKEN).join("token").exists(), "the agent of {} has its token", pod.name);
            let options = agent.mount_options("/bay").expect("the bay is mounted");
            assert!(options.split(',').any(|option| option == "rw"), "the bay is mounted {options}");
        }
    })
    .await;
}
