//! The client against the real registry, and against layouts.

use crate::support::real::{PASSWORD, Registry, Setup};
use crate::support::{LIMIT, build, client, module, platform, titled};
use std::path::Path;

use base64::Engine as _;
use bytes::Bytes;
use hotbay_api::{Digest, Reason};
use hotbay_artifact::oci::{Annotations, Form};
use hotbay_pipeline::{Artifact, Build, Source, SourceError};
use hotbay_registry::{Client, Credentials, PlatformBuild};

async fn resolve_and_fetch(client: &Client, reference: &str) -> Result<Artifact, SourceError> {
    let digest = client.resolve(reference).await?;
    client.fetch(reference, &digest, LIMIT).await
}

fn reason(result: Result<Artifact, SourceError>) -> Reason {
    result.expect_err("this must be refused").verdict().0
}

#[tokio::test]
async fn both_forms_come_back_as_they_were_pushed_and_pushing_again_changes_nothing() {
    let registry = Registry::start(Setup::Plain);
    let client = client(|_| {});
    let bytes = module(1, 200_000);
    for form in [Form::Artifact, Form::Image] {
        let reference = registry.reference("team/hello:1.0");
        let builds = [build("amd64", &bytes)];
        let digest = client.push(&reference, &builds, form, &titled("hello.so")).await.unwrap();
        assert_eq!(client.resolve(&reference).await.unwrap(), digest, "{form:?}");
        let expected = Build { platform: None, digest: Digest::of(&bytes), bytes: bytes.clone() };
        let artifact = client.fetch(&reference, &digest, LIMIT).await.unwrap();
        assert_eq!(artifact, Artifact { reference: reference.clone(), digest, builds: vec![expected] });
        assert_eq!(client.push(&reference, &builds, form, &titled("hello.so")).await.unwrap(), digest);
    }
}

#[tokio::test]
async fn an_index_carries_every_platform() {
    let registry = Registry::start(Setup::Plain);
    let client = client(|_| {});
    let reference = registry.reference("hello:1.0");
    let builds = [("amd64", Some("gnu"), 1), ("arm64", None, 2)].map(|(arch, libc, seed)| PlatformBuild {
        platform: platform(arch, libc),
        bytes: module(seed, 5000),
    });
    let digest = client.push(&reference, &builds, Form::Artifact, &Annotations::new()).await.unwrap();
    let artifact = resolve_and_fetch(&client, &reference).await.unwrap();
    assert_eq!(artifact.digest, digest);
    let expected = builds.map(|build| Build {
        platform: Some(build.platform),
        digest: Digest::of(&build.bytes),
        bytes: build.bytes,
    });
    assert_eq!(artifact.builds, expected);
}

#[tokio::test]
async fn a_tag_that_moved_resolves_anew_and_a_digest_names_itself() {
    let registry = Registry::start(Setup::Plain);
    let client = client(|_| {});
    let reference = registry.reference("hello:1");
    let mut digests = Vec::new();
    for seed in 0..2 {
        let builds = [build("amd64", &module(seed, 100))];
        digests.push(client.push(&reference, &builds, Form::Artifact, &Annotations::new()).await.unwrap());
        assert_eq!(client.resolve(&reference).await.unwrap(), digests[digests.len() - 1]);
    }
    let pinned = registry.reference(&format!("hello:1@{}", digests[0]));
    let artifact = resolve_and_fetch(&client, &pinned).await.unwrap();
    assert_eq!(artifact.builds[0].bytes, module(0, 100));
}

#[tokio::test]
async fn what_does_not_exist_is_not_found() {
    let registry = Registry::start(Setup::Plain);
    let client = client(|_| {});
    let reference = registry.reference("hello:1");
    assert_eq!(reason(resolve_and_fetch(&client, &reference).await), Reason::SourceNotFound);
    client
        .push(&reference, &[build("amd64", &module(1, 100))], Form::Artifact, &Annotations::new())
        .await
        .unwrap();
    let missing = resolve_and_fetch(&client, &registry.reference("hello:2")).await;
    assert!(
        matches!(&missing, Err(SourceError::NotFound { reference }) if reference.ends_with("hello:2")),
        "{missing:?}"
    );
    let unknown = registry.reference(&format!("hello@{}", Digest::of(b"unknown")));
    assert_eq!(reason(resolve_and_fetch(&client, &unknown).await), Reason::SourceNotFound);
}

#[tokio::test]
async fn a_registry_that_is_down_is_unreachable() {
    let client = client(|_| {});
    let reference = {
        let registry = Registry::start(Setup::Plain);
        registry.reference("hello:1")
    };
    assert_eq!(reason(resolve_and_fetch(&client, &reference).await), Reason::SourceUnreachable);
}

#[tokio::test]
async fn too_large_is_refused_in_both_forms_and_the_limit_itself_is_not() {
    let registry = Registry::start(Setup::Plain);
    let client = client(|_| {});
    let bytes = module(1, 100_000);
    for form in [Form::Artifact, Form::Image] {
        let reference = registry.reference("hello:1");
        let digest =
            client.push(&reference, &[build("amd64", &bytes)], form, &Annotations::new()).await.unwrap();
        let error = client.fetch(&reference, &digest, 99_999).await.unwrap_err();
        assert!(matches!(error, SourceError::TooLarge { limit: 99_999, .. }), "{form:?}: {error}");
        assert!(client.fetch(&reference, &digest, 100_000).await.is_ok(), "{form:?}");
    }
}

#[tokio::test]
async fn a_registry_with_a_password_wants_the_right_one() {
    let registry = Registry::start(Setup::Password);
    let reference = registry.reference("hello:1");
    let folder = tempfile::tempdir().unwrap();
    let with_password = |password: &str| {
        let path = folder.path().join(format!("{password}.json"));
        let auth = base64::engine::general_purpose::STANDARD.encode(format!("ali:{password}"));
        std::fs::write(&path, format!(r#"{{"auths": {{"{}": {{"auth": "{auth}"}}}}}}"#, registry.address()))
            .unwrap();
        client(|options| options.credentials = Credentials::DockerConfig(path))
    };
    let builds = [build("amd64", &module(1, 100))];
    for refused in [client(|_| {}), with_password("wrong")] {
        let error = refused.push(&reference, &builds, Form::Artifact, &Annotations::new()).await.unwrap_err();
        assert_eq!(error.verdict().0, Reason::SourceUnauthorized, "{error}");
        assert_eq!(reason(resolve_and_fetch(&refused, &reference).await), Reason::SourceUnauthorized);
    }
    let right = with_password(PASSWORD);
    right.push(&reference, &builds, Form::Artifact, &Annotations::new()).await.unwrap();
    assert_eq!(resolve_and_fetch(&right, &reference).await.unwrap().builds[0].bytes, module(1, 100));
    let missing = resolve_and_fetch(&right, &registry.reference("hello:2")).await;
    assert_eq!(reason(missing), Reason::SourceNotFound);
}

#[tokio::test]
async fn a_registry_that_speaks_tls_is_trusted_by_its_authority_only() {
    let registry = Registry::start(Setup::Tls);
    let reference = registry.reference("hello:1");
    let builds = [build("amd64", &module(1, 100))];
    let certificate = registry.certificate.clone().unwrap();
    let trusting = client(|options| {
        options.insecure.clear();
        options.authorities = certificate.into();
    });
    trusting.push(&reference, &builds, Form::Artifact, &Annotations::new()).await.unwrap();
    assert_eq!(resolve_and_fetch(&trusting, &reference).await.unwrap().builds[0].bytes, module(1, 100));
    let wary = client(|options| options.insecure.clear());
    assert_eq!(reason(resolve_and_fetch(&wary, &reference).await), Reason::SourceUnreachable);
}

/// Stores bytes as another tool would: without this crate.
async fn put_raw(
    registry: &Registry,
    repository: &str,
    blobs: &[&Bytes],
    tag: &str,
    media_type: &str,
    manifest: String,
) {
    let http = reqwest::Client::builder().tls_certs_only([]).no_proxy().build().unwrap();
    let base = format!("http://{}/v2/{repository}", registry.address());
    for blob in blobs {
        let begun = http.post(format!("{base}/blobs/uploads/")).body("").send().await.unwrap();
        let location = begun.headers()["location"].to_str().unwrap().to_owned();
        let url = format!("{location}&digest={}", Digest::of(blob));
        assert_eq!(http.put(url).body((*blob).clone()).send().await.unwrap().status(), 201);
    }
    let put = http.put(format!("{base}/manifests/{tag}")).header("content-type", media_type).body(manifest);
    assert_eq!(put.send().await.unwrap().status(), 201, "the registry must take the manifest");
}

#[tokio::test]
async fn what_oras_pushes_is_read() {
    let registry = Registry::start(Setup::Plain);
    let (bytes, empty) = (module(3, 4000), Bytes::from_static(b"{}"));
    // As `oras push registry/hello:1 hello.so` writes it.
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/vnd.unknown.artifact.v1","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{}","size":2,"data":"e30="}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{}","size":{},"annotations":{{"org.opencontainers.image.title":"hello.so"}}}}],"annotations":{{"org.opencontainers.image.created":"2026-01-01T00:00:00Z"}}}}"#,
        Digest::of(&empty),
        Digest::of(&bytes),
        bytes.len()
    );
    put_raw(
        &registry,
        "hello",
        &[&bytes, &empty],
        "1",
        "application/vnd.oci.image.manifest.v1+json",
        manifest,
    )
    .await;
    let artifact = resolve_and_fetch(&client(|_| {}), &registry.reference("hello:1")).await.unwrap();
    assert_eq!(artifact.builds, [Build { platform: None, digest: Digest::of(&bytes), bytes }]);
}

#[tokio::test]
async fn what_docker_pushes_is_read() {
    use std::io::Write;
    let registry = Registry::start(Setup::Plain);
    let bytes = module(4, 4000);
    // A ustar header by hand: the archive must not come from the code that reads it.
    let mut archive = vec![0; 512];
    archive[..9].copy_from_slice(b"module.so");
    archive[100..107].copy_from_slice(b"0000755");
    archive[124..135].copy_from_slice(format!("{:011o}", bytes.len()).as_bytes());
    archive[136..147].copy_from_slice(b"00000000000");
    archive[148..156].fill(b' ');
    archive[156] = b'0';
    archive[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = archive.iter().map(|byte| u32::from(*byte)).sum();
    archive[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    archive.extend_from_slice(&bytes);
    archive.resize(archive.len().next_multiple_of(512) + 1024, 0);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&archive).unwrap();
    let layer = Bytes::from(encoder.finish().unwrap());
    let config = Bytes::from(format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
        Digest::of(&archive)
    ));
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{{"mediaType":"application/vnd.docker.container.image.v1+json","size":{},"digest":"{}"}},"layers":[{{"mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip","size":{},"digest":"{}"}}]}}"#,
        config.len(),
        Digest::of(&config),
        layer.len(),
        Digest::of(&layer)
    );
    let media_type = "application/vnd.docker.distribution.manifest.v2+json";
    put_raw(&registry, "hello", &[&config, &layer], "1", media_type, manifest).await;
    let artifact = resolve_and_fetch(&client(|_| {}), &registry.reference("hello:1")).await.unwrap();
    assert_eq!(artifact.builds, [Build { platform: None, digest: Digest::of(&bytes), bytes }]);
}

#[tokio::test]
async fn what_buildah_builds_from_scratch_is_read() {
    let registry = Registry::start(Setup::Plain);
    let bytes = module(5, 4000);
    let folder = tempfile::tempdir().unwrap();
    let context = folder.path().join("context");
    std::fs::create_dir(&context).unwrap();
    std::fs::write(context.join("hello.so"), &bytes).unwrap();
    std::fs::write(context.join("Containerfile"), "FROM scratch\nCOPY hello.so /module.so\n").unwrap();
    let buildah = |arguments: &[&str]| {
        let output = std::process::Command::new("buildah")
            .args(["--storage-driver", "vfs"])
            .args([
                Path::new("--root"),
                &folder.path().join("root"),
                Path::new("--runroot"),
                &folder.path().join("run"),
            ])
            .args(arguments)
            .output()
            .expect("buildah is not installed; run make deps");
        assert!(
            output.status.success(),
            "buildah {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    let reference = registry.reference("hello:1");
    buildah(&["bud", "--isolation", "chroot", "-t", &reference, context.to_str().unwrap()]);
    buildah(&["push", "--tls-verify=false", &reference]);
    let artifact = resolve_and_fetch(&client(|_| {}), &reference).await.unwrap();
    assert_eq!(artifact.builds, [Build { platform: None, digest: Digest::of(&bytes), bytes }]);
}

#[tokio::test]
async fn something_else_than_a_module_is_told_from_one() {
    let registry = Registry::start(Setup::Plain);
    let client = client(|_| {});
    let reference = registry.reference("text:1");
    let text = Bytes::from_static(b"#!/bin/sh");
    client.push(&reference, &[build("amd64", &text)], Form::Artifact, &Annotations::new()).await.unwrap();
    let error = resolve_and_fetch(&client, &reference).await.unwrap_err();
    assert!(
        matches!(&error, SourceError::NotAModule { why, .. } if why.contains("neither an ELF")),
        "{error}"
    );
}

#[tokio::test]
async fn a_layout_holds_what_a_registry_does_and_stands_for_one() {
    let folder = tempfile::tempdir().unwrap();
    let layout = format!("oci:{}", folder.path().display());
    let direct = client(|_| {});
    let mirrored =
        client(|options| options.mirrors.push(format!("registry.example.com={layout}").parse().unwrap()));
    let name = format!("{layout}:hello:1.0");
    assert_eq!(reason(resolve_and_fetch(&direct, &name).await), Reason::SourceNotFound);
    let old = direct
        .push(&name, &[build("amd64", &module(1, 900))], Form::Image, &Annotations::new())
        .await
        .unwrap();
    assert_eq!(direct.resolve(&layout).await.unwrap(), old, "the only one needs no name");
    let two = [build("amd64", &module(2, 900)), build("arm64", &module(3, 900))];
    let new = mirrored
        .push("registry.example.com/hello:1.0", &two, Form::Artifact, &Annotations::new())
        .await
        .unwrap();
    let artifact = resolve_and_fetch(&mirrored, "registry.example.com/hello:1.0").await.unwrap();
    assert_eq!((artifact.digest, artifact.builds.len()), (new, 2));
    let pinned = resolve_and_fetch(&direct, &format!("{layout}@{old}")).await.unwrap();
    assert_eq!(pinned.builds[0].bytes, module(1, 900), "what lost its name is still there by digest");
    let other = mirrored
        .push("registry.example.com/other:1", &two[..1], Form::Artifact, &Annotations::new())
        .await
        .unwrap();
    assert_eq!(mirrored.resolve("registry.example.com/other:1").await.unwrap(), other);
    assert!(matches!(direct.resolve(&layout).await, Err(SourceError::Invalid { .. })), "two need names");
}

#[tokio::test]
async fn builds_that_are_too_large_together_are_refused_though_each_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let name = format!("oci:{}:a", folder.path().display());
    let client = client(|_| {});
    let builds = ["amd64", "arm64", "riscv64"].map(|arch| build(arch, &module(1, 900)));
    let digest = client.push(&name, &builds, Form::Artifact, &Annotations::new()).await.unwrap();
    assert_eq!(client.fetch(&name, &digest, 1350).await.unwrap().builds.len(), 3, "twice the limit of one");
    let error = client.fetch(&name, &digest, 1349).await.unwrap_err();
    let words = error.to_string();
    assert!(
        words.starts_with(&format!("{name}: the sum of its builds is larger than 2698 bytes")),
        "{words}"
    );
    assert_eq!(error.verdict().0, Reason::TooLarge);
}

#[tokio::test]
async fn a_broken_blob_in_a_layout_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let name = format!("oci:{}:a", folder.path().display());
    let client = client(|_| {});
    let bytes = module(1, 900);
    client.push(&name, &[build("amd64", &bytes)], Form::Artifact, &Annotations::new()).await.unwrap();
    let blob = folder.path().join("blobs/sha256").join(Digest::of(&bytes).hex());
    std::fs::write(&blob, module(2, 900)).unwrap();
    assert_eq!(reason(resolve_and_fetch(&client, &name).await), Reason::DigestMismatch);
    std::fs::write(&blob, module(1, 901)).unwrap();
    assert!(
        resolve_and_fetch(&client, &name).await.is_err(),
        "a blob that is longer than promised must be refused"
    );
}
