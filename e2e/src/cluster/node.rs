//! The processes of the local cluster's pods, in this host's /proc.
//!
//! Owns how one is found: the kubelet writes the pod's UID and the container's id into the name of its cgroup. Only for the local cluster.

use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;
use rustix::process::{Pid, Signal, kill_process};

use super::pods::{RuntimePod, container};
use super::{Cluster, run};
use crate::wait::wait_for;

/// A process of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id on this host.
    pub pid: i32,
    /// Its command line.
    pub words: Vec<String>,
}

impl Process {
    /// Whether it was started as `hotbay-runtime VERB`.
    pub fn is(&self, verb: &str) -> bool {
        self.words.get(1).is_some_and(|word| word == verb)
    }

    /// Kills it.
    ///
    /// # Panics
    /// When it is gone.
    pub fn kill(&self) {
        let pid = Pid::from_raw(self.pid).expect("a process id is positive");
        kill_process(pid, Signal::KILL).expect("the process is there");
    }

    /// Its network namespace, to be entered.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn network(&self) -> fs::File {
        fs::File::open(format!("/proc/{}/ns/net", self.pid)).expect("the process is there")
    }

    /// A file as the process sees it.
    pub fn file(&self, path: &str) -> PathBuf {
        Path::new("/proc").join(self.pid.to_string()).join("root").join(path.trim_start_matches('/'))
    }

    /// The options of what is mounted at `point` for the process; `None` if nothing is.
    pub fn mount_options(&self, point: &str) -> Option<String> {
        let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", self.pid)).ok()?;
        let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        fields.into_iter().find(|fields| fields.get(4) == Some(&point)).map(|fields| fields[5].to_owned())
    }
}

impl Cluster {
    /// The processes in a container of a pod.
    pub async fn processes(&self, pod: &RuntimePod, container_name: &str) -> Vec<Process> {
        let object = self.api(super::POOL_NAMESPACE).get(&pod.name).await.expect("the pod is there");
        processes_of(&object, container_name)
    }

    /// The operator's process.
    ///
    /// # Panics
    /// When there is none, or several.
    pub async fn operator_process(&self) -> Process {
        let pods = self.operator_pods().await;
        let all: Vec<Process> = pods.iter().flat_map(|pod| processes_of(pod, "operator")).collect();
        let [process] = &all[..] else { panic!("there should be one operator: {all:?}") };
        process.clone()
    }

    /// The agent of a pod. Beside it, the agent's container has the agent's supervisor.
    ///
    /// # Panics
    /// When there is none, or several, and it stays so.
    pub async fn agent_process(&self, pod: &RuntimePod) -> Process {
        wait_for(&format!("there is one agent in {}", pod.name), async || {
            let mut all = self.processes(pod, "agent").await;
            all.retain(|process| process.is("run"));
            if let [process] = &all[..] { Ok(process.clone()) } else { Err(format!("{all:?}")) }
        })
        .await
    }

    /// The one process of a pod's runtime that was started as `hotbay-runtime VERB`. There may be two for a while: an engine that has
    /// drained takes its time to end, and a child looks like its parent until it runs its own program.
    ///
    /// # Panics
    /// When there is none, or several and they stay.
    pub async fn runtime_process(&self, pod: &RuntimePod, verb: &str) -> Process {
        wait_for(&format!("one process is {verb} in {}", pod.name), async || {
            let mut all = self.processes(pod, "runtime").await;
            all.retain(|process| process.is(verb));
            if let [process] = &all[..] { Ok(process.clone()) } else { Err(format!("{all:?}")) }
        })
        .await
    }
}

/// Stops or starts a component of the local cluster, such as `kube-apiserver`.
///
/// # Panics
/// When its supervisor refuses.
pub async fn control(state: &Path, verb: &str, component: &str) {
    let state = state.to_str().expect("the state folder's name is text");
    run("cluster", &[verb, "-dir", state, component]).await;
}

fn processes_of(pod: &Pod, container_name: &str) -> Vec<Process> {
    let id = container(pod, container_name).and_then(|status| status.container_id.clone());
    let id = id.and_then(|id| id.split_once("://").map(|(_, id)| id.to_owned()));
    id.map(|id| processes_in(&id)).unwrap_or_default()
}

fn processes_in(container_id: &str) -> Vec<Process> {
    let mut found = Vec::new();
    for folder in fs::read_dir("/proc").expect("/proc can be read").flatten() {
        let Some(pid) = folder.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let groups = fs::read_to_string(folder.path().join("cgroup")).unwrap_or_default();
        let line = fs::read(folder.path().join("cmdline")).unwrap_or_default();
        // A process that is exiting has no command line any more.
        if line.is_empty() || !groups.contains(container_id) {
            continue;
        }
        let words = line.split(|&byte| byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
        found.push(Process { pid, words: words.collect() });
    }
    found
}
