//! Packs and unpacks both forms, and refuses every other.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "in tests they are how a claim fails"
)]

use std::io::Write;

use bytes::Bytes;
use hotbay_api::{Digest, Platform};
use hotbay_artifact::oci::{
    Annotations, Descriptor, Document, Form, OciError, PackedModule, annotation, media_type, pack,
    pack_index, unpack,
};

const LIMIT: u64 = 1 << 20;

fn module() -> Bytes {
    Bytes::from([b"\x7fELF".as_slice(), &[7; 5000]].concat())
}

fn platform(arch: &str, libc: Option<&str>) -> Platform {
    Platform { os: "linux".into(), arch: arch.into(), libc: libc.map(str::to_owned) }
}

fn packed(form: Form) -> PackedModule {
    let annotations = Annotations::from([(annotation::VERSION.to_owned(), "1.0".to_owned())]);
    pack(&module(), &platform("amd64", None), form, "hello.so", &annotations).unwrap()
}

fn archive(fill: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    fill(&mut builder);
    builder.into_inner().unwrap()
}

/// Adds a file whose name is written as it is: the builder itself refuses paths that lead out.
fn add(builder: &mut tar::Builder<Vec<u8>>, name: &str, kind: tar::EntryType, bytes: &[u8]) {
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    builder.append(&header, bytes).unwrap();
}

fn one(name: &str, kind: tar::EntryType, bytes: &[u8]) -> Vec<u8> {
    archive(|builder| add(builder, name, kind, bytes))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn layer_of(packed: &PackedModule) -> Bytes {
    let Document::Manifest(manifest) =
        Document::parse(&packed.manifest.bytes, media_type::OCI_MANIFEST).unwrap()
    else {
        panic!("a packed module must be a manifest");
    };
    let layer = manifest.module_layer().unwrap();
    packed.blobs.iter().find(|blob| blob.descriptor.digest == layer.digest).unwrap().bytes.clone()
}

#[test]
fn both_forms_unpack_to_the_module_and_are_the_same_each_time() {
    for form in [Form::Artifact, Form::Image] {
        let first = packed(form);
        assert_eq!(unpack(layer_of(&first), LIMIT).unwrap(), module());
        assert_eq!(first, packed(form), "{form:?} must be deterministic");
        for blob in first.blobs.iter().chain([&first.manifest]) {
            assert_eq!(blob.descriptor.digest, Digest::of(&blob.bytes));
            assert_eq!(blob.descriptor.size, blob.bytes.len() as u64);
        }
    }
}

#[test]
fn the_artifact_is_what_oras_and_gitlab_understand() {
    let json: serde_json::Value = serde_json::from_slice(&packed(Form::Artifact).manifest.bytes).unwrap();
    assert_eq!(json["config"]["mediaType"], "application/vnd.oci.empty.v1+json");
    assert_eq!(
        json["config"]["digest"],
        "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    );
    assert_eq!(json["artifactType"], "application/vnd.hotbay.module.v1");
    assert_eq!(json["layers"][0]["digest"], Digest::of(&module()).to_string());
    assert_eq!(json["layers"][0]["annotations"]["org.opencontainers.image.title"], "hello.so");
    assert_eq!(json["annotations"]["org.opencontainers.image.version"], "1.0");
}

#[test]
fn archives_are_read_plain_gzipped_and_zstd_with_each_spelling_of_the_name() {
    for name in ["module.so", "./module.so", "/module.so"] {
        let plain = archive(|builder| {
            add(builder, "./", tar::EntryType::Directory, b"");
            add(builder, name, tar::EntryType::Regular, &module());
        });
        let zstd = zstd::encode_all(&plain[..], 19).unwrap();
        for layer in [gzip(&plain), zstd, plain] {
            assert_eq!(unpack(layer.into(), LIMIT).unwrap(), module(), "{name}");
        }
    }
}

#[test]
fn archives_with_anything_else_are_refused() {
    let link = archive(|builder| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        builder.append_link(&mut header, "module.so", "/etc/passwd").unwrap();
    });
    let twice = archive(|builder| {
        for _ in 0..2 {
            add(builder, "module.so", tar::EntryType::Regular, &module());
        }
    });
    let beside = archive(|builder| {
        add(builder, "module.so", tar::EntryType::Regular, &module());
        add(builder, "etc/passwd", tar::EntryType::Regular, b"x");
    });
    let hard = one("module.so", tar::EntryType::Link, b"");
    let dir = one("module.so", tar::EntryType::Directory, b"");
    let out = one("../module.so", tar::EntryType::Regular, &module());
    let deep = one("lib/module.so", tar::EntryType::Regular, &module());
    let empty = archive(|_| {});
    for (what, bytes) in [
        ("link", link),
        ("twice", twice),
        ("beside", beside),
        ("hard", hard),
        ("dir", dir),
        ("out", out),
        ("deep", deep),
    ] {
        let error = unpack(gzip(&bytes).into(), LIMIT).unwrap_err();
        assert!(matches!(error, OciError::Archive(_)), "{what}: {error}");
    }
    assert!(unpack(gzip(&empty).into(), LIMIT).is_err());
    let text = one("module.so", tar::EntryType::Regular, b"#!/bin/sh");
    assert!(matches!(unpack(gzip(&text).into(), LIMIT), Err(OciError::NotElf)));
    assert!(matches!(unpack(Bytes::from_static(b"hello"), LIMIT), Err(OciError::NotElf)));
}

#[test]
fn bombs_are_refused_as_too_large_in_every_form() {
    let huge = [b"\x7fELF".as_slice(), &vec![0; 64 << 20]].concat();
    let large = one("module.so", tar::EntryType::Regular, &huge);
    let padding = gzip(&[one("./", tar::EntryType::Directory, b""), vec![0; 1024]].concat());
    assert!(unpack(padding.into(), LIMIT).is_err(), "an archive of nothing must be refused");
    // The size in the header is honest here; in the next one the extended header is what is large.
    let honest = gzip(&large);
    assert!(honest.len() < 100_000, "the bomb must be small: {}", honest.len());
    let extended = gzip(&one("x", tar::EntryType::XHeader, &vec![b'1'; 8 << 20]));
    let zstd = zstd::encode_all(&large[..], 3).unwrap();
    for layer in [honest, extended, zstd, huge] {
        let error = unpack(layer.into(), LIMIT).unwrap_err();
        assert!(matches!(error, OciError::TooLarge(LIMIT)), "{error:?}");
    }
}

#[test]
fn broken_layers_never_panic() {
    let whole = layer_of(&packed(Form::Image));
    for length in 0..whole.len() {
        assert!(unpack(whole.slice(..length), LIMIT).is_err(), "{length} bytes of {}", whole.len());
        let mut flipped = whole.to_vec();
        flipped[length] ^= 0x55;
        let _ = unpack(flipped.into(), LIMIT);
    }
}

#[test]
fn an_index_carries_platforms_with_their_libc_and_skips_attestations() {
    let manifest = packed(Form::Artifact).manifest.descriptor;
    let platforms =
        [platform("amd64", Some("gnu")), platform("amd64", Some("musl")), platform("arm64", None)];
    let builds: Vec<_> = platforms.iter().map(|platform| (platform.clone(), manifest.clone())).collect();
    let index = pack_index(&builds, &Annotations::new()).unwrap();
    let mut json: serde_json::Value = serde_json::from_slice(&index.bytes).unwrap();
    let attestation = serde_json::json!({
        "mediaType": media_type::OCI_MANIFEST, "size": 2, "digest": Digest::of(b"{}").to_string(),
        "platform": {"os": "unknown", "architecture": "unknown", "variant": "x"},
    });
    json["manifests"].as_array_mut().unwrap().push(attestation.clone());
    let read =
        |json: &serde_json::Value| match Document::parse(json.to_string().as_bytes(), media_type::OCI_INDEX)
            .unwrap()
        {
            Document::Index(index) => index,
            Document::Manifest(_) => panic!("an index must be read as one"),
        };
    let index = read(&json);
    let read_platforms: Vec<_> =
        index.builds().unwrap().into_iter().map(Descriptor::build_platform).collect();
    assert_eq!(read_platforms, platforms.map(Some));
    json["manifests"] = vec![attestation].into();
    assert!(matches!(read(&json).builds(), Err(OciError::NoPlatform)));
    json["manifests"] = vec![serde_json::to_value(&manifest).unwrap(); 9].into();
    assert!(matches!(read(&json).builds(), Err(OciError::ManyPlatforms(9, 8))));
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let bytes = packed(Form::Artifact).manifest.bytes;
    let served_as_index = Document::parse(&bytes, media_type::OCI_INDEX).unwrap_err();
    assert!(matches!(served_as_index, OciError::Ambiguous(_)), "{served_as_index}");
    let mut both: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    both["manifests"] = serde_json::json!([]);
    both.as_object_mut().unwrap().remove("mediaType");
    for stated in [media_type::OCI_INDEX, media_type::OCI_MANIFEST] {
        let error = Document::parse(both.to_string().as_bytes(), stated).unwrap_err();
        assert!(matches!(error, OciError::Ambiguous(_)), "{stated}: {error}");
    }
    both.as_object_mut().unwrap().remove("manifests");
    let error = Document::parse(both.to_string().as_bytes(), "text/html; charset=utf-8").unwrap_err();
    assert!(matches!(&error, OciError::MediaType(stated) if stated == "text/html"), "{error}");
    let stated = format!("{}; charset=utf-8", media_type::DOCKER_MANIFEST);
    assert!(Document::parse(both.to_string().as_bytes(), &stated).is_ok());
}

#[test]
fn a_manifest_with_more_or_less_than_one_layer_is_refused() {
    let Document::Manifest(mut manifest) =
        Document::parse(&packed(Form::Artifact).manifest.bytes, media_type::OCI_MANIFEST).unwrap()
    else {
        panic!("a packed module must be a manifest");
    };
    manifest.layers.push(manifest.layers[0].clone());
    assert!(matches!(manifest.module_layer(), Err(OciError::Layers(2))));
    manifest.layers.clear();
    assert!(matches!(manifest.module_layer(), Err(OciError::Layers(0))));
}
