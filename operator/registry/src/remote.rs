//! One repository of a registry, over HTTP.
//!
//! Owns the calls of the OCI distribution API that we need, and the answer to a challenge. What it returns is checked against its digest;
//! where no digest was asked for, the answer says which one it has.

use bytes::Bytes;
use hotbay_api::Digest;
use hotbay_artifact::oci::{Descriptor, PackedBlob, media_type};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Response, StatusCode};
use tokio::sync::Mutex;
use url::Url;

use crate::auth::{self, Challenge};
use crate::credentials::Credentials;
use crate::fault::Fault;
use crate::reference::Selector;
use crate::store::{MAX_MANIFEST_BYTES, Served};
use crate::transport::{Ask, Transport, fault_of, location};

/// A repository, and what its registry was told who we are. Lives for one operation, so that no token outlives its use.
pub(crate) struct Remote<'client> {
    pub(crate) transport: &'client Transport,
    pub(crate) credentials: &'client Credentials,
    /// As credentials are filed.
    pub(crate) registry: String,
    /// Scheme, host and port.
    pub(crate) base: Url,
    pub(crate) repository: String,
    pub(crate) authorization: Mutex<Option<HeaderValue>>,
}

impl Remote<'_> {
    /// The digest that a tag names, without fetching what it names if the registry can say so.
    pub(crate) async fn digest_of(&self, tag: &str) -> Result<Digest, Fault> {
        let mut ask = self.ask(Method::HEAD, &format!("manifests/{tag}"))?;
        ask.headers.insert(ACCEPT, HeaderValue::from_static(media_type::ACCEPT));
        let response = self.send(&ask).await?;
        match response.status() {
            StatusCode::OK => {
                let stated = response.headers().get("docker-content-digest");
                match stated.and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok()) {
                    Some(digest) => Ok(digest),
                    None => self.digest_by_get(tag).await,
                }
            }
            status if may_refuse_the_method(status) => self.digest_by_get(tag).await,
            status => Err(fault_of(status)),
        }
    }

    /// The digest of what a tag names, from the bytes themselves.
    async fn digest_by_get(&self, tag: &str) -> Result<Digest, Fault> {
        self.manifest(&Selector::Tag(tag.to_owned())).await.map(|served| Digest::of(&served.bytes))
    }

    pub(crate) async fn manifest(&self, selector: &Selector) -> Result<Served, Fault> {
        let name = match selector {
            Selector::Tag(tag) => tag.clone(),
            Selector::Digest(digest) => digest.to_string(),
        };
        let mut ask = self.ask(Method::GET, &format!("manifests/{name}"))?;
        ask.headers.insert(ACCEPT, HeaderValue::from_static(media_type::ACCEPT));
        let response = self.send(&ask).await?;
        if response.status() != StatusCode::OK {
            return Err(fault_of(response.status()));
        }
        let stated = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = stated.unwrap_or_default().to_owned();
        let bytes = self.transport.read_body(response, "the manifest", MAX_MANIFEST_BYTES).await?;
        Ok(Served { media_type, bytes })
    }

    pub(crate) async fn blob(&self, descriptor: &Descriptor) -> Result<Bytes, Fault> {
        let ask = self.ask(Method::GET, &format!("blobs/{}", descriptor.digest))?;
        let response = self.send(&ask).await?;
        if response.status() != StatusCode::OK {
            return Err(fault_of(response.status()));
        }
        self.transport.read_body(response, "the layer", descriptor.size).await
    }

    /// Stores a blob, unless it is there.
    pub(crate) async fn put_blob(&self, blob: &PackedBlob) -> Result<(), Fault> {
        let digest = blob.descriptor.digest;
        let head = self.send(&self.ask(Method::HEAD, &format!("blobs/{digest}"))?).await?;
        match head.status() {
            StatusCode::OK => return Ok(()),
            StatusCode::NOT_FOUND => {}
            status => return Err(fault_of(status)),
        }
        let begin = self.ask(Method::POST, "blobs/uploads/")?;
        let begun = self.send(&begin).await?;
        if begun.status() != StatusCode::ACCEPTED {
            return Err(fault_of(begun.status()));
        }
        let mut url = location(&begun, &begin.url)?;
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        let mut put = Ask::new(Method::PUT, url);
        put.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        put.body = blob.bytes.clone();
        expect_created(self.send(&put).await?)
    }

    /// Stores a manifest or index under `name`, a tag or its digest.
    pub(crate) async fn put_manifest(&self, manifest: &PackedBlob, name: &str) -> Result<(), Fault> {
        let mut put = self.ask(Method::PUT, &format!("manifests/{name}"))?;
        let media_type = HeaderValue::from_str(&manifest.descriptor.media_type);
        put.headers.insert(CONTENT_TYPE, media_type.map_err(|error| Fault::Unreachable(error.into()))?);
        put.body = manifest.bytes.clone();
        expect_created(self.send(&put).await?)
    }

    fn ask(&self, method: Method, what: &str) -> Result<Ask, Fault> {
        let url = self.base.join(&format!("/v2/{}/{what}", self.repository));
        Ok(Ask::new(method, url.map_err(|error| Fault::Unreachable(error.into()))?))
    }

    /// Sends a request, and once more if the registry itself asks who we are. A challenge from where it redirected to is not met, and an
    /// upload location elsewhere is told nothing.
    async fn send(&self, ask: &Ask) -> Result<Response, Fault> {
        let named = self.base.host_str().unwrap_or_default();
        let ours = ask.url.origin() == self.base.origin();
        let known = self.authorization.lock().await.clone().filter(|_| ours);
        let response = self.transport.send(named, ask, known.as_ref()).await?;
        let asked_by_registry = ours && response.url().origin() == self.base.origin();
        if response.status() != StatusCode::UNAUTHORIZED || !asked_by_registry {
            return Ok(response);
        }
        let Some(challenge) = Challenge::of(response.headers()) else { return Ok(response) };
        let credential = self.credentials.find(&self.registry).await?;
        let Some(answer) = auth::answer(self.transport, &self.base, &challenge, credential.as_ref()).await?
        else {
            return Ok(response);
        };
        *self.authorization.lock().await = Some(answer.clone());
        self.transport.send(named, ask, Some(&answer)).await
    }
}

/// Whether an answer to HEAD may be about the method and not about what was asked for. A proxy before a registry forbids what it does not
/// know, or knows no HEAD; the answer to GET is the one that counts.
fn may_refuse_the_method(status: StatusCode) -> bool {
    let refusals = [
        StatusCode::BAD_REQUEST,
        StatusCode::FORBIDDEN,
        StatusCode::METHOD_NOT_ALLOWED,
        StatusCode::NOT_IMPLEMENTED,
    ];
    refusals.contains(&status)
}

fn expect_created(response: Response) -> Result<(), Fault> {
    match response.status() {
        StatusCode::CREATED | StatusCode::ACCEPTED | StatusCode::OK => Ok(()),
        StatusCode::PAYLOAD_TOO_LARGE => Err(Fault::unreachable("it takes no blob of this size")),
        status => Err(fault_of(status)),
    }
}
