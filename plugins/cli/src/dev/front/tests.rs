//! Bytes on both sides of the front.

use std::time::Duration;

use hotbay_api::{Digest, EntryKey, EntryReport, EntryState, LocalReport, Serving};
use tokio::io::AsyncReadExt as _;

use super::*;
use crate::run::Served;

/// Of whatever is waited for.
const DEADLINE: Duration = Duration::from_secs(60);

/// A client's connection through a front, and where its engine listens. The project is as good as can be.
async fn client() -> (TcpStream, TcpListener, watch::Sender<Standing>) {
    let bind = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (front, engine) = (bind(), bind());
    let (address, behind) = (front.local_addr().unwrap(), engine.local_addr().unwrap());
    for listener in [&front, &engine] {
        listener.set_nonblocking(true).unwrap();
    }
    let (standing, shown) = watch::channel(good());
    tokio::spawn(accept(front, behind, shown));
    let client = TcpStream::connect(address).await.unwrap();
    (client, TcpListener::from_std(engine).unwrap(), standing)
}

/// A project whose newest build serves.
fn good() -> Standing {
    let (key, digest) = (EntryKey::new("default", "m").unwrap(), Digest::of(b"1"));
    let entry = EntryReport {
        key: key.clone(),
        sequence: None,
        state: EntryState::Active,
        wanted: "1".into(),
        serving: Some(Serving { revision: "1".into(), digest, fingerprint: String::new() }),
        failure: None,
        notice: None,
    };
    let mut standing = Standing::default();
    standing.built(digest);
    standing.told(
        &LocalReport { entries: vec![entry], ..LocalReport::default() },
        &[Served::As { key, refused: None }],
    );
    standing
}

/// Reads until `end` has come; all that has.
async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = Vec::new();
    let read = async {
        while !text.ends_with(end.as_bytes()) {
            let count = stream.read_buf(&mut text).await.unwrap();
            assert_ne!(count, 0, "it ended after {:?}", String::from_utf8_lossy(&text));
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, read).await.is_ok();
    let text = String::from_utf8(text).unwrap();
    assert!(in_time, "no {end:?} came, but {text:?}");
    text
}

async fn accepted(engine: &TcpListener) -> TcpStream {
    tokio::time::timeout(DEADLINE, engine.accept()).await.unwrap().unwrap().0
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_request_along() {
    let (mut client, engine, _standing) = client().await;
    client.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut engine = accepted(&engine).await;
    until(&mut engine, "\r\n\r\n").await;
    drop(client);
    let left = tokio::time::timeout(DEADLINE, engine.read(&mut [0; 16])).await;
    assert!(matches!(left, Ok(Ok(0) | Err(_))), "the engine has to see it: {left:?}");
}

#[tokio::test]
async fn an_answer_has_as_many_headers_as_a_module_may_give() {
    let (mut client, engine, _standing) = client().await;
    client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut engine = accepted(&engine).await;
    until(&mut engine, "\r\n\r\n").await;
    let headers: String = (0..256).map(|n| format!("x-{n}: {n}\r\n")).collect();
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n{headers}\r\nok");
    engine.write_all(answer.as_bytes()).await.unwrap();
    let answer = until(&mut client, "\r\n\r\nok").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\r\nx-255: 255\r\n"), "{answer}");
}

#[tokio::test]
async fn what_is_sent_at_once_stays_two_requests_and_lengths_that_disagree_are_none() {
    let (mut client, engine, _standing) = client().await;
    let both = "POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n\
                5\r\nhello\r\n0\r\n\r\nGET /b HTTP/1.1\r\nhost: a\r\n\r\n";
    client.write_all(both.as_bytes()).await.unwrap();
    let mut engine = accepted(&engine).await;
    let first = until(&mut engine, "0\r\n\r\n").await;
    assert!(first.starts_with("POST /a ") && !first.contains("content-length"), "{first}");
    engine.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n1").await.unwrap();
    until(&mut client, "\r\n\r\n1").await;
    // hyper ends a connection on which both lengths were given: the second request may not come.
    let mut rest = [0; 512];
    let next = tokio::time::timeout(DEADLINE, engine.read(&mut rest)).await.unwrap().unwrap();
    assert!(next == 0 || rest.starts_with(b"GET /b "), "{:?}", String::from_utf8_lossy(&rest[..next]));
}

#[tokio::test]
async fn an_upgrade_carries_early_bytes_and_each_side_ends_for_itself() {
    let (mut client, engine, _standing) = client().await;
    let asked = b"GET /ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nearly";
    client.write_all(asked).await.unwrap();
    let mut engine = accepted(&engine).await;
    let head = until(&mut engine, "\r\n\r\n").await;
    assert!(head.contains("upgrade: echo\r\n"), "{head}");
    let agreed = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nhello";
    engine.write_all(agreed).await.unwrap();
    until(&mut client, "\r\n\r\nhello").await;
    assert_eq!(until(&mut engine, "early").await, "early");
    client.shutdown().await.unwrap();
    let end = tokio::time::timeout(DEADLINE, engine.read(&mut [0; 16])).await.unwrap();
    assert_eq!(end.unwrap(), 0, "the client has said all");
    engine.write_all(b"bye").await.unwrap();
    assert_eq!(until(&mut client, "bye").await, "bye");
}

#[tokio::test]
async fn only_the_engine_asks_for_a_body_that_waits_for_it() {
    const HEAD: &[u8] = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n";
    let (mut client, engine, _standing) = client().await;
    client.write_all(HEAD).await.unwrap();
    let mut engine = accepted(&engine).await;
    let head = until(&mut engine, "\r\n\r\n").await;
    assert!(head.contains("expect: 100-continue\r\n"), "{head}");
    engine.write_all(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
    assert_eq!(until(&mut client, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(b"hello").await.unwrap();
    until(&mut engine, "hello").await;
    engine.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
    until(&mut client, "\r\n\r\nok").await;
}

#[tokio::test]
async fn a_refusal_is_all_that_who_waits_with_a_body_hears() {
    let (mut client, engine, _standing) = client().await;
    let head = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n";
    client.write_all(head).await.unwrap();
    let mut engine = accepted(&engine).await;
    until(&mut engine, "\r\n\r\n").await;
    engine
        .write_all(b"HTTP/1.1 413 Payload Too Large\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno")
        .await
        .unwrap();
    drop(engine);
    let heard = until(&mut client, "\r\n\r\nno").await;
    assert!(heard.starts_with("HTTP/1.1 413 "), "{heard}");
}

#[tokio::test]
async fn a_refusal_that_comes_in_pieces_comes_whole() {
    let (mut client, engine, _standing) = client().await;
    let head = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n";
    client.write_all(head).await.unwrap();
    let mut engine = accepted(&engine).await;
    until(&mut engine, "\r\n\r\n").await;
    // The engine's connection stays open: the body that was not asked for is waited for all the time.
    engine.write_all(b"HTTP/1.1 413 Payload Too Large\r\ncontent-length: 6\r\n\r\ntoo").await.unwrap();
    let heard = until(&mut client, "\r\n\r\ntoo").await;
    assert!(heard.starts_with("HTTP/1.1 413 "), "{heard}");
    engine.write_all(b"big").await.unwrap();
    assert_eq!(until(&mut client, "big").await, "big");
}
