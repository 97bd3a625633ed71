//! Nodes are drained by evictions, which the PodDisruptionBudget allows or holds up.

use hotbay_e2e::cluster::pods::{is_ready, name};
use hotbay_e2e::cluster::release::Charts;
use hotbay_e2e::wait::wait_for;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, EvictParams};
use kube::{Client, Config};

use super::{OwnPool, Shared, play};

/// Evicts pods as `kubectl drain` does.
struct Drain(Api<Pod>);

impl Drain {
    async fn new(namespace: &str) -> Self {
        let mut config = Config::infer().await.expect("KUBECONFIG leads to a cluster");
        // 429 is how an eviction is refused; kube would ask again until it is granted.
        config.default_retry = false;
        let client = Client::try_from(config).expect("the cluster can be reached");
        Self(Api::namespaced(client, namespace))
    }

    /// Whether the pod's eviction is granted now.
    async fn evicts(&self, pod: &Pod) -> bool {
        match self.0.evict(&name(pod), &EvictParams::default()).await {
            Ok(_) => true,
            Err(kube::Error::Api(status)) if status.code == 429 => false,
            Err(error) => panic!("{error}"),
        }
    }

    /// Waits until it is: the budget counts a moment later than a pod is ready.
    async fn evicts_in_time(&self, pod: &Pod) {
        wait_for(&format!("pod {} is evicted", name(pod)), async || {
            if self.evicts(pod).await { Ok(()) } else { Err("not yet".to_owned()) }
        })
        .await;
    }
}

impl OwnPool<'_> {
    /// Waits until so many pods are there, all of them ready and none about to go.
    async fn settles(&self, count: usize) -> Vec<Pod> {
        wait_for(&format!("the pool has {count} pods"), async || {
            let pods = self.pods().await;
            let steady = |pod: &Pod| is_ready(pod) && pod.metadata.deletion_timestamp.is_none();
            if pods.len() == count && pods.iter().all(steady) {
                Ok(pods)
            } else {
                Err(format!("{:?}", pods.iter().map(|pod| (name(pod), steady(pod))).collect::<Vec<_>>()))
            }
        })
        .await
    }
}

#[tokio::test]
async fn a_drain_takes_one_pod_at_a_time_and_a_pool_of_one_does_not_hold_it_up() {
    play("drain", async |pool: &OwnPool, _: &Shared| {
        let drain = Drain::new(&pool.scene.namespace).await;
        pool.install(&Charts::present(), 2, "present").await;
        let pods = pool.settles(2).await;
        drain.evicts_in_time(&pods[0]).await;
        assert!(!drain.evicts(&pods[1]).await, "the second stays until there is another");
        drain.evicts_in_time(&pods[1]).await;

        pool.settles(2).await;
        pool.install(&Charts::present(), 1, "present").await;
        let pods = pool.settles(1).await;
        drain.evicts_in_time(&pods[0]).await;
        let next = pool.settles(1).await;
        assert_ne!(next[0].metadata.uid, pods[0].metadata.uid, "another takes its place");
    })
    .await;
}
