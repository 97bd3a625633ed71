//! Memory of Hotbay's processes in their pods, where this host can see them: on the local cluster.

use std::fs;

use hotbay_e2e::cluster::pods::{container, name};
use hotbay_e2e::cluster::scene::Scene;
use hotbay_e2e::cluster::{OPERATOR_NAMESPACE, POOL_NAMESPACE};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;

use crate::child::resident;
use crate::report::{Figure, Section, Wish, aim_at_most};
use crate::stats::worst;

/// A container's processes, and what the largest sum of a pod ought to be.
const WATCHED: [(&str, &str, &str, Option<f64>); 3] = [
    ("operator", OPERATOR_NAMESPACE, "operator", Some(40.0)),
    ("agent", POOL_NAMESPACE, "agent", None),
    ("keeper and engine", POOL_NAMESPACE, "runtime", Some(30.0)),
];

pub async fn measure(scene: &Scene) -> anyhow::Result<Option<Section>> {
    if scene.cluster.local.is_none() {
        return Ok(None);
    }
    let mut section = Section::new(
        "Memory in pods",
        "Sum of VmRSS of a container's processes, the largest of all pods, after the rollouts above.",
    );
    for (words, namespace, container_name, aim) in WATCHED {
        let pods = scene.cluster.api::<Pod>(namespace).list(&ListParams::default()).await?;
        let mut sums = Vec::new();
        for pod in &pods.items {
            let id = container(pod, container_name).and_then(|status| status.container_id.as_deref());
            let Some((_, id)) = id.and_then(|id| id.split_once("://")) else { continue };
            let sum: f64 = processes(id).into_iter().filter_map(|pid| resident(pid).ok()).sum();
            anyhow::ensure!(
                sum > 0.0,
                "no process of container {container_name} of pod {} is found",
                name(pod)
            );
            sums.push(sum);
        }
        anyhow::ensure!(!sums.is_empty(), "no pod in {namespace} has a container {container_name}");
        let figure = Figure::one(words, "MiB", worst(&sums));
        let wish: Option<Wish> = aim.map(aim_at_most);
        section.add(match wish {
            Some(wish) => figure.wanted(wish),
            None => figure,
        });
    }
    Ok(Some(section))
}

/// The kubelet writes the container's id into the name of its processes' cgroup.
fn processes(container_id: &str) -> Vec<i32> {
    let folders = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = folders.filter_map(|folder| folder.file_name().to_str().and_then(|name| name.parse().ok()));
    pids.filter(|pid: &i32| {
        fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|groups| groups.contains(container_id))
    })
    .collect()
}
