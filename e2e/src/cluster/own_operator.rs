//! An operator of a test's own, in place of the cluster's.
//!
//! Owns its process, which runs on this host while the cluster's operator is away. Its way to the API server is the test's to choose.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::outage::always;
use super::{Cluster, OPERATOR_NAMESPACE, registry};
use crate::cargo;
use crate::http::get;
use crate::laptop::free_address;
use crate::wait::wait_for;

/// The cluster's operator: its Deployment and its account.
pub const OPERATOR: &str = "hotbay-operator";

/// A running operator.
pub struct OwnOperator {
    process: Child,
    health: SocketAddr,
    metrics: SocketAddr,
    folder: TempDir,
}

impl Cluster {
    /// Plays `test` while the cluster's operator is away, and has it back afterwards.
    pub async fn without_operator(&self, test: impl AsyncFnOnce()) {
        self.scale_operator(0).await;
        always(test(), self.scale_operator(1)).await;
    }

    async fn scale_operator(&self, replicas: usize) {
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        let deployments = self.api::<Deployment>(OPERATOR_NAMESPACE);
        deployments.patch(OPERATOR, &PatchParams::default(), &patch).await.expect("it can be scaled");
        wait_for(&format!("there are {replicas} operators"), async || {
            let pods = self.operator_pods().await;
            let ready = pods.iter().filter(|pod| super::pods::is_ready(pod)).count();
            if (pods.len(), ready) == (replicas, replicas) {
                Ok(())
            } else {
                Err(format!("{ready} of {}", pods.len()))
            }
        })
        .await;
    }

    /// Starts an operator with this way to the API server. Fetching is as in the cluster: registry.example.com is its registry.
    pub async fn own_operator(&self, kubeconfig: &Path) -> OwnOperator {
        let (health, metrics, blobs) = (free_address(), free_address(), free_address());
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let log = std::fs::File::create(folder.path().join("log")).expect("a log can be made");
        let mirror = format!("{}=http://{}", registry::NAME, self.registry);
        let process = Command::new(binary().await)
            .env("KUBECONFIG", kubeconfig)
            .env("HOTBAY_HEALTH_LISTEN", health.to_string())
            .env("HOTBAY_METRICS_LISTEN", metrics.to_string())
            .env("HOTBAY_BLOBS_LISTEN", blobs.to_string())
            .env("HOTBAY_CACHE_DIR", folder.path())
            .env("HOTBAY_REGISTRY_MIRRORS", mirror)
            .env("HOTBAY_INSECURE_REGISTRIES", &self.registry)
            .env_remove("HOTBAY_LOG")
            .stdin(Stdio::null())
            .stdout(log)
            .kill_on_drop(true)
            .spawn()
            .expect("the operator can be started");
        OwnOperator { process, health, metrics, folder }
    }
}

impl OwnOperator {
    /// Waits until it has seen the cluster once.
    pub async fn ready(&self) {
        wait_for("the test's operator is ready", async || match get(self.health, "/readyz").await {
            Ok(answer) if answer.status == 200 => Ok(()),
            other => Err(format!("{other:?}\n{}", self.log())),
        })
        .await;
    }

    /// The sum of a metric's samples whose labels contain `labels`; 0 if there are none.
    pub async fn metric(&self, name: &str, labels: &str) -> f64 {
        let answer = get(self.metrics, "/metrics").await.expect("metrics are served");
        let is_meant = |line: &&str| {
            let rest = line.strip_prefix(name).unwrap_or_default();
            (rest.starts_with('{') || rest.starts_with(' ')) && rest.contains(labels)
        };
        let text = answer.text();
        text.lines().filter(is_meant).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// What it said so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Ends it as the kubelet does, and waits for its end.
    pub async fn stop(mut self) {
        let pid = self.process.id().and_then(|pid| rustix::process::Pid::from_raw(i32::try_from(pid).ok()?));
        let pid = pid.expect("it runs");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it can be told");
        let ended = tokio::time::timeout(crate::wait::DEADLINE, self.process.wait()).await;
        assert!(ended.expect("it ends").expect("it can be waited for").success(), "{}", self.log());
    }
}

/// The operator's program, built from source if need be.
async fn binary() -> PathBuf {
    let build = || cargo::build(|command| command.args(["--locked", "--package", "hotbay-operator"]));
    tokio::task::spawn_blocking(build).await.expect("it is built");
    cargo::target().join("debug/hotbay-operator")
}
