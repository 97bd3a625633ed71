//! The forms in which registries hold modules, made by others' tools where they are at hand.

use bytes::Bytes;
use hotbay_api::names::blob_config_map;
use hotbay_api::{Digest, Platform};
use hotbay_e2e::cluster::scene::{Scene, scene};
use hotbay_e2e::cluster::{POOL_NAMESPACE, run};
use hotbay_e2e::modules;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

const V1: &str = "Hello from Hotbay 1.0\n";

/// Makes a module of what was pushed as `name` and waits until every pod serves it.
async fn is_served(scene: &Scene, name: &str) {
    scene.apply("hello", scene.spec(name)).await;
    scene.serves(&scene.path(), V1).await;
    scene.ready("hello").await;
}

#[tokio::test]
async fn an_image_that_buildah_made_from_scratch() {
    scene("buildah", async |scene: &Scene| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(modules::hello("1.0"), folder.path().join("hello.so")).unwrap();
        std::fs::write(folder.path().join("Containerfile"), "FROM scratch\nCOPY hello.so /module.so\n")
            .unwrap();
        let path =
            |name: &str| folder.path().join(name).to_str().expect("a temporary name is text").to_owned();
        let image = format!("{}/e2e/{}/hello:image", scene.cluster.registry, scene.namespace);
        let (root, runroot) = (path("root"), path("run"));
        let global = ["--storage-driver", "vfs", "--root", &root, "--runroot", &runroot];
        let build =
            ["bud", "--quiet", "--isolation", "chroot", "--tag", &image, &path(".")].map(str::to_owned);
        let push = ["push", "--quiet", "--tls-verify=false", &image].map(str::to_owned);
        for command in [&build[..], &push[..]] {
            let words: Vec<&str> = global.into_iter().chain(command.iter().map(String::as_str)).collect();
            run("buildah", &words).await;
        }
        is_served(scene, "hello:image").await;
    })
    .await;
}

#[tokio::test]
async fn an_artifact_as_oras_makes_it() {
    scene("oras", async |scene: &Scene| {
        let module = std::fs::read(modules::hello("1.0")).unwrap();
        // The same blobs, the module and the empty config, under a manifest of `oras push REFERENCE hello.so`.
        scene.push("hello:ours", &modules::hello("1.0")).await;
        let empty = Digest::of(b"{}");
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "artifactType": "application/vnd.unknown.artifact.v1",
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2, "data": "e30="},
            "layers": [{
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": Digest::of(&module),
                "size": module.len(),
                "annotations": {"org.opencontainers.image.title": "hello.so"},
            }],
            "annotations": {"org.opencontainers.image.created": "2026-11-20T12:00:00Z"},
        });
        let repository = format!("e2e/{}/hello", scene.namespace);
        scene.cluster.put_manifest(&repository, "oras", &manifest).await;
        is_served(scene, "hello:oras").await;
    })
    .await;
}

/// Where an ELF header says which machine its file is for, and the number of arm64.
const E_MACHINE: std::ops::Range<usize> = 18..20;
const EM_AARCH64: [u8; 2] = 183_u16.to_le_bytes();

#[tokio::test]
async fn an_index_of_two_platforms() {
    scene("index", async |scene: &Scene| {
        let own = std::fs::read(modules::hello("1.0")).unwrap();
        let mut other = own.clone();
        other[E_MACHINE].copy_from_slice(&EM_AARCH64);
        let (own, other) = (Bytes::from(own), Bytes::from(other));
        let arm = Platform { arch: "arm64".to_owned(), ..Platform::current() };
        // The other one first, so that taking the first would not do.
        scene
            .push_builds("hello:both", &[(arm.clone(), other.clone()), (Platform::current(), own.clone())])
            .await;
        is_served(scene, "hello:both").await;

        let entry = scene.entry("hello").await;
        let mut blobs: Vec<_> =
            entry.revisions[0].blobs.iter().map(|blob| (blob.platform.arch.clone(), blob.digest)).collect();
        blobs.sort();
        let expected = [("amd64".to_owned(), Digest::of(&own)), (arm.arch, Digest::of(&other))];
        assert_eq!(blobs, expected);
        let maps = scene.cluster.api::<ConfigMap>(POOL_NAMESPACE);
        for (arch, digest) in expected {
            let map = maps.get_opt(&blob_config_map(&digest)).await.unwrap();
            assert!(map.is_some(), "the pool should have the blob for {arch}");
        }
        let platforms = scene
            .ready("hello")
            .await
            .status
            .and_then(|status| status.artifact)
            .expect("it is Ready")
            .platforms;
        assert_eq!(platforms.len(), 2, "{platforms:?}");
    })
    .await;
}
