//! What a client sees: routes, methods, bodies, limits, both protocols.

use std::time::Instant;

use hotbay_e2e::http::{Answer, Body, Connection, Protocol, pieces, request, whole};
use hotbay_e2e::laptop::Laptop;
use hotbay_e2e::modules;
use http::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::ending::in_flight;
use crate::workshop::{V1, Workshop, yaml};

async fn ask(
    laptop: &Laptop,
    protocol: Protocol,
    method: Method,
    host: &str,
    path: &str,
    body: Body,
) -> Answer {
    let mut connection = Connection::open(laptop.address, protocol).await.unwrap();
    connection.send(request(protocol, method, host, path, body)).await.unwrap()
}

async fn h1(laptop: &Laptop, method: Method, path: &str, body: Body) -> Answer {
    ask(laptop, Protocol::H1, method, "localhost", path, body).await
}

#[tokio::test]
async fn methods_paths_and_parameters() {
    let shop = Workshop::new();
    shop.drop_in("libhello.so", &modules::hello("1.0"));
    shop.push(&modules::echo(), "echo:1.0").await;
    shop.save(
        "echo.yaml",
        &yaml("echo", "echo:1.0", "routes: [{path: \"/e/{name}\"}, {path: \"/files/{*name}\"}]"),
    );
    let laptop = shop.run().await;
    laptop.active("default/echo").await;
    laptop.active("local/hello").await;

    let answer = h1(&laptop, Method::GET, "/nothing", whole("")).await;
    assert_eq!((answer.status, answer.text().as_str()), (404, "not found\n"));
    let answer = h1(&laptop, Method::POST, "/hello", whole("")).await;
    assert_eq!((answer.status, answer.header("allow")), (405, "GET, HEAD"));
    let answer = h1(&laptop, Method::HEAD, "/hello", whole("")).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, ""));
    assert_eq!(answer.header("content-length"), V1.len().to_string());

    for protocol in [Protocol::H1, Protocol::H2c] {
        let answer =
            ask(&laptop, protocol, Method::PUT, "localhost", "/e/a%2Fb?x=1&y", whole("hi")).await.json();
        assert_eq!(
            json!([answer["method"], answer["path"], answer["name"], answer["query"], answer["body"]]),
            json!(["PUT", "/e/a%2Fb", "a%2Fb", "x=1&y", "hi"]),
            "{protocol:?}"
        );
        let answer =
            ask(&laptop, protocol, Method::GET, "localhost", "/files/a/b/c.txt", whole("")).await.json();
        assert_eq!((&answer["name"], &answer["query"]), (&json!("a/b/c.txt"), &json!(null)), "{protocol:?}");
    }
}

#[tokio::test]
async fn bodies_are_streamed_and_bounded() {
    let shop = Workshop::new();
    shop.drop_in("libecho.so", &modules::echo());
    let laptop = shop.run().await;
    laptop.active("local/echo").await;
    let text = |bytes: usize| "0123456789abcdef".repeat(bytes.div_ceil(16))[..bytes].to_owned();
    for protocol in [Protocol::H1, Protocol::H2c] {
        let post = async |body| ask(&laptop, protocol, Method::POST, "localhost", "/echo/x", body).await;
        for length in [0, 1, 64 * 1024, 64 * 1024 + 1, 300_000, 1024 * 1024] {
            let sent = text(length);
            let known = post(whole(sent.clone())).await;
            assert_eq!(known.status, 200, "{protocol:?} {length}");
            assert!(known.json()["body"] == sent, "{protocol:?} {length}: the body came back otherwise");
            let streamed = post(pieces(sent.clone(), 10_000)).await;
            assert_eq!(streamed.status, 200, "{protocol:?} {length} in pieces");
            assert!(streamed.json()["body"] == sent, "{protocol:?} {length}: the pieces came back otherwise");
        }
        let above = text(1024 * 1024 + 1);
        assert_eq!(post(pieces(above, 10_000)).await.status, 413, "{protocol:?} in pieces");
    }
}

#[tokio::test]
async fn a_body_that_is_declared_too_large_is_refused_at_once() {
    let shop = Workshop::new();
    shop.drop_in("libecho.so", &modules::echo());
    let laptop = shop.run().await;
    laptop.active("local/echo").await;
    // Of one nothing of the body is sent: it is the head that is refused. Who sends all of it has the answer, too.
    for (length, sent) in [(1024 * 1024 + 1, 0), (16 * 1024 * 1024, 16 * 1024 * 1024)] {
        let mut stream = TcpStream::connect(laptop.address).await.unwrap();
        let head = format!("POST /echo/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b'x'; sent]).await.unwrap();
        let mut status = [0; "HTTP/1.1 413".len()];
        stream.read_exact(&mut status).await.unwrap();
        assert_eq!(str::from_utf8(&status).unwrap(), "HTTP/1.1 413");
    }
}

#[tokio::test]
async fn hostnames_choose_the_module() {
    let shop = Workshop::new();
    shop.push(&modules::hello("1.0"), "hello:1.0").await;
    let on = |name: &str, host: &str| {
        let spec = format!("config: {{greeting: {name}}}, routes: [{{path: /hello, hostnames: [{host}]}}]");
        yaml(name, "hello:1.0", &spec)
    };
    shop.save(
        "hosts.yaml",
        &format!("{}---\n{}", on("exact", "api.example.com"), on("star", "\"*.example.com\"")),
    );
    let laptop = shop.run().await;
    for name in ["default/exact", "default/star"] {
        laptop.active(name).await;
    }
    for protocol in [Protocol::H1, Protocol::H2c] {
        for (host, status, text) in [
            ("api.example.com", 200, "exact 1.0\n"),
            ("API.example.com:8880", 200, "exact 1.0\n"),
            ("a.b.example.com", 200, "star 1.0\n"),
            ("example.com", 404, "not found\n"),
            ("localhost", 404, "not found\n"),
        ] {
            let answer = ask(&laptop, protocol, Method::GET, host, "/hello", whole("")).await;
            assert_eq!((answer.status, answer.text().as_str()), (status, text), "{protocol:?} {host}");
        }
    }
}

/// A laptop with `faulty` in `mode`.
async fn faulty(shop: &Workshop, mode: &str, spec: &str) -> Laptop {
    shop.push(&modules::faulty(), "faulty:1.0").await;
    shop.save("faulty.yaml", &yaml("faulty", "faulty:1.0", &format!("config: {{mode: \"{mode}\"}}{spec}")));
    let laptop = shop.run().await;
    laptop.active("default/faulty").await;
    laptop
}

#[tokio::test]
async fn slow_requests_hold_nobody_up() {
    let shop = Workshop::new();
    let laptop = faulty(&shop, "handler-slow-ms:20000", ", timeouts: {request: 50s}").await;
    let get = || laptop.get("/faulty");
    // One after another, or two at a time on two workers, would never be four at once.
    let four = tokio::join!(get(), get(), get(), get(), in_flight(&laptop, 4));
    for answer in [four.0, four.1, four.2, four.3] {
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok\n"));
    }
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_ended() {
    let shop = Workshop::new();
    let laptop = faulty(&shop, "handler-pending", ", timeouts: {request: 300ms}").await;
    let began = Instant::now();
    assert_eq!(laptop.get("/faulty").await.status, 504);
    assert!(began.elapsed().as_millis() >= 300, "{:?}", began.elapsed());
}

#[tokio::test]
async fn more_requests_than_the_limit_are_turned_away() {
    const LIMIT: usize = 256;
    const SENT: usize = 300;
    let shop = Workshop::new();
    // All have to be there before the first of them is ended.
    let laptop = faulty(&shop, "handler-pending", ", timeouts: {request: 15s}").await;
    let mut connections = Vec::new();
    for _ in 0..3 {
        connections.push(Connection::open(laptop.address, Protocol::H2c).await.unwrap());
    }
    let mut requests = tokio::task::JoinSet::new();
    for number in 0..SENT {
        let mut connection = connections[number % connections.len()].share();
        let request = request(Protocol::H2c, Method::GET, "localhost", "/faulty", whole(""));
        requests.spawn(async move { connection.send(request).await.unwrap() });
    }
    let answers = requests.join_all().await;
    let busy: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 503).collect();
    assert_eq!(busy.len(), SENT - LIMIT);
    assert_eq!(busy[0].header("retry-after"), "1");
    assert_eq!(answers.iter().filter(|answer| answer.status == 504).count(), LIMIT);
    assert_eq!(laptop.get("/faulty").await.status, 504, "there is room again");
}
