//! Artifacts in the cluster's registry.
//!
//! Owns where a test's artifacts lie: in a repository of the test's own, under names that the operator's mirror setting leads to.

use std::net::SocketAddr;

use bytes::Bytes;
use hotbay_api::{Digest, Platform};
use hotbay_artifact::oci::{Annotations, Form, media_type};
use hotbay_registry::{Client, Options, PlatformBuild};
use http::{HeaderValue, Method, header};

use super::Cluster;
use crate::http::{Connection, Protocol, request, whole};

/// What modules' references begin with, whatever the registry is called: the charts' values lead it to the registry of the cluster.
pub const NAME: &str = "registry.example.com";

impl Cluster {
    /// Stores one build for each platform under `name`, such as `e2e/hello:1.0`, and returns the digest that it leads to then.
    ///
    /// # Panics
    /// When the registry does not take it.
    pub async fn push(&self, name: &str, builds: &[(Platform, Bytes)], form: Form) -> Digest {
        let client = Client::new(Options { insecure: vec![self.registry.clone()], ..Options::default() });
        let builds = builds
            .iter()
            .map(|(platform, bytes)| PlatformBuild { platform: platform.clone(), bytes: bytes.clone() });
        let builds: Vec<_> = builds.collect();
        let reference = format!("{}/{name}", self.registry);
        client
            .push(&reference, &builds, form, &Annotations::new())
            .await
            .unwrap_or_else(|error| panic!("{error:?}"))
    }

    /// Where the registry is, as this host reaches it.
    pub(super) async fn registry_address(&self) -> SocketAddr {
        let mut addresses =
            tokio::net::lookup_host(&self.registry).await.expect("the registry's name is known");
        addresses.next().expect("the registry has an address")
    }

    /// Stores a manifest, byte for byte, under a tag. What it names must be there.
    ///
    /// # Panics
    /// When the registry does not take it.
    pub async fn put_manifest(&self, repository: &str, tag: &str, manifest: &serde_json::Value) {
        let address = self.registry_address().await;
        let mut connection = Connection::open(address, Protocol::H1).await.expect("the registry answers");
        let path = format!("/v2/{repository}/manifests/{tag}");
        let mut put = request(Protocol::H1, Method::PUT, &self.registry, &path, whole(manifest.to_string()));
        put.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type::OCI_MANIFEST));
        let answer = connection.send(put).await.expect("the registry answers");
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
}
