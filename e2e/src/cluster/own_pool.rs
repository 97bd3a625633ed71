//! Pools of a test's own, without pods, for what would disturb others in the shared one.
//!
//! Owns their making. Each lies in the test's namespace and goes with it; the operator's rights there are those that it has where the
//! chart put the shared pool.

use hotbay_api::RuntimePool;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::Resource;
use kube::api::PostParams;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::scene::Scene;
use super::{POOL, POOL_NAMESPACE};

impl Scene {
    /// Makes a pool with a Service that no pod stands behind, and returns the `runtimeRef` that leads to it. `rules` is its spec but for
    /// `serviceRef`.
    pub async fn own_pool(&self, name: &str, mut rules: Value) -> Value {
        let operator = format!("hotbay-{POOL}-operator");
        let role: Role = self.cluster.api(POOL_NAMESPACE).get(&operator).await.expect("the chart made it");
        self.create::<Role>(json!({"metadata": {"name": operator}, "rules": role.rules})).await;
        let binding: RoleBinding =
            self.cluster.api(POOL_NAMESPACE).get(&operator).await.expect("the chart made it");
        let binding = json!({
            "metadata": {"name": operator}, "roleRef": binding.role_ref, "subjects": binding.subjects,
        });
        self.create::<RoleBinding>(binding).await;
        let service = json!({
            "metadata": {"name": name},
            "spec": {"selector": {"hotbay.dev/pool": "nobody"}, "ports": [{"port": 80}]},
        });
        self.create::<Service>(service).await;
        rules["serviceRef"] = json!({"name": name});
        let pool = json!({
            "apiVersion": "hotbay.dev/v1alpha1", "kind": "RuntimePool",
            "metadata": {"name": name}, "spec": rules,
        });
        self.create::<RuntimePool>(pool).await;
        json!({"name": name, "namespace": self.namespace})
    }

    async fn create<K>(&self, object: Value)
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
        K: Clone + std::fmt::Debug + DeserializeOwned + Serialize,
    {
        let object: K = serde_json::from_value(object).expect("it is an object of its kind");
        let api = self.cluster.api::<K>(&self.namespace);
        api.create(&PostParams::default(), &object).await.expect("the API server takes it");
    }
}
