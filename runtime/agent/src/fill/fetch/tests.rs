//! One scene each: what the API server has of a blob, what the blob service has, and what is in the bay then.

use std::collections::BTreeMap;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::super::BlobService;
use super::*;

const BLOB: &[u8] = b"the bytes of a build";

/// API server and blob service in one: paths, and what they are answered with. Any other is not found.
struct Case {
    answers: BTreeMap<String, Vec<u8>>,
    folder: tempfile::TempDir,
}

impl Case {
    fn new() -> Self {
        Self { answers: BTreeMap::new(), folder: tempfile::tempdir().unwrap() }
    }

    /// The blob's ConfigMap exists, with this content.
    fn with_config_map(mut self, binary_data: serde_json::Value) -> Self {
        let name = names::blob_config_map(&Digest::of(BLOB));
        let config_map = serde_json::json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "binaryData": binary_data,
        });
        let path = format!("/api/v1/namespaces/hotbay/configmaps/{name}");
        self.answers.insert(path, config_map.to_string().into_bytes());
        self
    }

    /// The blob service has the blob.
    fn with_service(mut self) -> Self {
        self.answers.insert(names::blob_path(&Digest::of(BLOB)), BLOB.to_vec());
        self
    }

    fn writer(&self) -> Writer {
        Writer::new(self.folder.path().join("bay")).unwrap()
    }

    /// Fetches the blob: what came of it, and which paths were asked for.
    async fn fetch(&self, writer: &Writer) -> (Result<(), Trouble>, Vec<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let client = kube::Client::try_from(kube::Config::new(url.parse().unwrap())).unwrap();
        let api = Api::namespaced(client, "hotbay");
        let token = self.folder.path().join("token");
        std::fs::write(&token, "token").unwrap();
        let service = BlobService { url: url.parse().unwrap(), token };
        let (digest, size) = (Digest::of(BLOB), BLOB.len() as u64);
        let mut fetched = Box::pin(fetch(&api, Some(&service), writer.clone(), digest, size));
        let (mut asked, mut connections) = (Vec::new(), JoinSet::new());
        let result = loop {
            tokio::select! {
                result = &mut fetched => break result,
                accepted = listener.accept() => {
                    connections.spawn(answer(accepted.unwrap().0, self.answers.clone()));
                }
                Some(path) = connections.join_next() => asked.push(path.unwrap()),
            }
        };
        // Each ends when its answer is sent.
        asked.extend(connections.join_all().await);
        assert_eq!(writer.holds_blob(&digest, size), result.is_ok(), "in the bay if it is told so");
        (result, asked)
    }
}

/// Answers one request; its path.
async fn answer(mut stream: TcpStream, answers: BTreeMap<String, Vec<u8>>) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap().split('?').next().unwrap().to_owned();
    let missing =
        br#"{"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404, "message": ""}"#;
    let (status, body) = match answers.get(&path) {
        Some(body) => ("200 OK", body.as_slice()),
        None => ("404 Not Found", missing.as_slice()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
    path
}

fn asks_the_service(asked: &[String]) -> bool {
    asked.contains(&names::blob_path(&Digest::of(BLOB)))
}

#[tokio::test]
async fn a_config_map_without_the_blob_is_as_good_as_none_and_the_service_is_asked() {
    for binary_data in [serde_json::json!(null), serde_json::json!({}), serde_json::json!({"other": "AAAA"})]
    {
        let case = Case::new().with_config_map(binary_data.clone()).with_service();
        let (result, asked) = case.fetch(&case.writer()).await;
        assert_eq!(result, Ok(()), "{binary_data}");
        assert!(asks_the_service(&asked), "{binary_data}: {asked:?}");
    }
}

#[tokio::test]
async fn a_config_map_with_other_bytes_is_not_believed_and_the_service_is_asked() {
    let case = Case::new().with_config_map(serde_json::json!({CONFIG_MAP_BLOB_KEY: "AAAA"})).with_service();
    let (result, asked) = case.fetch(&case.writer()).await;
    assert_eq!(result, Ok(()));
    assert!(asks_the_service(&asked), "{asked:?}");
}

#[tokio::test]
async fn a_blob_that_does_not_fit_is_not_asked_for_and_is_fetched_when_it_does() {
    let case = Case::new().with_service();
    let writer = case.writer().with_size(Some(100_000));
    let old = vec![7; 86_000];
    writer.put_blob(&Digest::of(&old), &old).unwrap();
    let (result, asked) = case.fetch(&writer).await;
    let trouble = result.unwrap_err();
    assert_eq!(trouble.reason, Reason::NoSpace);
    assert!(trouble.message.ends_with("raise volumes.bay, or remove modules"), "{}", trouble.message);
    assert!(!asks_the_service(&asked), "{asked:?}");
    assert!(writer.holds_blob(&Digest::of(&old), 86_000), "what was there stays");
    writer.remove_blob(&Digest::of(&old)).unwrap();
    let (result, asked) = case.fetch(&writer).await;
    assert_eq!(result, Ok(()));
    assert!(asks_the_service(&asked), "{asked:?}");
}
