//! Streams that break off: no client may take what it has for all of it, and no module may go on for a client that is gone.

use std::future::pending;

use hotbay_e2e::http::{Protocol, request, whole};
use hotbay_e2e::wait::in_time;
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{BOTH, get, next, open, piece, start, text, told};
use crate::workshop::Workshop;

#[tokio::test]
async fn whoever_fails_in_the_middle_is_cut() {
    let shop = Workshop::new();
    let laptop = start(&shop).await;
    let cases = [
        ("panic", "it panicked: it was told to"),
        ("abort", "aborted"),
        ("ready", "it said that it was done"),
        ("short", "another length"),
        ("long", "another length"),
    ];
    for protocol in BOTH {
        for (how, words) in cases {
            let mut connection = open(&laptop, protocol).await;
            let mut answer = connection.begin(get(protocol, &format!("/break/{how}"))).await.unwrap();
            assert_eq!((answer.status().as_u16(), text(&mut answer).await.as_str()), (200, "one"), "{how}");
            next(&laptop).await;
            let end = piece(&mut answer).await;
            assert!(matches!(end, Some(Err(_))), "{protocol:?} {how}: {end:?}");
            laptop.says(&["an answer was cut", "request_id=\"", words]).await;
            if protocol == Protocol::H2c {
                // Only the stream is: the connection goes on.
                assert_eq!(connection.send(get(protocol, "/told")).await.unwrap().status, 200);
            }
            told(&laptop, "alive 0").await;
        }
    }
    told(&laptop, "final -1").await;
}

/// HTTP/1.0 knows no other end of a stream than the connection's: a cut has to be an error.
#[tokio::test]
async fn a_cut_is_no_end_for_http_1_0() {
    let shop = Workshop::new();
    let laptop = start(&shop).await;
    let read = async |path: &str, how: &str| {
        let mut client = TcpStream::connect(laptop.address).await.unwrap();
        client.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(how.as_bytes()) {
            assert_ne!(client.read_buf(&mut answer).await.unwrap(), 0, "it ended too early");
        }
        (client, answer)
    };
    let (mut client, _) = read("/break/panic", "one").await;
    next(&laptop).await;
    let end = in_time("the end", client.read(&mut [0])).await;
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    let (mut client, _) = read("/sum", "one").await;
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0, "a whole one ends cleanly");
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_call_and_a_late_answer_reaches_nobody() {
    let shop = Workshop::new();
    let laptop = start(&shop).await;
    for protocol in BOTH {
        for path in ["/late", "/events"] {
            let mut connection = open(&laptop, protocol).await;
            let asked = tokio::spawn(async move {
                let _answer = connection.begin(get(protocol, path)).await;
                pending::<()>().await;
            });
            told(&laptop, "alive 1").await;
            asked.abort();
            told(&laptop, "alive 0 why 1").await;
            next(&laptop).await;
            told(&laptop, "late -2").await;
        }
    }
    assert_eq!(laptop.get("/told").await.status, 200, "the engine is well");
    assert_eq!(laptop.report().engine, 1);
}

#[tokio::test]
async fn an_answer_may_come_while_its_request_does() {
    let shop = Workshop::new();
    let laptop = start(&shop).await;
    let mut client = TcpStream::connect(laptop.address).await.unwrap();
    let head = "POST /next HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\nonly this";
    client.write_all(head.as_bytes()).await.unwrap();
    let mut status = [0; "HTTP/1.1 200".len()];
    client.read_exact(&mut status).await.unwrap();
    assert_eq!(str::from_utf8(&status).unwrap(), "HTTP/1.1 200");
    let asked =
        request(Protocol::H2c, Method::POST, "localhost", "/next", super::sent(64, vec![7; 1 << 20].into()));
    assert_eq!(open(&laptop, Protocol::H2c).await.begin(asked).await.unwrap().status(), 200);
    let asked = request(Protocol::H2c, Method::POST, "localhost", "/next", whole(""));
    assert_eq!(open(&laptop, Protocol::H2c).await.send(asked).await.unwrap().status, 200);
}
