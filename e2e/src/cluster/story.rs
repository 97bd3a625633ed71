//! What a failed test tells: all that a person would ask kubectl for next.
//!
//! Must not fail itself: what cannot be had is said in its place.

use std::fmt::Write as _;

use hotbay_api::{HandlerModule, RuntimeReport};
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::Resource;
use kube::api::{ListParams, LogParams};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::scene::Scene;
use super::{OPERATOR_NAMESPACE, POOL_NAMESPACE};

const OPERATOR_LINES: i64 = 60;
const RUNTIME_LINES: i64 = 40;

impl Scene {
    /// The story of the test's objects, the pods and their logs.
    pub async fn story(&self) -> String {
        let mut text = format!("=== the story of {} ===\n", self.namespace);
        self.objects::<HandlerModule>(&mut text, &self.namespace).await;
        for map in self.entry_maps().await {
            let _ = writeln!(text, "--- entry {:?}: {:#?}", map.metadata.name, map.data);
        }
        self.objects::<RuntimeReport>(&mut text, POOL_NAMESPACE).await;
        self.events(&mut text).await;
        self.pods(&mut text, OPERATOR_NAMESPACE, OPERATOR_LINES).await;
        self.pods(&mut text, POOL_NAMESPACE, RUNTIME_LINES).await;
        text
    }

    async fn objects<K>(&self, text: &mut String, namespace: &str)
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
        K: Clone + DeserializeOwned + Serialize + std::fmt::Debug,
    {
        let kind = K::kind(&());
        match self.cluster.api::<K>(namespace).list(&ListParams::default()).await {
            Ok(list) => {
                for mut object in list.items {
                    object.meta_mut().managed_fields = None;
                    let yaml = serde_yaml::to_string(&object).unwrap_or_else(|error| error.to_string());
                    let _ = writeln!(text, "--- {kind}\n{yaml}");
                }
            }
            Err(error) => {
                let _ = writeln!(text, "--- no {kind}: {error}");
            }
        }
    }

    async fn events(&self, text: &mut String) {
        let events = self.cluster.api::<Event>(POOL_NAMESPACE).list(&ListParams::default()).await;
        for event in events.map(|list| list.items).unwrap_or_default() {
            let about = event.involved_object.name.unwrap_or_default();
            let _ = writeln!(text, "--- event {about}: {:?} {:?}", event.reason, event.message);
        }
    }

    async fn pods(&self, text: &mut String, namespace: &str, lines: i64) {
        let pods = self.cluster.api::<Pod>(namespace);
        let list = pods.list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default();
        for pod in list {
            let name = pod.metadata.name.clone().unwrap_or_default();
            let status = pod.status.unwrap_or_default();
            let containers =
                status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
            for container in containers {
                let _ = writeln!(
                    text,
                    "--- pod {name}: {:?}, {} {:?}, restarts {}",
                    status.phase, container.name, container.state, container.restart_count
                );
                let params = LogParams {
                    container: Some(container.name.clone()),
                    tail_lines: Some(lines),
                    ..LogParams::default()
                };
                let logs = pods.logs(&name, &params).await.unwrap_or_else(|error| error.to_string());
                let _ = writeln!(text, "{logs}");
            }
        }
    }
}
