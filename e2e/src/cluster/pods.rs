//! The runtime pods, and the way to each of them.
//!
//! Owns dialling one pod and no other, which no Service offers. In the local cluster the host has routes to pods; elsewhere every connection
//! to a port of this host is forwarded through the API server.

use std::net::{IpAddr, SocketAddr};

use hotbay_api::names::PORT_RUNTIME;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};

use super::{Cluster, POOL, POOL_NAMESPACE};
use crate::http::{Answer, get};
use crate::wait::wait_for;

/// On a pod whose runtime container a test has ended.
pub(super) const ENDED_BY_TEST: &str = "hotbay.dev/e2e-ended";

/// A ready runtime pod.
#[derive(Clone, Debug)]
pub struct RuntimePod {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Where it answers requests.
    pub address: SocketAddr,
    /// How often its runtime container was started again.
    pub restarts: i32,
}

impl RuntimePod {
    /// Waits until `path` is answered with 200 and `text`.
    pub async fn serves(&self, path: &str, text: &str) {
        wait_for(&format!("pod {} answers GET {path} with {text:?}", self.name), async || {
            match get(self.address, path).await {
                Ok(answer) if answer.status == 200 && answer.text() == text => Ok(()),
                other => Err(words(other)),
            }
        })
        .await;
    }

    /// Waits until `path` is answered with `status`.
    pub async fn answers(&self, path: &str, status: u16) {
        wait_for(&format!("pod {} answers GET {path} with {status}", self.name), async || {
            match get(self.address, path).await {
                Ok(answer) if answer.status == status => Ok(()),
                other => Err(words(other)),
            }
        })
        .await;
    }

    /// One request, now.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn get(&self, path: &str) -> Answer {
        get(self.address, path).await.unwrap_or_else(|trouble| panic!("pod {}: {trouble:?}", self.name))
    }
}

fn words(outcome: Result<Answer, crate::http::Trouble>) -> String {
    match outcome {
        Ok(answer) => format!("{} {}", answer.status, answer.text()),
        Err(trouble) => format!("{trouble:?}"),
    }
}

impl Cluster {
    /// The runtime pods as the API server has them.
    pub async fn pod_objects(&self) -> Vec<Pod> {
        self.try_pod_objects().await.expect("pods can be listed")
    }

    /// The same, while the API server may be away.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn try_pod_objects(&self) -> kube::Result<Vec<Pod>> {
        let labels = format!("app.kubernetes.io/name=hotbay-runtime,hotbay.dev/pool={POOL}");
        let pods = self.api::<Pod>(POOL_NAMESPACE).list(&ListParams::default().labels(&labels)).await;
        let mut pods = pods?.items;
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        Ok(pods)
    }

    /// How often a container of a pod was started again, and whether the pod is ready.
    pub async fn restarts(&self, pod: &RuntimePod, container_name: &str) -> (i32, bool) {
        let object: Pod = self.api(POOL_NAMESPACE).get(&pod.name).await.expect("the pod is there");
        (container(&object, container_name).map_or(0, |status| status.restart_count), is_ready(&object))
    }

    /// The pool's pods, once all of them are ready.
    pub async fn runtime_pods(&self) -> Vec<RuntimePod> {
        let pods = wait_for("the pool has pods and all of them are ready", async || {
            let pods = self.pod_objects().await;
            let unready: Vec<_> = pods.iter().filter(|pod| !is_ready(pod)).map(name).collect();
            if unready.is_empty() && !pods.is_empty() {
                Ok(pods)
            } else {
                Err(format!("not ready: {unready:?}"))
            }
        })
        .await;
        let mut found = Vec::with_capacity(pods.len());
        for pod in &pods {
            found.push(RuntimePod {
                name: name(pod),
                uid: pod.metadata.uid.clone().expect("a stored pod has a UID"),
                address: self.address_of(pod).await,
                restarts: container(pod, "runtime").map_or(0, |status| status.restart_count),
            });
        }
        found
    }

    /// Notes on a pod that a test ends its runtime container: `restarts` looks in the end whether any other was started again.
    pub(super) async fn excuse(&self, pod: &RuntimePod) {
        let note = Patch::Merge(json!({"metadata": {"annotations": {ENDED_BY_TEST: "true"}}}));
        let pods = self.api::<Pod>(POOL_NAMESPACE);
        pods.patch_metadata(&pod.name, &PatchParams::default(), &note).await.expect("the pod is there");
    }

    async fn address_of(&self, pod: &Pod) -> SocketAddr {
        if self.local.is_none() {
            return forward(self.api(POOL_NAMESPACE), name(pod)).await;
        }
        let ip = pod
            .status
            .as_ref()
            .and_then(|status| status.pod_ip.as_ref())
            .expect("a ready pod has an address");
        SocketAddr::new(ip.parse::<IpAddr>().expect("the address of a pod is one"), PORT_RUNTIME)
    }
}

/// Whether the pod has the condition Ready.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// How a container of the pod is, be it an ordinary one or a sidecar.
pub fn container<'p>(pod: &'p Pod, name: &str) -> Option<&'p ContainerStatus> {
    let status = pod.status.as_ref()?;
    let all = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
    all.into_iter().find(|container| container.name == name)
}

/// The pod's name.
pub fn name(pod: &Pod) -> String {
    pod.metadata.name.clone().unwrap_or_default()
}

/// Listens on a port of this host whose connections end in the pod, for as long as the test's runtime lives.
async fn forward(pods: Api<Pod>, name: String) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port is free");
    let address = listener.local_addr().expect("a listener has an address");
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(carry(pods.clone(), name.clone(), connection));
        }
    });
    address
}

/// A failure closes the connection, and so whoever dialled sees it.
async fn carry(pods: Api<Pod>, name: String, mut connection: TcpStream) {
    if let Ok(mut forwarder) = pods.portforward(&name, &[PORT_RUNTIME]).await
        && let Some(mut stream) = forwarder.take_stream(PORT_RUNTIME)
    {
        drop(tokio::io::copy_bidirectional(&mut connection, &mut stream).await);
    }
}
