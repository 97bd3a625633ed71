//! Parts of a cluster that are away while something is tested.
//!
//! Owns that they come back however the test ends: what stays away would fail every test after it.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::Path;

use futures::FutureExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;

use super::node::control;
use super::{Cluster, OPERATOR_NAMESPACE};

impl Cluster {
    /// Plays `test` while a component of the local cluster, such as `kube-apiserver`, is down. `state` is its folder.
    pub async fn without(&self, state: &Path, component: &str, test: impl AsyncFnOnce()) {
        control(state, "stop", component).await;
        always(test(), control(state, "start", component)).await;
    }

    /// The operator's pods that are not about to go.
    pub async fn operator_pods(&self) -> Vec<Pod> {
        let pods = self.api::<Pod>(OPERATOR_NAMESPACE);
        let list = pods.list(&ListParams::default().labels("app.kubernetes.io/name=hotbay-operator")).await;
        let mut pods = list.expect("pods can be listed").items;
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        pods
    }
}

/// Does `during`, and then `after`, whatever became of the first.
pub async fn always(during: impl Future<Output = ()>, after: impl Future<Output = ()>) {
    let outcome = AssertUnwindSafe(during).catch_unwind().await;
    after.await;
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}
