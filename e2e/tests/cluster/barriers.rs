//! What module code cannot reach in its pod.

use std::fs;
use std::path::{Path, PathBuf};

use hotbay_e2e::cluster::POOL_NAMESPACE;
use hotbay_e2e::cluster::node::Process;
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
            let mut secret: Vec<&str> = spec
                .volumes
                .iter()
                .flatten()
                .filter(|volume| volume.projected.is_some() || volume.secret.is_some())
                .map(|volume| volume.name.as_str())
                .collect();
            secret.sort_unstable();
            assert_eq!(secret, ["blobs-token", "token"]);
            let all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
            for container in all {
                let is_agent = container.name == "agent";
                for token in &secret {
                    assert_eq!(mount(container, token).is_some(), is_agent, "{token} in {}", container.name);
                }
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
            let agent = agents.first().expect("an agent runs");
            assert!(agent.file(TOKEN).join("token").exists(), "the agent of {} has its token", pod.name);
            let options = agent.mount_options("/bay").expect("the bay is mounted");
            assert!(options.split(',').any(|option| option == "rw"), "the bay is mounted {options}");
        }
    })
    .await;
}

/// How every token of an account begins: `{"alg":` in base64.
const TOKEN_BEGINS: &[u8] = b"eyJhbGciOi";
/// A token has some 1,500 bytes.
const LARGEST: u64 = 64 * 1024;

/// Every file with a token in it that the process can see, in whatever is mounted, by the path that it has there.
fn tokens(process: &Process) -> Vec<PathBuf> {
    let root = process.file("/");
    let (mut found, mut folders) = (Vec::new(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        for file in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (path, kind) = (file.path(), file.file_type().expect("a file has a type"));
            let seen = Path::new("/").join(path.strip_prefix(&root).expect("it is below the root"));
            // What the kernel makes up, some of which blocks whoever reads it.
            if ["/proc", "/sys", "/dev"].iter().any(|made_up| seen == Path::new(made_up)) {
                continue;
            }
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file()
                && file.metadata().is_ok_and(|meta| meta.len() <= LARGEST)
                && fs::read(&path).is_ok_and(|bytes| holds_token(&bytes))
            {
                found.push(seen);
            }
        }
    }
    found
}

fn holds_token(bytes: &[u8]) -> bool {
    bytes.windows(TOKEN_BEGINS.len()).any(|window| window == TOKEN_BEGINS)
}

#[tokio::test]
async fn no_file_and_no_variable_of_the_engine_holds_a_token() {
    scene("tokens", async |scene: &Scene| {
        let why = "on this cluster nobody can look into a container";
        if scene.cluster.local_or_skip("no_file_of_the_engine_holds_a_token", why).is_none() {
            return;
        }
        for pod in &scene.pods {
            let engine = scene.cluster.runtime_process(pod, "engine").await;
            assert_eq!(tokens(&engine), Vec::<PathBuf>::new(), "the engine of {} sees a token", pod.name);
            let variables = fs::read(format!("/proc/{}/environ", engine.pid)).expect("it can be read");
            assert!(!variables.is_empty() && !holds_token(&variables), "variables of {}", pod.name);

            // The same search finds what the agent has, so it can find one.
            let agents = scene.cluster.processes(pod, "agent").await;
            let agent = agents.first().expect("an agent runs");
            let seen = tokens(agent);
            assert!(seen.iter().any(|path| path.starts_with(TOKEN)), "the agent of {}: {seen:?}", pod.name);
        }
    })
    .await;
}

#[tokio::test]
async fn the_engine_has_no_capability_and_cannot_change_its_own_image() {
    scene("hardened", async |scene: &Scene| {
        let why = "on this cluster nobody can look into a container";
        if scene.cluster.local_or_skip("the_engine_has_no_capability", why).is_none() {
            return;
        }
        for pod in &scene.pods {
            let engine = scene.cluster.runtime_process(pod, "engine").await;
            let status = fs::read_to_string(format!("/proc/{}/status", engine.pid)).expect("it can be read");
            let says = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
                line.unwrap_or_else(|| panic!("{name} is not in {status}"))
            };
            assert_eq!((says("CapEff"), says("CapBnd")), ("0000000000000000", "0000000000000000"));
            assert_eq!(
                (says("NoNewPrivs"), says("Seccomp")),
                ("1", "2"),
                "setuid is void, system calls are filtered"
            );
            assert!(says("Uid").starts_with("65532\t65532\t65532"), "{}", says("Uid"));
            let options = engine.mount_options("/").expect("there is a root");
            assert!(options.split(',').any(|option| option == "ro"), "the root is mounted {options}");
        }
    })
    .await;
}
