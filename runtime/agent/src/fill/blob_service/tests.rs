//! One scene each: what the service sends, and what is in the bay and in the report then.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

struct Case {
    service: BlobService,
    listener: TcpListener,
    folder: tempfile::TempDir,
}

impl Case {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, "first\n").unwrap();
        Self { service: BlobService { url, token }, listener, folder }
    }

    fn writer(&self) -> Writer {
        Writer::new(self.folder.path().join("bay")).unwrap()
    }

    /// The connection that the agent opens, once it has asked, and what it asked.
    async fn asked(&self) -> (TcpStream, String) {
        let (mut stream, _) = self.listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        (stream, String::from_utf8(head).unwrap())
    }

    /// Fetches the blob of `content` from a service that sends `answer` and closes; what was asked, and what came of it.
    async fn fetch(&self, content: &[u8], answer: &[u8]) -> (String, Result<(), Trouble>) {
        let (digest, size) = (Digest::of(content), content.len() as u64);
        let writer = self.writer();
        let serve = async {
            let (mut stream, head) = self.asked().await;
            // The agent may hang up first.
            drop(stream.write_all(answer).await);
            drop(stream.shutdown().await);
            head
        };
        let (head, result) = tokio::join!(serve, self.service.fetch(&writer, &digest, size));
        assert_eq!(writer.holds_blob(&digest, size), result.is_ok(), "in the bay if it is told so");
        let files = std::fs::read_dir(writer.path()).unwrap().count();
        assert_eq!(files, usize::from(result.is_ok()), "nothing is left of what failed");
        (head, result)
    }

    /// The reason and words of a fetch that fails.
    async fn fails(&self, content: &[u8], answer: &[u8]) -> (Reason, String) {
        let trouble = self.fetch(content, answer).await.1.unwrap_err();
        let start = format!("blob {}: the blob service {}: ", Digest::of(content), self.service.url);
        let words = trouble.message.strip_prefix(&start).unwrap_or_else(|| panic!("{}", trouble.message));
        (trouble.reason, words.to_owned())
    }
}

fn whole(content: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", content.len());
    [head.as_bytes(), content].concat()
}

fn refusal(status: &str, words: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{words}", words.len()).into_bytes()
}

#[tokio::test]
async fn a_blob_of_some_size_arrives_and_each_time_the_token_is_read_anew() {
    let case = Case::new().await;
    let content: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let (head, result) = case.fetch(&content, &whole(&content)).await;
    assert_eq!(result, Ok(()));
    let path = names::blob_path(&Digest::of(&content));
    assert!(head.starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{head}");
    assert!(head.contains("\r\nauthorization: Bearer first\r\n"), "{head}");
    std::fs::write(&case.service.token, "second").unwrap();
    case.writer().remove_blob(&Digest::of(&content)).unwrap();
    let (head, _) = case.fetch(b"blob", &whole(b"blob")).await;
    assert!(head.contains("\r\nauthorization: Bearer second\r\n"), "{head}");
}

#[tokio::test]
async fn other_bytes_do_not_enter_the_bay() {
    let case = Case::new().await;
    let (reason, words) = case.fails(b"blob", &whole(b"glob")).await;
    assert_eq!(reason, Reason::DigestMismatch);
    assert!(words.starts_with("what it sent cannot be kept: the bytes to be written as"), "{words}");
    let (reason, words) = case.fails(b"blob", &whole(b"blobs")).await;
    assert_eq!(
        (reason, &*words),
        (Reason::DigestMismatch, "it has 5 bytes for it where the entry promises 4")
    );
    let endless = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n8\r\nblobblob\r\n0\r\n\r\n";
    let (reason, words) = case.fails(b"blob", endless).await;
    assert_eq!(reason, Reason::DigestMismatch);
    assert!(words.contains("has more than the 4 bytes that the entry promises"), "{words}");
}

#[tokio::test]
async fn a_transfer_that_breaks_off_is_incomplete() {
    let case = Case::new().await;
    let (reason, words) = case.fails(b"blob", &whole(b"blob")[..40]).await;
    assert_eq!(reason, Reason::Incomplete);
    assert!(words.starts_with("the connection broke off: "), "{words}");
    let (reason, words) = case.fails(b"blob", b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nblo").await;
    assert_eq!(reason, Reason::Incomplete);
    assert!(words.contains("ended after 3 of 4 bytes"), "{words}");
}

#[tokio::test]
async fn a_refusal_is_told_in_the_services_words() {
    let case = Case::new().await;
    let no = refusal("403 Forbidden", "namespace shop has no RuntimePool\nand more\n");
    let words = "it answered 403 Forbidden: namespace shop has no RuntimePool".to_owned();
    assert_eq!(case.fails(b"blob", &no).await, (Reason::Incomplete, words));
    let (_, words) = case.fails(b"blob", &refusal("503 Service Unavailable", "being fetched")).await;
    assert_eq!(words, "it answered 503 Service Unavailable: being fetched");
    let (_, words) = case.fails(b"blob", &refusal("502 Bad Gateway", &"x".repeat(100_000))).await;
    assert!(words.starts_with("it answered 502 Bad Gateway") && words.len() < 500, "{} bytes", words.len());
}

#[tokio::test]
async fn a_service_that_is_away_and_a_token_that_is_missing_are_told() {
    let case = Case::new().await;
    let (writer, digest) = (case.writer(), Digest::of(b"blob"));
    let mut service = case.service.clone();
    // Nothing listens on the discard port.
    service.url = "http://127.0.0.1:9".parse().unwrap();
    let trouble = service.fetch(&writer, &digest, 4).await.unwrap_err();
    assert_eq!(trouble.reason, Reason::Incomplete);
    assert!(
        trouble.message.contains("http://127.0.0.1:9: cannot reach it: Connection refused"),
        "{trouble:?}"
    );
    service.token = "/nowhere/token".into();
    let trouble = service.fetch(&writer, &digest, 4).await.unwrap_err();
    assert!(trouble.message.contains("the token /nowhere/token cannot be read: No such file"), "{trouble:?}");
}

#[tokio::test]
async fn a_service_that_says_nothing_is_not_waited_for() {
    let case = Case::new().await;
    let (writer, digest) = (case.writer(), Digest::of(b"blob"));
    let silent = async {
        let (mut stream, _) = case.listener.accept().await.unwrap();
        stream.read_u8().await.unwrap();
        // Now that it was asked: a clock that stands still would jump over a connection that takes its time.
        tokio::time::pause();
        stream
    };
    let (_open, result) = tokio::join!(silent, case.service.fetch(&writer, &digest, 4));
    let trouble = result.unwrap_err();
    assert!(trouble.message.ends_with("it did not answer within 30 s"), "{trouble:?}");
}

#[test]
fn room_is_counted_where_nobody_waits_and_what_is_missing_is_told_without_the_service() {
    // While its one thread for what blocks is taken, a fetch cannot end but by having blocked all others.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build();
    runtime.unwrap().block_on(async {
        let case = Case::new().await;
        let (writer, digest) = (case.writer().with_size(Some(1_000_000)), Digest::of(b"blob"));
        let full = writer.check_room(&digest, 1_000_000).unwrap_err().to_string();
        let mut fetching = std::pin::pin!(case.service.fetch(&writer, &digest, 1_000_000));
        let (mut stream, _) = tokio::select! {
            asked = case.asked() => asked,
            ended = &mut fetching => panic!("nothing was asked: {ended:?}"),
        };
        let (release, held) = std::sync::mpsc::channel::<()>();
        let taken = tokio::task::spawn_blocking(move || held.recv());
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").await.unwrap();
        // As often as others could have had their turn meanwhile.
        for _ in 0..10_000 {
            tokio::select! {
                biased;
                ended = &mut fetching => panic!("the room was counted in the midst of others' work: {ended:?}"),
                () = tokio::task::yield_now() => {}
            }
        }
        release.send(()).unwrap();
        taken.await.unwrap().unwrap();
        let trouble = fetching.await.unwrap_err();
        assert_eq!((trouble.reason, &trouble.message), (Reason::NoSpace, &full));
        assert!(full.ends_with("raise volumes.bay, or remove modules") && full.len() <= 256, "{full}");
    });
}

#[test]
fn only_a_plain_host_and_port_is_a_service() {
    assert_eq!("http://a.b.svc:8082".parse::<BlobsUrl>().unwrap().to_string(), "http://a.b.svc:8082");
    for text in ["", "a:1", "https://a:1", "http://a", "http://a:1/blobs", "http://a:1/?x"] {
        assert!(text.parse::<BlobsUrl>().is_err(), "{text:?} must be refused");
    }
}
