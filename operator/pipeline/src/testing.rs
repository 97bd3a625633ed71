//! What the tests of this crate build their cases from.

use std::collections::BTreeMap;

use bytes::Bytes;
use hotbay_api::{
    Blob, Digest, EntryKey, HandlerModule, HandlerModuleSpec, Limits, OciSource, Platform, Precedence,
    Revision, Route, Timeouts,
};
use hotbay_artifact::Abi;
use serde_json::json;

use crate::{Artifact, Build, Source, SourceError, Validated};

/// A source that holds what it was given.
#[derive(Default)]
pub(crate) struct FixedSource(BTreeMap<String, Bytes>);

impl FixedSource {
    pub(crate) fn with(reference: &str, bytes: &'static [u8]) -> Self {
        Self(BTreeMap::from([(reference.to_owned(), Bytes::from_static(bytes))]))
    }

    fn get(&self, reference: &str) -> Result<&Bytes, SourceError> {
        self.0.get(reference).ok_or_else(|| SourceError::NotFound { reference: reference.to_owned() })
    }
}

impl Source for FixedSource {
    async fn resolve(&self, reference: &str) -> Result<Digest, SourceError> {
        self.get(reference).map(|bytes| Digest::of(bytes))
    }

    async fn fetch(&self, reference: &str, digest: &Digest, max_bytes: u64) -> Result<Artifact, SourceError> {
        let bytes = self.get(reference)?.clone();
        let reference = reference.to_owned();
        if bytes.len() as u64 > max_bytes {
            return Err(SourceError::TooLarge { reference, what: "the build".to_owned(), limit: max_bytes });
        }
        Ok(Artifact {
            reference,
            digest: *digest,
            builds: vec![Build { platform: None, digest: *digest, bytes }],
        })
    }
}

pub(crate) fn spec(reference: &str) -> HandlerModuleSpec {
    let mut spec = HandlerModuleSpec::default();
    spec.source.oci = Some(OciSource { reference: reference.to_owned() });
    spec
}

pub(crate) fn module(namespace: &str, name: &str) -> HandlerModule {
    serde_json::from_value(json!({
        "apiVersion": "hotbay.dev/v1alpha1",
        "kind": "HandlerModule",
        "metadata": {
            "namespace": namespace, "name": name, "uid": format!("uid-{namespace}-{name}"),
            "creationTimestamp": "2026-01-01T00:00:00Z", "generation": 1,
        },
        "spec": {"source": {"oci": {"reference": "reg/hello:1.0"}}},
    }))
    .unwrap()
}

pub(crate) fn platform() -> Platform {
    Platform { os: "linux".to_owned(), arch: "amd64".to_owned(), libc: Some("gnu".to_owned()) }
}

pub(crate) fn route(path: &str) -> Route {
    Route {
        hostnames: vec![],
        path: path.parse().unwrap(),
        methods: vec!["GET".to_owned()],
        handler: "greet".to_owned(),
    }
}

pub(crate) fn precedence(namespace: &str, name: &str, created: &str) -> Precedence {
    Precedence { created: created.to_owned(), key: EntryKey::new(namespace, name).unwrap() }
}

pub(crate) fn validated() -> Validated {
    Validated {
        reference: "reg/hello:1.0".to_owned(),
        digest: Digest::of(b"artifact"),
        version: "0.3.0".to_owned(),
        abi: Abi { major: 1, minor: 0, flags: 0 },
        blobs: vec![Blob { platform: platform(), digest: Digest::of(b"build"), size: 5 }],
        routes: vec![route("/hello")],
        config: json!({}),
        timeouts: Timeouts::default(),
        limits: Limits::default(),
    }
}

/// A revision of the artifact whose bytes are `artifact`.
pub(crate) fn revision(artifact: &str) -> Revision {
    let digest = Digest::of(artifact.as_bytes());
    Revision {
        revision: format!("1.0@sha256:{}", digest.short()),
        blobs: vec![Blob { platform: platform(), digest, size: 5 }],
        routes: vec![route("/hello")],
        config: json!({}),
        timeouts: Timeouts::default(),
        limits: Limits::default(),
    }
}
