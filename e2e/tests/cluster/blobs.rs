//! What fits into no ConfigMap: it comes to every pod from the operator's blob service, and to nobody else.

use bytes::Bytes;
use hotbay_api::names::{BLOBS_AUDIENCE, PORT_OPERATOR_BLOBS, blob_config_map, blob_path};
use hotbay_api::{Digest, Platform};
use hotbay_e2e::cluster::outage::always;
use hotbay_e2e::cluster::pods::{is_ready, name};
use hotbay_e2e::cluster::scene::{Scene, scene, scene_alone};
use hotbay_e2e::cluster::{OPERATOR_NAMESPACE, POOL, POOL_NAMESPACE};
use hotbay_e2e::modules;
use hotbay_e2e::wait::wait_for;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ServiceAccount};
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::hello::{V1, hello};

/// So much that no level of compression and no limit of a ConfigMap takes it.
const PADDING_BYTES: u32 = 6 << 20;

/// `hello` and behind it, where no loader looks, bytes that do not compress and that no other test has.
fn large(scene: &Scene) -> Bytes {
    let mut module = std::fs::read(modules::hello("1.0")).unwrap();
    let seed = scene.namespace.clone();
    let random = |number: u32| Digest::of(format!("{seed}{number}").as_bytes()).hex();
    // Hex doubles what it says, which even the best compressor halves at most.
    module.extend((0..PADDING_BYTES / 64).flat_map(|number| random(number).into_bytes()));
    module.into()
}

/// Has every pod serve it; its digest and size.
async fn serve_large(scene: &Scene) -> (Digest, usize) {
    let module = large(scene);
    scene.push_builds("large:1.0", &[(Platform::current(), module.clone())]).await;
    scene.apply("hello", scene.spec("large:1.0")).await;
    scene.ready("hello").await;
    scene.serves_now(&scene.path(), V1).await;
    (Digest::of(&module), module.len())
}

/// The token that the kubelet would give a pod for `audience`, or one of the account alone.
async fn token(scene: &Scene, namespace: &str, account: &str, pod: Option<&str>, audience: &str) -> String {
    let mut bound_object_ref = None;
    if let Some(pod) = pod {
        let object: Pod = scene.cluster.api(namespace).get(pod).await.unwrap();
        let (kind, name) = (Some("Pod".to_owned()), object.metadata.name);
        let api_version = Some("v1".to_owned());
        bound_object_ref = Some(BoundObjectReference { api_version, kind, name, uid: object.metadata.uid });
    }
    let spec = TokenRequestSpec {
        audiences: Some(vec![audience.to_owned()]),
        bound_object_ref,
        expiration_seconds: Some(600),
        ..TokenRequestSpec::default()
    };
    let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
    let accounts = scene.cluster.api::<ServiceAccount>(namespace);
    let issued = accounts.create_token_request(account, &PostParams::default(), &request).await.unwrap();
    issued.status.and_then(|status| status.token).unwrap()
}

async fn pods_token(scene: &Scene, audience: &str) -> String {
    token(scene, POOL_NAMESPACE, &format!("hotbay-{POOL}"), Some(&scene.pods[0].name), audience).await
}

/// The status line and body of the blob service's answer, through the API server: it works on any cluster.
async fn ask(scene: &Scene, digest: &Digest, token: Option<&str>) -> (String, Vec<u8>) {
    let operators = scene.cluster.operator_pods().await;
    let operator = operators.iter().find(|pod| is_ready(pod)).expect("an operator is ready");
    let pods = scene.cluster.api::<Pod>(OPERATOR_NAMESPACE);
    let mut forwarder = pods.portforward(&name(operator), &[PORT_OPERATOR_BLOBS]).await.unwrap();
    let mut stream = forwarder.take_stream(PORT_OPERATOR_BLOBS).unwrap();
    let authorization = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    let path = blob_path(digest);
    let request = format!("GET {path} HTTP/1.1\r\nhost: blobs\r\n{authorization}connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("the answer has a head");
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    (head.lines().next().unwrap().to_owned(), answer.split_off(end + 4))
}

async fn scale_operator(scene: &Scene, replicas: usize) {
    let deployments = scene.cluster.api::<Deployment>(OPERATOR_NAMESPACE);
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    deployments.patch("hotbay-operator", &PatchParams::default(), &patch).await.unwrap();
    wait_for(&format!("{replicas} operators are ready"), async || {
        let pods = scene.cluster.operator_pods().await;
        let ready = pods.iter().filter(|pod| is_ready(pod)).count();
        if (pods.len(), ready) == (replicas, replicas) {
            Ok(())
        } else {
            Err(format!("{ready} of {}", pods.len()))
        }
    })
    .await;
}

#[tokio::test]
async fn a_module_of_several_mebibytes_is_served_by_every_pod_and_outlives_the_operator() {
    scene_alone("large", async |scene: &Scene| {
        let (digest, bytes) = serve_large(scene).await;
        let maps = scene.cluster.api::<ConfigMap>(POOL_NAMESPACE);
        assert!(maps.get_opt(&blob_config_map(&digest)).await.unwrap().is_none(), "it is in no ConfigMap");

        scale_operator(scene, 0).await;
        always(outlives_the_operator(scene), scale_operator(scene, 1)).await;

        // The next operator has an empty cache, and never saw the module being made.
        let (status, body) = ask(scene, &digest, Some(&pods_token(scene, BLOBS_AUDIENCE).await)).await;
        assert_eq!((&*status, body.len()), ("HTTP/1.1 200 OK", bytes));
        assert_eq!(Digest::of(&body), digest, "fetched from the registry again");
        scene.patch("hello", json!({"spec": {"config": {"greeting": "Back"}}})).await;
        scene.serves(&scene.path(), "Back 1.0\n").await;
        scene.ready("hello").await;
    })
    .await;
}

/// Also a new engine has it, from the pod's own bay.
async fn outlives_the_operator(scene: &Scene) {
    scene.serves_now(&scene.path(), V1).await;
    let why = "on this cluster nobody can kill an engine";
    if scene.cluster.local_or_skip("the next engine without an operator", why).is_some() {
        for pod in &scene.pods {
            scene.cluster.runtime_process(pod, "engine").await.kill();
        }
        scene.serves(&scene.path(), V1).await;
    }
}

#[tokio::test]
async fn only_a_pod_of_the_pool_gets_its_blobs() {
    scene("foreign", async |scene: &Scene| {
        hello(scene).await;
        let digest = scene.entry("hello").await.revisions[0].blobs[0].digest;
        let refused = async |digest: &Digest, token: Option<&str>, status: &str, words: &str| {
            let (line, body) = ask(scene, digest, token).await;
            let body = String::from_utf8(body).expect("a refusal is a text");
            assert_eq!(line, format!("HTTP/1.1 {status}"), "{body}");
            assert!(body.contains(words), "{words:?} should be in {body:?}");
        };
        let ours = pods_token(scene, BLOBS_AUDIENCE).await;
        let (status, body) = ask(scene, &digest, Some(&ours)).await;
        assert_eq!((&*status, Digest::of(&body)), ("HTTP/1.1 200 OK", digest), "the pool's own pod gets it");
        refused(&Digest::of(b"none"), Some(&ours), "404 Not Found", "names sha256:").await;
        refused(&digest, None, "401 Unauthorized", "send a pod's token for the audience hotbay-blobs").await;
        refused(&digest, Some("nonsense"), "401 Unauthorized", "not valid for the audience hotbay-blobs")
            .await;
        // The token for the API server, which every pod of the cluster may have.
        let other = pods_token(scene, "https://kubernetes.default.svc").await;
        refused(&digest, Some(&other), "401 Unauthorized", "not valid for the audience hotbay-blobs").await;
        let account = token(scene, POOL_NAMESPACE, &format!("hotbay-{POOL}"), None, BLOBS_AUDIENCE).await;
        refused(&digest, Some(&account), "403 Forbidden", "is not the account of a pod").await;

        make_foreign_pod(scene).await;
        let foreign = token(scene, &scene.namespace, "default", Some("foreign"), BLOBS_AUDIENCE).await;
        let words = format!("namespace {} has no RuntimePool", scene.namespace);
        refused(&digest, Some(&foreign), "403 Forbidden", &words).await;
    })
    .await;
}

/// A pod that no node takes: its token is as good as a running one's.
async fn make_foreign_pod(scene: &Scene) {
    wait_for("the namespace has its account", async || {
        let accounts = scene.cluster.api::<ServiceAccount>(&scene.namespace);
        accounts.get("default").await.map(drop).map_err(|error| error.to_string())
    })
    .await;
    let pod = json!({
        "metadata": {"name": "foreign"},
        "spec": {"nodeSelector": {"hotbay.dev/e2e": "nowhere"}, "containers": [{"name": "none", "image": "none"}]},
    });
    let pods = scene.cluster.api::<Pod>(&scene.namespace);
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
}
