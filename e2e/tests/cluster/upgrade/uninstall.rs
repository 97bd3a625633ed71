//! What `helm uninstall` leaves: what users made.

use hotbay_api::{HandlerModule, Reason, RuntimePool, RuntimeReport};
use hotbay_e2e::cluster::release::Charts;
use hotbay_e2e::cluster::scene::Scene;
use hotbay_e2e::wait::wait_for;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ListParams};
use kube::{CustomResourceExt, ResourceExt};

use super::{OwnPool, POOL, Shared, play};
use crate::hello::{V1, edits_still_arrive, hello};

/// UIDs of the definitions, and of the module, which would be others if they had been gone for a moment.
async fn what_users_have(scene: &Scene) -> Vec<Option<String>> {
    let definitions = Api::<CustomResourceDefinition>::all(scene.cluster.client.clone());
    let mut found = Vec::new();
    for name in [HandlerModule::crd_name(), RuntimePool::crd_name(), RuntimeReport::crd_name()] {
        let definition = definitions.get(name).await.expect("the definition is there");
        assert_eq!(definition.metadata.deletion_timestamp, None, "{name} is not about to go");
        found.push(definition.uid());
    }
    found.push(scene.modules().get("hello").await.expect("the module is there").uid());
    found
}

#[tokio::test]
async fn without_operator_and_definitions_chart_all_is_kept_and_served() {
    play("uninstall", async |pool: &OwnPool, shared: &Shared| {
        let scene = pool.scene;
        hello(scene).await;
        let before = what_users_have(scene).await;
        shared.uninstall().await;
        assert_eq!(what_users_have(scene).await, before);
        scene.serves_now(&scene.path(), V1).await;

        shared.install(&Charts::present()).await;
        assert_eq!(what_users_have(scene).await, before);
        edits_still_arrive(scene).await;
    })
    .await;
}

#[tokio::test]
async fn an_uninstalled_pool_leaves_its_modules_and_serves_them_again() {
    play("pool", async |pool: &OwnPool, _: &Shared| {
        let scene = pool.scene;
        pool.install(&Charts::present(), 1, "first").await;
        pool.hello().await;
        let before = what_users_have(scene).await;
        assert_eq!(policies(pool).await, ["entries", "operator", "reports"]);

        pool.release.uninstall().await;
        wait_for("the pool's pods are gone", async || match pool.pods().await.len() {
            0 => Ok(()),
            left => Err(format!("{left} pods")),
        })
        .await;
        assert_eq!(what_users_have(scene).await, before);
        assert_eq!(policies(pool).await, [""; 0], "nothing of the pool is left in the cluster");
        scene.not_ready("hello", &Reason::RuntimeNotFound).await;

        pool.install(&Charts::present(), 1, "second").await;
        pool.serves(V1).await;
        scene.ready("hello").await;
        assert_eq!(what_users_have(scene).await, before);
    })
    .await;
}

/// The admission policies of the pool, by the last part of their names.
async fn policies(pool: &OwnPool<'_>) -> Vec<String> {
    let all = Api::<ValidatingAdmissionPolicy>::all(pool.scene.cluster.client.clone());
    let all = all.list(&ListParams::default()).await.expect("policies can be listed");
    let prefix = format!("hotbay.{}.{POOL}.", pool.scene.namespace);
    all.iter().filter_map(|policy| policy.name_any().strip_prefix(&prefix).map(str::to_owned)).collect()
}
