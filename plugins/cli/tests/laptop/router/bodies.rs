//! Bodies of a Router at their limits: what is large, what is too large, and what follows a body.

use std::fs;

use hotbay_e2e::http::{Body, Connection, Protocol, pieces, request};
use hotbay_e2e::laptop::{Laptop, Role};
use hotbay_e2e::modules;
use hotbay_e2e::wait::in_time;
use http::{HeaderMap, HeaderValue, Method};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Raw, start};
use crate::workshop::{Workshop, yaml};

const MIB: usize = 1024 * 1024;
const BOTH: [Protocol; 2] = [Protocol::H1, Protocol::H2c];

/// The status of a JSON body of so many bytes, whose length nobody has said.
async fn adds(laptop: &Laptop, protocol: Protocol, bytes: usize) -> u16 {
    let (begin, end) = (r#"{"id": 8, "name": ""#, r#""}"#);
    let json = format!("{begin}{}{end}", "a".repeat(bytes - begin.len() - end.len()));
    if protocol == Protocol::H1 {
        return adds_by_h1(laptop, &json).await;
    }
    let mut asked = request(protocol, Method::POST, "localhost", "/users", pieces(json, 64 * 1024));
    asked.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    Connection::open(laptop.address, protocol).await.unwrap().send(asked).await.unwrap().status
}

/// As curl does and hyper's client does not: it takes the answer that it gets while it still sends, and so may find that nobody reads on.
async fn adds_by_h1(laptop: &Laptop, json: &str) -> u16 {
    let (mut from, mut to) = TcpStream::connect(laptop.address).await.unwrap().into_split();
    let asked = format!(
        "POST /users HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\n\r\n{:x}\r\n{json}\r\n0\r\n\r\n",
        json.len()
    );
    let sending = tokio::spawn(async move {
        let _cut = to.write_all(asked.as_bytes()).await;
        to
    });
    let mut status = [0; "HTTP/1.1 200".len()];
    in_time("the status", from.read_exact(&mut status)).await.unwrap();
    sending.abort();
    str::from_utf8(&status).unwrap().strip_prefix("HTTP/1.1 ").unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_body_of_unknown_length_beyond_the_limit_is_413_whoever_sets_it() {
    let shop = Workshop::new();
    // The usual limits: 1 MiB of a module, 2 MiB of axum.
    let usual = start(&shop).await;
    let other = Workshop::new();
    other.push(&modules::router(), "router:1.0").await;
    other.save("router.yaml", &yaml("router", "router:1.0", "limits: {maxRequestBodySize: 4Mi}"));
    let generous = other.run().await;
    generous.active("default/router").await;
    for protocol in BOTH {
        assert_eq!(adds(&usual, protocol, MIB).await, 201, "{protocol:?}: as much as is allowed");
        assert_eq!(adds(&usual, protocol, MIB + 1).await, 413, "{protocol:?}");
        assert_eq!(adds(&usual, protocol, MIB * 3 / 2).await, 413, "{protocol:?}");
        assert_eq!(adds(&generous, protocol, MIB * 3 / 2).await, 201, "{protocol:?}");
        assert_eq!(adds(&generous, protocol, MIB * 5 / 2).await, 413, "{protocol:?}: axum's own limit");
    }
}

/// The most memory that the engine ever had, in bytes.
async fn peak(laptop: &Laptop) -> usize {
    let pid = laptop.pid(Role::Engine).await;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

#[tokio::test]
async fn a_hundred_mebibytes_flow_through_little_memory() {
    let shop = Workshop::new();
    shop.push(&modules::router(), "router:1.0").await;
    shop.save("router.yaml", &yaml("router", "router:1.0", "limits: {maxRequestBodySize: 200Mi}"));
    let laptop = shop.run().await;
    laptop.serves("/hello", "Hello from axum\n").await;
    let before = peak(&laptop).await;

    let mut down = Raw::get(laptop.address, "/download?mib=100").await;
    // It waits for a client that does not read: what it may take to wait is taken now.
    assert!(down.sees("\r\n\r\n").await);
    let mut total = 0;
    let mut buffer = vec![0; 64 * 1024];
    while total < 100 * MIB {
        let count = down.stream.read(&mut buffer).await.unwrap();
        assert!(count > 0, "cut after {total} bytes");
        total += count;
    }

    let mut up = Raw::open(laptop.address).await;
    up.write(&format!("POST /upload HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", 100 * MIB))
        .await;
    for _ in 0..1600 {
        up.stream.write_all(&buffer).await.unwrap();
    }
    assert!(up.sees(&format!("{}\n", 100 * MIB)).await);
    let grown = peak(&laptop).await - before;
    assert!(grown < 16 * MIB, "{grown} bytes more");
}

/// A body with a trailer. Its length is not told: if it were, HTTP/1.1 would have no trailers.
fn with_sum(text: &'static str, sum: &'static str) -> Body {
    let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from_static(sum))]);
    pieces(text, text.len()).with_trailers(async { Some(Ok(trailers)) }).boxed_unsync()
}

#[tokio::test]
async fn trailers_of_requests_reach_a_router_and_those_of_its_answers_the_client() {
    let shop = Workshop::new();
    let laptop = start(&shop).await;
    for protocol in BOTH {
        let mut asked = request(protocol, Method::POST, "localhost", "/trailers", with_sum("four", "77"));
        asked.headers_mut().insert("te", HeaderValue::from_static("trailers"));
        asked.headers_mut().insert("trailer", HeaderValue::from_static("x-sum"));
        let mut connection = Connection::open(laptop.address, protocol).await.unwrap();
        let answer = connection.begin(asked).await.unwrap();
        assert_eq!(answer.status(), 200, "{protocol:?}");
        let body = answer.into_body().collect().await.unwrap();
        let trailers = body.trailers().cloned().unwrap_or_default();
        let wanted = [("x-length", "4"), ("x-sum", "77")]
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
        assert_eq!(trailers, HeaderMap::from_iter(wanted), "{protocol:?}");
        assert_eq!(body.to_bytes(), "four", "{protocol:?}");
    }
}
