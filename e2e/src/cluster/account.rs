//! An account of the cluster, and what the API server lets it do.
//!
//! Owns how an account's token is got, which is as the kubelet gets it, and how an answer is read: granted, not granted by RBAC, or refused by
//! an admission policy. Every write is a dry run, which passes authorization and admission and changes nothing.

use http::{Method, Request, header};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::PostParams;
use kube::{Client, Config};
use serde_json::{Value, json};

use super::Cluster;

/// The shortest that the API server gives out.
const TOKEN_SECONDS: i64 = 600;

/// A service account, by its own token.
pub struct Account {
    /// Its name, for people.
    pub name: String,
    client: Client,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Ask {
    method: Method,
    path: String,
    content: &'static str,
    body: Vec<u8>,
}

/// What the API server says to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// It is done, or would be if the object were not there already.
    Granted,
    /// RBAC grants no such thing.
    NoRight,
    /// An admission policy refuses it, in these words.
    Policy(String),
    /// Neither: the request itself was wrong.
    Other(String),
}

impl Ask {
    /// Reads.
    pub fn get(path: &str) -> Self {
        Self { method: Method::GET, path: path.to_owned(), content: "application/json", body: Vec::new() }
    }

    /// Creates.
    pub fn post(path: &str, body: &Value) -> Self {
        Self::writing(Method::POST, path, "application/json", body)
    }

    /// Replaces.
    pub fn put(path: &str, body: &Value) -> Self {
        Self::writing(Method::PUT, path, "application/json", body)
    }

    /// Changes a part, as `kubectl patch --type=merge` does.
    pub fn merge(path: &str, body: &Value) -> Self {
        Self::writing(Method::PATCH, path, "application/merge-patch+json", body)
    }

    /// Server-side apply.
    pub fn apply(path: &str, body: &Value) -> Self {
        let mut ask = Self::writing(Method::PATCH, path, "application/apply-patch+yaml", body);
        ask.path.push_str("&fieldManager=hotbay-e2e&force=true");
        ask
    }

    /// Deletes.
    pub fn delete(path: &str) -> Self {
        // Beside a body the API server does not look at the query.
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "dryRun": ["All"]});
        Self::writing(Method::DELETE, path, "application/json", &options)
    }

    fn writing(method: Method, path: &str, content: &'static str, body: &Value) -> Self {
        Self { method, path: format!("{path}?dryRun=All"), content, body: body.to_string().into_bytes() }
    }
}

impl Account {
    /// Asks, and reads the answer.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn ask(&self, ask: &Ask) -> Ruling {
        match self.text(ask).await {
            Ok(_) => Ruling::Granted,
            Err(ruling) => ruling,
        }
    }

    /// Asks for what must be granted.
    ///
    /// # Errors
    /// Says what the API server said instead.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn text(&self, ask: &Ask) -> Result<String, Ruling> {
        let request = Request::builder()
            .method(&ask.method)
            .uri(&ask.path)
            .header(header::CONTENT_TYPE, ask.content)
            .body(ask.body.clone())
            .expect("a test's path is a path");
        match self.client.request_text(request).await {
            Ok(text) => Ok(text),
            Err(kube::Error::Api(status)) => Err(ruling(status.code, &status.reason, &status.message)),
            Err(error) => panic!("{}: {} {}: {error:?}", self.name, ask.method, ask.path),
        }
    }
}

fn ruling(code: u16, reason: &str, message: &str) -> Ruling {
    match (code, reason) {
        (409, "AlreadyExists") => Ruling::Granted,
        (403, _) if message.contains("ValidatingAdmissionPolicy") => Ruling::Policy(message.to_owned()),
        (403, _) => Ruling::NoRight,
        _ => Ruling::Other(format!("{code} {reason}: {message}")),
    }
}

impl Cluster {
    /// A service account with a token as the kubelet mounts it: issued to `pod`, or to nobody.
    ///
    /// # Panics
    /// When there is no such account.
    pub async fn account(&self, namespace: &str, name: &str, pod: Option<&str>) -> Account {
        self.with_token_for(None, namespace, name, pod).await
    }

    /// The same, with a token for `audience`, as a projected volume may ask for.
    ///
    /// # Panics
    /// When there is no such account.
    pub async fn account_for(
        &self,
        audience: &str,
        namespace: &str,
        name: &str,
        pod: Option<&str>,
    ) -> Account {
        self.with_token_for(Some(audience.to_owned()), namespace, name, pod).await
    }

    async fn with_token_for(
        &self,
        audience: Option<String>,
        namespace: &str,
        name: &str,
        pod: Option<&str>,
    ) -> Account {
        let accounts = self.api::<ServiceAccount>(namespace);
        let bound_object_ref = match pod {
            None => None,
            Some(pod) => {
                let object: Pod = self.api(namespace).get(pod).await.expect("the pod is there");
                Some(BoundObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Pod".to_owned()),
                    name: Some(pod.to_owned()),
                    uid: object.metadata.uid,
                })
            }
        };
        let spec = TokenRequestSpec {
            audiences: audience.map(|audience| vec![audience]),
            bound_object_ref,
            expiration_seconds: Some(TOKEN_SECONDS),
            ..TokenRequestSpec::default()
        };
        let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
        let issued = accounts.create_token_request(name, &PostParams::default(), &request).await;
        let issued = issued.expect("a token is issued").status.expect("an issued token is in the answer");
        let mut config = Config::infer().await.expect("KUBECONFIG leads to a cluster");
        // This token, and nothing of what the test itself may do.
        config.auth_info =
            serde_json::from_value(json!({"token": issued.token})).expect("a token is a way to log in");
        let client = Client::try_from(config).expect("the cluster can be reached");
        let of = pod.map(|pod| format!(" of pod {pod}")).unwrap_or_default();
        Account { name: format!("{namespace}/{name}{of}"), client }
    }
}
