//! The API server through a proxy that lies when it is told to.
//!
//! Owns what one client sees of the cluster: every request goes to the real API server in the name of one service account, is counted by verb
//! and resource, and is answered honestly but for lists of HandlerModules. Watches of those can be ended as the API server ends one that it has
//! forgotten the beginning of, which makes a client list anew.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, BodyStream, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::Client;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const MODULES: &str = "handlermodules";

/// How lists of HandlerModules are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lists {
    /// As the API server does.
    Honest,
    /// There are none.
    Empty,
    /// 403.
    Forbidden,
}

/// Verb (as the API server's own metrics have them) and resource.
pub type Asked = (&'static str, String);
type Body = UnsyncBoxBody<Bytes, kube::Error>;

/// A running proxy. Drop ends it, and every connection through it.
pub struct Proxy {
    folder: TempDir,
    lists: watch::Sender<Lists>,
    counts: Arc<Counts>,
    task: JoinHandle<()>,
}

type Counts = Mutex<BTreeMap<Asked, usize>>;

/// One client's way.
#[derive(Clone)]
struct Way {
    client: Client,
    account: HeaderValue,
    namespace: String,
    lists: watch::Receiver<Lists>,
    counts: Arc<Counts>,
}

impl Proxy {
    /// A proxy whose client is the service account `namespace`/`name`.
    pub async fn start(client: Client, namespace: &str, name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let (lists, seen) = watch::channel(Lists::Honest);
        let counts = Arc::<Counts>::default();
        let account = format!("system:serviceaccount:{namespace}:{name}");
        let way = Way {
            client,
            account: account.parse().expect("names are header values"),
            namespace: namespace.to_owned(),
            lists: seen,
            counts: counts.clone(),
        };
        let task = tokio::spawn(serve(listener, way));
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        std::fs::write(folder.path().join("kubeconfig"), kubeconfig(address)).expect("it can be written");
        Self { folder, lists, counts, task }
    }

    /// What leads a client here.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// Answers lists of HandlerModules like this from now on, and has the client list anew.
    pub fn answer_lists(&self, lists: Lists) {
        self.lists.send_replace(lists);
    }

    /// How often each was asked for so far.
    pub fn counts(&self) -> BTreeMap<Asked, usize> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often HandlerModules were listed so far, whatever was answered.
    pub fn lists(&self) -> usize {
        self.counts().get(&("LIST", MODULES.to_owned())).copied().unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn kubeconfig(address: SocketAddr) -> String {
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
        "clusters": [{"name": "proxy", "cluster": {"server": format!("http://{address}")}}],
        "users": [{"name": "proxy", "user": {}}],
        "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
    });
    config.to_string()
}

async fn serve(listener: TcpListener, way: Way) {
    // Connections end with the proxy: their tasks are owned here.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(connection(stream, way.clone()));
    }
}

async fn connection(stream: TcpStream, way: Way) {
    let service = service_fn(move |request| {
        let way = way.clone();
        async move { Ok::<_, Infallible>(way.answer(request).await) }
    });
    // A client that hangs up is no matter.
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

impl Way {
    async fn answer(mut self, request: Request<Incoming>) -> Response<Body> {
        let (verb, resource) = asked(&request);
        *self
            .counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry((verb, resource.clone()))
            .or_default() += 1;
        let lists = *self.lists.borrow_and_update();
        let lies = resource == MODULES;
        match (verb, lists) {
            ("LIST", Lists::Forbidden) if lies => {
                status(StatusCode::FORBIDDEN, "Forbidden", "a test forbids it")
            }
            ("LIST", Lists::Empty) if lies => match self.forward(request).await {
                Ok(honest) => emptied(honest).await,
                Err(error) => unreachable(&error),
            },
            ("WATCH", _) if lies => match self.clone().forward(request).await {
                Ok(honest) => self.ended_by_a_change(honest),
                Err(error) => unreachable(&error),
            },
            _ => self
                .forward(request)
                .await
                .map_or_else(|error| unreachable(&error), |honest| honest.map(BodyExt::boxed_unsync)),
        }
    }

    async fn forward(self, request: Request<Incoming>) -> kube::Result<Response<kube::client::Body>> {
        let (mut parts, body) = request.into_parts();
        let body = body.collect().await.map_err(kube::Error::HyperError)?.to_bytes();
        // What belongs to this connection and not to the next one.
        for name in [http::header::HOST, http::header::CONNECTION] {
            parts.headers.remove(name);
        }
        let groups = format!("system:serviceaccounts:{}", self.namespace);
        let groups = ["system:serviceaccounts", groups.as_str(), "system:authenticated"];
        parts.headers.insert("Impersonate-User", self.account.clone());
        for group in groups {
            parts.headers.append("Impersonate-Group", group.parse().expect("names are header values"));
        }
        parts.version = http::Version::HTTP_11;
        self.client.send(Request::from_parts(parts, kube::client::Body::from(body))).await
    }

    /// A watch that goes on until lists are answered otherwise, and ends as one does whose beginning is forgotten.
    fn ended_by_a_change(mut self, honest: Response<kube::client::Body>) -> Response<Body> {
        let changed = async move {
            drop(self.lists.changed().await);
        };
        let gone = json!({"type": "ERROR", "object": status_of(StatusCode::GONE, "Expired", "too old resource version")});
        let last = stream::iter([Ok(Frame::data(Bytes::from(format!("{gone}\n"))))]);
        honest.map(|body| {
            let frames = BodyStream::new(body).take_until(Box::pin(changed)).chain(last);
            BodyExt::boxed_unsync(StreamBody::new(frames.into_stream()))
        })
    }
}

/// Verb and resource of a request.
fn asked<B>(request: &Request<B>) -> Asked {
    let path: Vec<&str> = request.uri().path().trim_matches('/').split('/').collect();
    // /api/v1/… or /apis/GROUP/VERSION/…
    let rest = match path.first() {
        Some(&"api") => path.get(2..),
        _ => path.get(3..),
    };
    let rest = rest.unwrap_or_default();
    let rest = match rest {
        ["namespaces", _, of_namespace @ ..] if !of_namespace.is_empty() => of_namespace,
        other => other,
    };
    let (resource, is_named) = (rest.first().copied().unwrap_or_default(), rest.len() > 1);
    let resource = rest.get(2).map_or_else(|| resource.to_owned(), |sub| format!("{resource}/{sub}"));
    let is_watch = request.uri().query().unwrap_or_default().split('&').any(|pair| pair == "watch=true");
    let verb = match *request.method() {
        Method::GET if is_watch => "WATCH",
        Method::GET if is_named => "GET",
        Method::GET => "LIST",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "OTHER",
    };
    (verb, resource)
}

/// A list without its items; its resourceVersion is the real one.
async fn emptied(honest: Response<kube::client::Body>) -> Response<Body> {
    let body = match honest.into_body().collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return unreachable(&error),
    };
    let mut list: Value = serde_json::from_slice(&body).expect("a list is JSON");
    list["items"] = json!([]);
    json_answer(StatusCode::OK, &list)
}

fn status_of(code: StatusCode, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "reason": reason, "message": message, "code": code.as_u16(),
    })
}

fn status(code: StatusCode, reason: &str, message: &str) -> Response<Body> {
    json_answer(code, &status_of(code, reason, message))
}

fn unreachable(error: &kube::Error) -> Response<Body> {
    status(StatusCode::BAD_GATEWAY, "InternalError", &error.to_string())
}

fn json_answer(code: StatusCode, json: &Value) -> Response<Body> {
    let body = Full::new(Bytes::from(json.to_string())).map_err(|never: Infallible| match never {});
    let mut answer = Response::new(body.boxed_unsync());
    *answer.status_mut() = code;
    answer.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
