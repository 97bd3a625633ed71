//! What each write says to the API server, and what it makes of the answer.
//!
//! The server here keeps the rules that a stale operator runs into: a POST makes only what is not there, and an apply or a deletion with a UID or
//! a resourceVersion is refused if the object has another or is gone. e2e shows that the real one keeps them.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hotbay_api::{Digest, Entry, EntryKey, HandlerModuleStatus};
use hotbay_pipeline::InlineBlob;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use kube::Config;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::objects::Origins;

/// What was asked: method, path with query, body.
type Asked = (Method, String, Value);

#[derive(Default)]
struct Cluster {
    objects: BTreeMap<String, Value>,
    asked: Vec<Asked>,
    version: u64,
    /// A quota is used up.
    full: bool,
}

impl Cluster {
    fn put(&mut self, path: &str, mut object: Value) -> Value {
        self.version += 1;
        let version = self.version;
        let meta = &mut object["metadata"];
        meta["resourceVersion"] = version.to_string().into();
        if meta["uid"].is_null() {
            meta["uid"] = format!("uid-{version}").into();
        }
        self.objects.insert(path.to_owned(), object.clone());
        object
    }

    fn answer(&mut self, method: &Method, path: &str, body: &Value) -> (u16, Value) {
        let there = self.objects.get(path).cloned();
        match *method {
            Method::GET if path == MAPS => {
                let items: Vec<&Value> = self.objects.values().collect();
                (
                    200,
                    json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": {}, "items": items}),
                )
            }
            Method::GET => there.map_or_else(|| refused(404, "not found"), |object| (200, object)),
            Method::POST if self.full => refused(403, "exceeded quota: configmaps"),
            Method::POST => {
                let path = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap_or_default());
                match self.objects.contains_key(&path) {
                    true => refused(409, "already exists"),
                    false => (201, self.put(&path, body.clone())),
                }
            }
            Method::PATCH => {
                let path = path.trim_end_matches("/status");
                match self.objects.get(path) {
                    Some(object) if !fits(object, &body["metadata"]) => {
                        refused(409, "the object has been modified")
                    }
                    None if !body["metadata"]["uid"].is_null() => refused(409, "Precondition failed: UID"),
                    None => (201, self.put(path, body.clone())),
                    Some(object) => {
                        let mut object = object.clone();
                        for part in ["data", "status"] {
                            if !body[part].is_null() {
                                object[part] = body[part].clone();
                            }
                        }
                        if !body["metadata"]["annotations"].is_null() {
                            object["metadata"]["annotations"] = body["metadata"]["annotations"].clone();
                        }
                        (200, self.put(path, object))
                    }
                }
            }
            Method::DELETE => match there {
                None => refused(404, "not found"),
                Some(object) if !fits(&object, &body["preconditions"]) => refused(409, "Precondition failed"),
                Some(object) => {
                    self.objects.remove(path);
                    (200, object)
                }
            },
            _ => refused(405, "no such method"),
        }
    }
}

/// Whether an object is the one that is meant, as far as `wanted` says.
fn fits(object: &Value, wanted: &Value) -> bool {
    ["uid", "resourceVersion"]
        .iter()
        .all(|field| wanted[field].is_null() || wanted[field] == object["metadata"][field])
}

fn refused(code: u16, message: &str) -> (u16, Value) {
    let reason = if code == 404 { "NotFound" } else { "Conflict" };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message,
    });
    (code, status)
}

struct Server {
    cluster: Arc<Mutex<Cluster>>,
    writer: Writer,
}

impl Server {
    async fn start() -> Self {
        let cluster = Arc::<Mutex<Cluster>>::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = cluster.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = state.clone();
                let service = service_fn(move |request| answer(state.clone(), request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        let config = Config::new(format!("http://{address}").parse().unwrap());
        let client = Client::try_from(config).unwrap();
        Self { cluster, writer: Writer::new(client, pool()) }
    }

    async fn write(&self, write: Write) -> Written {
        self.writer.write(&Target::PoolStatus(pool()), write).await
    }

    fn put(&self, path: &str, object: Value) {
        self.cluster.lock().unwrap().put(path, object);
    }

    fn has(&self, path: &str) -> bool {
        self.cluster.lock().unwrap().objects.contains_key(path)
    }

    fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.cluster.lock().unwrap().asked)
    }

    async fn created(&self) -> Arc<StoredEntry> {
        match self.write(Write::CreateEntry(draft("/a"))).await {
            Written::Entry(stored) => Arc::from(stored),
            other => panic!("{other:?}"),
        }
    }
}

async fn answer(
    state: Arc<Mutex<Cluster>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let bytes = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    let mut cluster = state.lock().unwrap();
    let (code, answer) = cluster.answer(&parts.method, parts.uri.path(), &body);
    cluster.asked.push((parts.method, parts.uri.to_string(), body));
    let response = Response::builder().status(code).header("Content-Type", "application/json");
    Ok(response.body(Full::new(Bytes::from(answer.to_string()))).unwrap())
}

fn pool() -> PoolRef {
    "hotbay/default".parse().unwrap()
}

const MAPS: &str = "/api/v1/namespaces/hotbay/configmaps";
const ENTRY: &str = "/api/v1/namespaces/hotbay/configmaps/hm.default.shop.hello";
const MODULE: &str = "/apis/hotbay.dev/v1alpha1/namespaces/shop/handlermodules/hello";
const DEFINITION: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/handlermodules.hotbay.dev";

fn draft(path: &str) -> Box<EntryDraft> {
    let revision = json!({"revision": "1", "blobs": [], "routes": [{"path": path, "handler": "h"}]});
    let entry: Entry = serde_json::from_value(json!({
        "version": 1, "id": {"namespace": "shop", "name": "hello", "uid": "module-uid"},
        "created": "2026-01-01T00:00:00Z", "revisions": [revision],
    }))
    .unwrap();
    Box::new(EntryDraft { pool: pool(), entry, generation: 1, origins: Origins::new() })
}

fn module(uid: &str) -> Value {
    json!({
        "apiVersion": "hotbay.dev/v1alpha1", "kind": "HandlerModule",
        "metadata": {"namespace": "shop", "name": "hello", "uid": uid},
        "spec": {"source": {"oci": {"reference": "reg/hello:1"}}},
    })
}

fn definition(established: &str) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "handlermodules.hotbay.dev"},
        "spec": {"group": "hotbay.dev", "scope": "Namespaced", "versions": [], "names": {"kind": "HandlerModule", "plural": "handlermodules"}},
        "status": {"conditions": [{"type": "Established", "status": established}]},
    })
}

#[tokio::test]
async fn what_a_quota_forbids_is_told_from_what_fails() {
    let server = Server::start().await;
    server.cluster.lock().unwrap().full = true;
    assert!(matches!(server.write(Write::CreateEntry(draft("/a"))).await, Written::Refused));
    server.cluster.lock().unwrap().full = false;
    server.created().await;
}

#[tokio::test]
async fn what_is_new_is_posted_and_never_overwrites() {
    let server = Server::start().await;
    server.created().await;
    let asked = server.asked();
    let [(method, path, body)] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!((method, path.split('?').next()), (&Method::POST, Some(MAPS)));
    assert!(body["metadata"]["resourceVersion"].is_null(), "{body}");
    assert!(matches!(server.write(Write::CreateEntry(draft("/b"))).await, Written::Failed));
    let blob = InlineBlob { digest: Digest::of(b"blob"), compressed: Bytes::from_static(b"blob") };
    let create = || Write::CreateBlob("hotbay".into(), blob.clone());
    assert!(matches!(server.write(create()).await, Written::Blob(_)));
    assert!(matches!(server.write(create()).await, Written::Failed));
    assert!(server.asked().iter().all(|(method, ..)| [Method::POST, Method::GET].contains(method)));
}

#[tokio::test]
async fn a_blob_that_somebody_else_made_is_made_anew() {
    let server = Server::start().await;
    let blob = InlineBlob { digest: Digest::of(b"blob"), compressed: Bytes::from_static(b"blob") };
    let mut map = json!(blob_config_map("hotbay", &blob));
    map["binaryData"] = json!({"blob.zst": "b3RoZXI="});
    map["metadata"]["managedFields"] = json!([{"manager": "kubectl-create"}]);
    let path = format!("{MAPS}/{}", map["metadata"]["name"].as_str().unwrap());
    server.put(&path, map);
    let seen = server.cluster.lock().unwrap().objects[&path]["metadata"]["uid"].clone();
    let create = Write::CreateBlob("hotbay".into(), blob.clone());
    let Written::Blob(stored) = server.write(create).await else { panic!("it is written") };
    assert_ne!(json!(stored.uid), seen);
    let asked = server.asked();
    let deletion = asked.iter().find(|(method, ..)| method == Method::DELETE).expect("the other is deleted");
    assert_eq!(deletion.2["preconditions"]["uid"], seen, "that one and no later one");
    let (_, posted, _) = asked.last().unwrap();
    assert!(posted.contains("fieldManager=hotbay-operator"), "by which it is known for its own: {posted}");
    let there = server.cluster.lock().unwrap().objects[&path].clone();
    assert_eq!(there["binaryData"], json!(blob_config_map("hotbay", &blob).binary_data));
}

#[tokio::test]
async fn what_has_lost_its_label_is_taken_for_its_own() {
    let server = Server::start().await;
    let seen = server.created().await;
    let path = server.cluster.lock().unwrap().objects.keys().next().unwrap().clone();
    let mut unlabelled = server.cluster.lock().unwrap().objects[&path].clone();
    unlabelled["metadata"]["labels"] = json!({});
    server.put(&path, unlabelled);
    server.asked();
    let Written::Entry(now) = server.write(Write::CreateEntry(draft("/b"))).await else {
        panic!("it is written")
    };
    assert_eq!(now.uid, seen.uid, "it is changed and not made anew");
    let (method, _, body) = server.asked().pop().unwrap();
    assert_eq!(
        (method, &body["metadata"]["labels"][labels::KIND]),
        (Method::PATCH, &json!(labels::KIND_ENTRY))
    );
    assert_eq!(body["metadata"]["uid"], json!(seen.uid));
}

#[tokio::test]
async fn a_change_is_applied_to_the_object_that_was_seen_by_its_own_manager() {
    let server = Server::start().await;
    let seen = server.created().await;
    server.asked();
    let written = server.write(Write::UpdateEntry(draft("/b"), seen.clone())).await;
    let Written::Entry(now) = written else { panic!("{written:?}") };
    assert!(now.uid == seen.uid && now.version > seen.version && now.intact);
    let asked = server.asked();
    let [(method, path, body)] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(*method, Method::PATCH);
    assert!(
        path.starts_with(ENTRY)
            && path.contains("fieldManager=hotbay-operator")
            && path.contains("force=true"),
        "{path}"
    );
    assert_eq!(body["metadata"]["uid"], seen.uid.as_str());
    assert_eq!(body["metadata"]["resourceVersion"], seen.version.to_string());
}

#[tokio::test]
async fn an_operator_that_is_late_neither_makes_again_what_is_gone_nor_undoes_what_is_newer() {
    let server = Server::start().await;
    let seen = server.created().await;
    assert!(matches!(server.write(Write::UpdateEntry(draft("/b"), seen.clone())).await, Written::Entry(_)));
    let late = server.write(Write::UpdateEntry(draft("/late"), seen.clone())).await;
    assert!(matches!(late, Written::Failed), "{late:?}");
    server.cluster.lock().unwrap().objects.clear();
    let late = server.write(Write::UpdateEntry(draft("/late"), seen)).await;
    assert!(matches!(late, Written::Failed), "{late:?}");
    assert!(!server.has(ENTRY), "the entry is gone and stays so");
}

#[tokio::test]
async fn a_status_goes_to_the_object_that_it_is_about_and_to_no_later_one() {
    let server = Server::start().await;
    let key = EntryKey::new("shop", "hello").unwrap();
    let status =
        |uid: &str| Write::ModuleStatus(key.clone(), uid.into(), Box::<HandlerModuleStatus>::default());
    server.put(MODULE, module("now"));
    assert!(matches!(server.write(status("now")).await, Written::Module(_)));
    let asked = server.asked();
    let [(method, path, body)] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(*method, Method::PATCH);
    assert!(
        path.starts_with(&format!("{MODULE}/status")) && path.contains("fieldManager=hotbay-operator-status"),
        "{path}"
    );
    assert_eq!(body["metadata"]["uid"], "now");
    assert!(body["spec"].is_null(), "the spec is its owner's");
    assert!(matches!(server.write(status("before")).await, Written::Failed));
    server.cluster.lock().unwrap().objects.clear();
    assert!(!matches!(server.write(status("now")).await, Written::Module(_)));
    assert!(!server.has(MODULE), "a status makes no module");
}

#[tokio::test]
async fn an_entry_goes_only_if_the_api_server_says_that_its_module_is_gone() {
    let server = Server::start().await;
    let seen = server.created().await;
    let remove = || Write::RemoveEntry(seen.clone());
    server.put(DEFINITION, definition("True"));
    server.put(MODULE, module("module-uid"));
    assert!(matches!(server.write(remove()).await, Written::EntryKept(_)), "the module is there");
    server.cluster.lock().unwrap().objects.remove(MODULE);
    server.put(DEFINITION, definition("False"));
    let unsure = server.write(remove()).await;
    assert!(matches!(unsure, Written::EntryKept(_)), "nobody can say: {unsure:?}");
    server.cluster.lock().unwrap().objects.remove(DEFINITION);
    assert!(matches!(server.write(remove()).await, Written::EntryKept(_)), "nobody can say at all");
    assert!(server.has(ENTRY));
    server.put(DEFINITION, definition("True"));
    assert!(matches!(server.write(remove()).await, Written::EntryGone(_)));
    assert!(!server.has(ENTRY));
}

#[tokio::test]
async fn an_entry_that_was_written_again_meanwhile_is_not_deleted() {
    let server = Server::start().await;
    let seen = server.created().await;
    server.put(DEFINITION, definition("True"));
    assert!(matches!(server.write(Write::UpdateEntry(draft("/b"), seen.clone())).await, Written::Entry(_)));
    assert!(matches!(server.write(Write::RemoveEntry(seen)).await, Written::Failed));
    assert!(server.has(ENTRY));
}
