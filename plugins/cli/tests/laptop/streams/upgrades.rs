//! Connections that leave HTTP.

use std::time::Duration;

use hotbay_e2e::http::{Protocol, request, whole};
use hotbay_e2e::laptop::{Laptop, Role};
use hotbay_e2e::wait::in_time;
use http::{HeaderValue, Method};
use hyper::ext::Protocol as Extended;
use hyper_util::rt::TokioIo;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{get, open, start, told};
use crate::workshop::Workshop;

const OFFER: &str = "HTTP/1.1\r\nhost: localhost\r\nconnection: keep-alive, Upgrade\r\nupgrade: Talk\r\n\r\n";

/// A connection to `/talk` on which `early` was said before the answer came, and the answer's head.
async fn upgraded(laptop: &Laptop, early: &str) -> (TcpStream, String) {
    upgraded_to(laptop, "/talk", early).await
}

async fn upgraded_to(laptop: &Laptop, path: &str, early: &str) -> (TcpStream, String) {
    let mut client = TcpStream::connect(laptop.address).await.unwrap();
    client.write_all(format!("GET {path} {OFFER}{early}").as_bytes()).await.unwrap();
    let head = head(&mut client).await;
    (client, head)
}

/// An answer's head.
async fn head(client: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(in_time("the head", client.read_u8()).await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn hears(client: &mut (impl AsyncReadExt + Unpin), words: &str) {
    let mut heard = vec![0; words.len()];
    in_time("the bytes", client.read_exact(&mut heard)).await.unwrap();
    assert_eq!(str::from_utf8(&heard).unwrap(), words);
}

#[tokio::test]
async fn http_1_becomes_another_protocol_with_early_bytes_and_half_closes() {
    let shop = Workshop::new();
    let laptop = start(&shop).await;
    let (mut client, head) = upgraded(&laptop, "early").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    for line in ["connection: upgrade\r\n", "upgrade: talk\r\n", "x-hello: there\r\n"] {
        assert!(head.contains(line), "{head}");
    }
    hears(&mut client, "early").await;
    let large = "0123456789abcdef".repeat(64 * 1024);
    let (mut reader, mut writer) = client.split();
    tokio::join!(async { writer.write_all(large.as_bytes()).await.unwrap() }, hears(&mut reader, &large));
    told(&laptop, "alive 1").await;
    // Our side ends; the module has the last word.
    writer.shutdown().await.unwrap();
    let mut rest = String::new();
    reader.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "bye");
    told(&laptop, "alive 0 why 0").await;
}

#[tokio::test]
async fn who_ends_its_side_first_hears_the_other_one_whatever_came_on_the_connection_before() {
    let shop = Workshop::new();
    let laptop = start(&shop).await;
    let mut client = TcpStream::connect(laptop.address).await.unwrap();
    let body = "POST /up HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n\r\nbody";
    client.write_all(body.as_bytes()).await.unwrap();
    let answered = head(&mut client).await;
    assert!(answered.starts_with("HTTP/1.1 200 "), "{answered}");
    hears(&mut client, "4").await;
    client.write_all(format!("GET /hear {OFFER}").as_bytes()).await.unwrap();
    let upgraded = head(&mut client).await;
    assert!(upgraded.starts_with("HTTP/1.1 101 "), "{upgraded}");
    assert_eq!(in_time("the module's end", client.read(&mut [0])).await.unwrap(), 0);
    for heard in [3, 6] {
        client.write_all(b"one").await.unwrap();
        told(&laptop, &format!("heard {heard}")).await;
    }
    client.shutdown().await.unwrap();
    told(&laptop, "alive 0 why 0").await;
}

#[tokio::test]
async fn http_2_does_on_one_of_its_streams() {
    let shop = Workshop::new();
    let laptop = start(&shop).await;
    let mut connection = open(&laptop, Protocol::H2c).await;
    // The server's settings come with the first answer, and say that it may be asked.
    connection.send(get(Protocol::H2c, "/told")).await.unwrap();
    let mut asked = request(Protocol::H2c, Method::CONNECT, "localhost", "/talk", whole(""));
    asked.extensions_mut().insert(Extended::from_static("talk"));
    let mut answer = connection.begin(asked).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["x-hello"].as_bytes()), (200, &b"there"[..]));
    let mut client = TokioIo::new(hyper::upgrade::on(&mut answer).await.unwrap());
    client.write_all(b"one").await.unwrap();
    hears(&mut client, "one").await;
    client.shutdown().await.unwrap();
    hears(&mut client, "bye").await;
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    told(&laptop, "alive 0 why 0").await;
    assert_eq!(connection.send(get(Protocol::H2c, "/told")).await.unwrap().status, 200);

    let mut asked = request(Protocol::H2c, Method::CONNECT, "localhost", "/sum", whole(""));
    asked.extensions_mut().insert(Extended::from_static("talk"));
    assert_eq!(connection.send(asked).await.unwrap().status, 501, "its handler does not speak it");
}

#[tokio::test]
async fn who_does_not_offer_is_told_to() {
    let shop = Workshop::new();
    let laptop = start(&shop).await;
    let mut connection = open(&laptop, Protocol::H1).await;
    for value in ["close", "keep-alive"] {
        let mut asked = get(Protocol::H1, "/talk");
        asked.headers_mut().insert("connection", HeaderValue::from_static(value));
        asked.headers_mut().insert("upgrade", HeaderValue::from_static("talk"));
        if value == "close" {
            asked.headers_mut().remove("upgrade");
        }
        let mut other = open(&laptop, Protocol::H1).await;
        assert_eq!(other.send(asked).await.unwrap().status, 426, "{value}");
    }
    assert_eq!(connection.send(get(Protocol::H1, "/sum")).await.unwrap().text(), "one");
}

#[tokio::test]
async fn whoever_fails_on_it_is_cut() {
    let shop = Workshop::new();
    let laptop = start(&shop).await;
    let (mut client, _) = upgraded(&laptop, "early").await;
    hears(&mut client, "early").await;
    client.write_all(b"cut").await.unwrap();
    let end = in_time("the end", client.read(&mut [0])).await;
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    told(&laptop, "alive 0 why 4").await;

    let socket = TcpStream::connect(laptop.address).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    let plain = http::Request::get("http://localhost/told").body(()).unwrap();
    sender.send_request(plain, true).unwrap().0.await.unwrap();
    let mut asked = http::Request::connect("http://localhost/talk").body(()).unwrap();
    asked.extensions_mut().insert(h2::ext::Protocol::from_static("talk"));
    let (answer, mut ours) = sender.send_request(asked, false).unwrap();
    let mut theirs = answer.await.unwrap().into_body();
    ours.send_data("cut".into(), false).unwrap();
    let end = in_time("the end", theirs.data()).await;
    assert!(matches!(&end, Some(Err(error)) if error.is_reset()), "{end:?}");
    told(&laptop, "alive 0 why 4").await;
}

#[tokio::test]
async fn a_client_that_leaves_ends_it() {
    let shop = Workshop::new();
    let laptop = start(&shop).await;
    let (mut client, _) = upgraded(&laptop, "early").await;
    hears(&mut client, "early").await;
    told(&laptop, "alive 1").await;
    client.set_zero_linger().unwrap();
    drop(client);
    told(&laptop, "alive 0").await;
}

#[tokio::test]
async fn a_reset_cancels_a_call_that_neither_reads_nor_writes() {
    let shop = Workshop::new();
    let laptop = start(&shop).await;
    // Also where there is something that it does not read.
    for early in ["", "early"] {
        let (mut client, _) = upgraded_to(&laptop, "/idle", early).await;
        told(&laptop, "alive 1").await;
        // To say no more is not to leave.
        client.shutdown().await.unwrap();
        let silent = tokio::time::timeout(Duration::from_millis(300), client.read(&mut [0])).await;
        assert!(silent.is_err(), "the other side is open: {silent:?}");
        told(&laptop, "alive 1").await;
        client.set_zero_linger().unwrap();
        drop(client);
        told(&laptop, "alive 0 why 1").await;
    }
    let socket = TcpStream::connect(laptop.address).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    let plain = || http::Request::get("http://localhost/told").body(()).unwrap();
    sender.send_request(plain(), true).unwrap().0.await.unwrap();
    let mut asked = http::Request::connect("http://localhost/idle").body(()).unwrap();
    asked.extensions_mut().insert(h2::ext::Protocol::from_static("talk"));
    let (answer, mut ours) = sender.send_request(asked, false).unwrap();
    let _theirs = answer.await.unwrap().into_body();
    told(&laptop, "alive 1").await;
    ours.send_reset(h2::Reason::CANCEL);
    told(&laptop, "alive 0 why 1").await;
    assert_eq!(
        sender.send_request(plain(), true).unwrap().0.await.unwrap().status(),
        200,
        "only the stream ended"
    );
}

#[tokio::test]
async fn it_lives_until_a_drain_gives_up() {
    let shop = Workshop::new();
    let mut laptop = start(&shop).await;
    let (mut client, _) = upgraded(&laptop, "early").await;
    hears(&mut client, "early").await;
    laptop.signal(Role::Run, Signal::INT).await;
    client.write_all(b"still here").await.unwrap();
    hears(&mut client, "still here").await;
    assert_eq!(laptop.ended().await.code(), Some(0));
    assert!(!matches!(client.read(&mut [0]).await, Ok(1)), "it is cut");
    laptop.says(&["dropped because the engine ends"]).await;
}
