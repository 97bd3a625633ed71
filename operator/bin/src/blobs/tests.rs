//! The service over a real connection, with a cluster and a registry that say what a test wants.

mod bounds;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use hotbay_api::names::{BLOBS_AUDIENCE, blob_path};
use hotbay_pipeline::{Artifact, Build, SourceError};
use k8s_openapi::api::authentication::v1::{TokenReviewStatus, UserInfo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::*;
use crate::metrics::Metrics;
use crate::objects::Origin;

/// A token is a namespace's: `pod-of-<namespace>`, or `person` of nobody.
struct Names;

impl Reviewer for Names {
    async fn review(&self, token: &str) -> Result<TokenReviewStatus, String> {
        let pod = token.strip_prefix("pod-of-");
        let bound = || ("authentication.kubernetes.io/pod-name".to_owned(), vec!["pod".to_owned()]);
        let user = UserInfo {
            username: pod
                .map(|namespace| format!("system:serviceaccount:{namespace}:account"))
                .or(Some("eve".into())),
            extra: Some(BTreeMap::from_iter(pod.map(|_| bound()))),
            ..UserInfo::default()
        };
        match token {
            "away" => Err("connection refused".to_owned()),
            "expired" => {
                Ok(TokenReviewStatus { error: Some("expired".into()), ..TokenReviewStatus::default() })
            }
            _ => Ok(TokenReviewStatus {
                audiences: Some(vec![BLOBS_AUDIENCE.into()]),
                authenticated: Some(true),
                error: None,
                user: Some(user),
            }),
        }
    }
}

/// In namespace `hotbay` an entry names every blob but that of `unnamed`.
struct OnePool;

impl Catalog for OnePool {
    async fn standing(&self, namespace: &str, digest: &Digest) -> Standing {
        match namespace {
            "new" => Standing::Unknown,
            "hotbay" if *digest == Digest::of(b"unnamed") => Standing::Unnamed,
            "hotbay" => named("reg/hello:1", 1 << 30),
            "elsewhere" => named(AWAY, 1 << 30),
            "small" => named("reg/hello:1", 3),
            _ => Standing::NoPool,
        }
    }
}

fn named(reference: &str, max_build_bytes: u64) -> Standing {
    let artifact = Digest::of(b"manifest");
    let origin = Origin { reference: reference.into(), artifact, compressed_bytes: None };
    Standing::Named { origins: vec![origin], max_build_bytes }
}

/// What no registry has.
const AWAY: &str = "reg/away:1";

/// A registry that holds one build, if any; counts its fetches, and answers when it is told to.
#[derive(Default)]
struct Held {
    content: Option<Bytes>,
    fetches: AtomicUsize,
    go: Notify,
}

impl Source for Held {
    async fn resolve(&self, reference: &str) -> Result<Digest, SourceError> {
        Err(SourceError::NotFound { reference: reference.to_owned() })
    }

    async fn fetch(&self, reference: &str, digest: &Digest, limit: u64) -> Result<Artifact, SourceError> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        self.go.notified().await;
        let reference_text = || reference.to_owned();
        let content = self.content.clone().filter(|_| reference != AWAY);
        let content = content.ok_or_else(|| SourceError::NotFound { reference: reference_text() })?;
        if content.len() as u64 > limit {
            let what = "the layer".to_owned();
            return Err(SourceError::TooLarge { reference: reference_text(), what, limit });
        }
        let build = Build { platform: None, digest: Digest::of(&content), bytes: content };
        Ok(Artifact { reference: reference.to_owned(), digest: *digest, builds: vec![build] })
    }
}

struct Service {
    address: SocketAddr,
    source: Arc<Held>,
    cache: Arc<Cache>,
    transfers: Arc<Semaphore>,
    metrics: Metrics,
    _folder: tempfile::TempDir,
}

impl Service {
    async fn start(content: Option<Bytes>) -> Self {
        let (service, blobs, listener) = Self::mk(content).await;
        tokio::spawn(blobs.serve(listener));
        service
    }

    /// One that attends to nobody yet.
    async fn mk(content: Option<Bytes>) -> (Self, Blobs<OnePool, Names, Held>, TcpListener) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Arc::new(Cache::open(folder.path().to_owned(), 64 << 20).unwrap());
        let source = Arc::new(Held { content, ..Held::default() });
        let (transfers, metrics) = (Transfers::default(), Metrics::new());
        let counted = metrics.blob_service.clone();
        let blobs = Blobs {
            catalog: OnePool,
            tokens: Tokens::new(Names),
            cache: cache.clone(),
            refills: Refills::new(source.clone(), cache.clone(), counted.clone()),
            transfers: transfers.clone(),
            metrics: counted,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (
            Self { address, source, cache, transfers: transfers.all(), metrics, _folder: folder },
            blobs,
            listener,
        )
    }

    /// Head and body of an answer.
    async fn ask(&self, method: &str, path: &str, token: Option<&str>) -> (String, Vec<u8>) {
        let stream = TcpStream::connect(self.address).await.unwrap();
        Self::ask_over(stream, method, path, token).await
    }

    async fn ask_over(
        mut stream: TcpStream,
        method: &str,
        path: &str,
        token: Option<&str>,
    ) -> (String, Vec<u8>) {
        stream.write_all(request(method, path, token).as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("the answer has a head");
        (String::from_utf8_lossy(&bytes[..end]).into_owned(), bytes.split_off(end + 4))
    }

    async fn get(&self, content: &[u8], token: &str) -> (String, Vec<u8>) {
        self.ask("GET", &blob_path(&Digest::of(content)), Some(token)).await
    }
}

fn request(method: &str, path: &str, token: Option<&str>) -> String {
    let authorization = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    format!("{method} {path} HTTP/1.1\r\nhost: x\r\n{authorization}connection: close\r\n\r\n")
}

/// Some MiB that are not all alike.
fn large() -> Bytes {
    let pieces = (0..100_000_u32).flat_map(|number| Digest::of(&number.to_le_bytes()).hex().into_bytes());
    pieces.collect::<Vec<u8>>().into()
}

#[tokio::test]
async fn a_pod_gets_what_an_entry_of_its_namespace_names_and_the_registry_is_asked_once() {
    let content = large();
    let service = Service::start(Some(content.clone())).await;
    // The registry answers when all of them wait for it.
    let answers = async {
        while !service.metrics.text().contains(r#"cache_looks_total{outcome="miss"} 8"#) {
            tokio::task::yield_now().await;
        }
        service.source.go.notify_one();
    };
    let all = futures::future::join_all((0..8).map(|_| service.get(&content, "pod-of-hotbay")));
    let both = async { tokio::join!(all, answers) };
    let (all, ()) = tokio::time::timeout(Duration::from_secs(60), both).await.expect("all are answered");
    for (head, body) in all {
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        assert!(head.contains(&format!("content-length: {}", content.len())), "{head}");
        assert!(body == content, "{} bytes", body.len());
    }
    let (head, body) = service.ask("HEAD", &blob_path(&Digest::of(&content)), Some("pod-of-hotbay")).await;
    assert!(head.contains(&format!("content-length: {}", content.len())) && body.is_empty(), "{head}");
    assert_eq!(service.source.fetches.load(Ordering::SeqCst), 1);
    let sent = 8 * content.len();
    let counted = [
        r#"requests_total{code="200"} 9"#,
        &format!("sent_bytes_total {sent}"),
        r#"cache_looks_total{outcome="hit"} 1"#,
        r#"cache_looks_total{outcome="miss"} 8"#,
        r#"refill_duration_seconds_count{outcome="fetched"} 1"#,
    ];
    let text = service.metrics.text();
    for line in counted {
        assert!(text.contains(&format!("\nhotbay_operator_blob_{line}\n")), "{line} in {text}");
    }
}

#[tokio::test]
async fn what_is_in_the_cache_needs_no_registry() {
    let service = Service::start(None).await;
    service.cache.put_blob(&Digest::of(b"blob"), b"blob").unwrap();
    assert_eq!(service.get(b"blob", "pod-of-hotbay").await.1, b"blob");
    assert_eq!(service.source.fetches.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn whoever_may_not_have_a_blob_is_told_why() {
    let service = Service::start(None).await;
    for blob in [&b"blob"[..], b"unnamed"] {
        service.cache.put_blob(&Digest::of(blob), blob).unwrap();
    }
    let path = blob_path(&Digest::of(b"blob"));
    let unnamed = blob_path(&Digest::of(b"unnamed"));
    let pod = Some("pod-of-hotbay");
    let cases = [
        ("GET", &*path, None, "401 Unauthorized", "send a pod's token for the audience hotbay-blobs"),
        (
            "GET",
            &path,
            Some("expired"),
            "401 Unauthorized",
            "not valid for the audience hotbay-blobs: expired",
        ),
        ("GET", &path, Some("person"), "403 Forbidden", "eve is not the account of a pod"),
        ("GET", &path, Some("pod-of-shop"), "403 Forbidden", "namespace shop has no RuntimePool"),
        ("GET", &unnamed, pod, "404 Not Found", "no module of the pools in namespace hotbay names sha256:"),
        (
            "GET",
            &path,
            Some("away"),
            "503 Service Unavailable",
            "cannot be asked about the token: connection refused",
        ),
        ("GET", &path, Some("pod-of-new"), "503 Service Unavailable", "has not seen every object yet"),
        ("PUT", &path, pod, "405 Method Not Allowed", "GET or HEAD"),
        ("GET", "/", pod, "404 Not Found", "GET /blobs/sha256-"),
        ("GET", "/blobs/../blobs/x", pod, "404 Not Found", "GET /blobs/sha256-"),
    ];
    for (method, path, token, status, words) in cases {
        let (head, body) = service.ask(method, path, token).await;
        let body = String::from_utf8(body).unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{method} {path} {token:?}: {head}");
        assert!(body.contains(words) && body.lines().count() == 1, "{body}");
        assert_eq!(head.contains("retry-after: "), status.starts_with("503"), "{head}");
        assert_eq!(head.contains("www-authenticate: Bearer"), status.starts_with("401"), "{head}");
    }
}

#[tokio::test]
async fn a_registry_that_lacks_it_is_told_and_not_asked_again_at_once() {
    let service = Service::start(None).await;
    service.source.go.notify_one();
    for _ in 0..3 {
        let (head, body) = service.get(b"blob", "pod-of-hotbay").await;
        assert!(head.starts_with("HTTP/1.1 502 Bad Gateway") && head.contains("retry-after: 5"), "{head}");
        let body = String::from_utf8(body).unwrap();
        assert!(body.contains("cannot be fetched from its registry: reg/hello:1 does not exist"), "{body}");
    }
    assert_eq!(service.source.fetches.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_registry_that_holds_other_bytes_is_told() {
    let service = Service::start(Some(Bytes::from_static(b"other"))).await;
    service.source.go.notify_one();
    let (head, body) = service.get(b"blob", "pod-of-hotbay").await;
    assert!(head.starts_with("HTTP/1.1 502 Bad Gateway"), "{head}");
    assert!(String::from_utf8(body).unwrap().contains("holds no such build"));
}

#[tokio::test]
async fn what_one_namespace_cannot_have_fetched_another_can() {
    let service = Service::start(Some(Bytes::from_static(b"blob"))).await;
    for (pod, words) in [("pod-of-elsewhere", "reg/away:1 does not exist"), ("pod-of-small", "reg/hello:1")] {
        service.source.go.notify_one();
        let (head, body) = service.get(b"blob", pod).await;
        let body = String::from_utf8(body).unwrap();
        assert!(head.starts_with("HTTP/1.1 502") && body.contains(words), "{head} {body}");
    }
    service.source.go.notify_one();
    let (head, body) = service.get(b"blob", "pod-of-hotbay").await;
    assert!(head.starts_with("HTTP/1.1 200 OK") && body == b"blob", "{head}");
    let text = service.metrics.text();
    assert!(text.contains(r#"refill_duration_seconds_count{outcome="failed"} 2"#), "{text}");
}
