//! An axum Router as a module, served to real clients: what tokio and axum have for an application works, streams flow, and a panic costs its request.

mod bodies;

use std::fs;
use std::net::SocketAddr;

use hotbay_e2e::http::{Connection, Protocol, request, whole};
use hotbay_e2e::laptop::{Laptop, Role};
use hotbay_e2e::modules;
use hotbay_e2e::wait::{in_time, wait_for};
use http::{HeaderValue, Method};
use hyper::ext::Protocol as Extended;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::workshop::{V1, Workshop, yaml};

/// The example, and `hello` beside it.
async fn start(shop: &Workshop) -> Laptop {
    shop.drop_in("librouter.so", &modules::router());
    shop.push(&modules::hello("1.0"), "hello:1.0").await;
    shop.save("hello.yaml", &yaml("hello", "hello:1.0", "routes: [{path: /beside}]"));
    let laptop = shop.run().await;
    laptop.active("local/router").await;
    laptop.active("default/hello").await;
    laptop
}

/// A connection of which every byte is seen as it comes.
struct Raw {
    stream: TcpStream,
    got: Vec<u8>,
}

impl Raw {
    async fn open(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), got: Vec::new() }
    }

    async fn get(address: SocketAddr, path: &str) -> Self {
        let mut raw = Self::open(address).await;
        raw.write(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
        raw
    }

    async fn write(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads until the text has come; false if the connection ended first.
    async fn sees(&mut self, text: &str) -> bool {
        let read = async {
            while !String::from_utf8_lossy(&self.got).contains(text) {
                if self.stream.read_buf(&mut self.got).await.unwrap_or(0) == 0 {
                    return false;
                }
            }
            true
        };
        in_time(text, read).await
    }
}

#[tokio::test]
async fn an_axum_router_is_a_module_unchanged() {
    let shop = Workshop::new();
    let laptop = start(&shop).await;
    for protocol in [Protocol::H1, Protocol::H2c] {
        let mut connection = Connection::open(laptop.address, protocol).await.unwrap();
        let mut ask = async |method, path, body| {
            connection.send(request(protocol, method, "localhost", path, body)).await.unwrap()
        };
        let answer = ask(Method::GET, "/users/7", whole("")).await;
        assert_eq!((answer.status, answer.json()), (200, json!({"id": 7, "name": "user 7"})), "{protocol:?}");
        assert_eq!(ask(Method::GET, "/users/x", whole("")).await.status, 400, "{protocol:?}");
        assert_eq!(ask(Method::GET, "/nothing", whole("")).await.status, 404, "{protocol:?}");
        assert_eq!(ask(Method::PUT, "/hello", whole("")).await.status, 405, "{protocol:?}");
        let head = ask(Method::HEAD, "/hello", whole("")).await;
        assert_eq!((head.status, head.header("content-length")), (200, "16"), "{protocol:?}");
        let upload = ask(Method::POST, "/upload", whole(vec![0; 300_000])).await;
        assert_eq!((upload.status, upload.text().as_str()), (200, "300000\n"), "{protocol:?}");
        let peer: SocketAddr = ask(Method::GET, "/peer", whole("")).await.text().parse().unwrap();
        assert!(peer.ip().is_loopback() && peer != laptop.address, "{peer}");
    }
}

#[tokio::test]
async fn timers_tasks_threads_sockets_and_files_work_in_a_handler() {
    let shop = Workshop::new();
    let laptop = start(&shop).await;
    for (path, text) in [("/sleep/30", "slept\n"), ("/spawn/21", "42\n"), ("/blocking/14", "42\n")] {
        let answer = laptop.get(path).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, text), "{path}");
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut words = String::new();
        stream.read_to_string(&mut words).await.unwrap();
        stream.write_all(words.to_uppercase().as_bytes()).await.unwrap();
    });
    assert_eq!(laptop.get(&format!("/tcp?address={address}&words=hi")).await.text(), "HI");
    server.await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let asked = format!("/file?folder={}&words=kept", folder.path().display());
    assert_eq!(laptop.get(&asked).await.text(), "kept");
    assert_eq!(fs::read_to_string(folder.path().join("note.txt")).unwrap(), "kept");
    // tokio's error reaches the handler, which answers by itself.
    let refused = laptop.get("/file?folder=/nonexistent&words=lost").await;
    assert_eq!(refused.status, 502);
    assert!(refused.text().contains("No such file"), "{}", refused.text());
}

#[tokio::test]
async fn events_arrive_as_they_are_sent() {
    let shop = Workshop::new();
    let laptop = start(&shop).await;
    // It would take weeks to have them all.
    let mut events = Raw::get(laptop.address, "/events?count=100000000&millis=20").await;
    assert!(events.sees("content-type: text/event-stream").await);
    for number in 1..=3 {
        assert!(events.sees(&format!("data: {number}\n\n")).await, "{number}");
    }
}

#[tokio::test]
async fn what_is_sent_comes_back_while_more_is_sent() {
    let shop = Workshop::new();
    let laptop = start(&shop).await;
    let mut echo = Raw::open(laptop.address).await;
    echo.write("POST /echo HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n").await;
    for word in ["one", "two", "six"] {
        echo.write(&format!("3\r\n{word}\r\n")).await;
        assert!(echo.sees(word).await, "{word}");
    }
    echo.write("0\r\n\r\n").await;
    assert!(echo.sees("0\r\n\r\n").await);
}

/// A text as a client's frame: masked, with a key that leaves it as it is.
fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0];
    frame.extend_from_slice(text.as_bytes());
    frame
}

#[tokio::test]
async fn a_websocket_of_axum_speaks_and_ends() {
    let shop = Workshop::new();
    let laptop = start(&shop).await;
    let mut socket = Raw::open(laptop.address).await;
    socket
        .write(
            "GET /ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .await;
    assert!(socket.sees("HTTP/1.1 101 ").await);
    // RFC 6455's own example.
    assert!(socket.sees("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=").await);
    for word in ["hello", "again"] {
        socket.stream.write_all(&frame(word)).await.unwrap();
        assert!(socket.sees(word).await, "{word}");
    }
    // A close is answered by a close, and then the connection ends.
    socket.stream.write_all(&[0x88, 0x80, 0, 0, 0, 0]).await.unwrap();
    assert!(!socket.sees("never").await);
    assert!(socket.got.ends_with(&[0x88, 0]), "{:?}", socket.got);
    assert_eq!(laptop.get("/ws").await.status, 400, "not without an offer");
}

/// So many bytes.
async fn hears(socket: &mut (impl AsyncRead + Unpin), count: usize) -> Vec<u8> {
    let mut heard = vec![0; count];
    in_time("the bytes", socket.read_exact(&mut heard)).await.unwrap();
    heard
}

#[tokio::test]
async fn a_websocket_of_axum_speaks_on_a_stream_of_http_2() {
    let shop = Workshop::new();
    let laptop = start(&shop).await;
    let mut connection = Connection::open(laptop.address, Protocol::H2c).await.unwrap();
    // The server's settings come with the first answer, and say that it may be asked.
    let plain = || request(Protocol::H2c, Method::GET, "localhost", "/hello", whole(""));
    connection.send(plain()).await.unwrap();
    let asks = |path, protocol: &'static str| {
        let mut asked = request(Protocol::H2c, Method::CONNECT, "localhost", path, whole(""));
        asked.headers_mut().insert("sec-websocket-version", HeaderValue::from_static("13"));
        asked.extensions_mut().insert(Extended::from_static(protocol));
        asked
    };
    let mut answer = connection.begin(asks("/ws", "websocket")).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers().get("content-length")), (200, None));
    let mut socket = TokioIo::new(hyper::upgrade::on(&mut answer).await.unwrap());
    for word in ["hello", "again"] {
        socket.write_all(&frame(word)).await.unwrap();
        assert_eq!(hears(&mut socket, 2 + word.len()).await[2..], *word.as_bytes());
    }
    // A close is answered by a close, and then the stream ends; the connection does not.
    socket.write_all(&[0x88, 0x80, 0, 0, 0, 0]).await.unwrap();
    assert_eq!(hears(&mut socket, 2).await, [0x88, 0]);
    assert_eq!(in_time("the end", socket.read(&mut [0])).await.unwrap(), 0);
    assert_eq!(
        connection.send(asks("/ws", "talk")).await.unwrap().status,
        400,
        "axum speaks WebSocket alone"
    );
    assert_eq!(connection.send(asks("/user", "websocket")).await.unwrap().status, 404);
    assert_eq!(connection.send(plain()).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_panic_costs_its_request_and_nothing_else() {
    let shop = Workshop::new();
    let laptop = start(&shop).await;
    assert_eq!(laptop.get("/panic").await.status, 500);
    laptop.says(&["local/router", "the handler was asked to"]).await;
    assert_eq!(laptop.get("/panic/task").await.text(), "the task panicked: true\n");
    laptop.says(&["local/router", "the task was asked to"]).await;
    for (path, words) in [("/panic/stream", "the stream was asked to"), ("/fail/stream", "asked to fail")] {
        let mut cut = Raw::get(laptop.address, path).await;
        assert!(!cut.sees("\r\n0\r\n").await, "{path} must not end cleanly");
        laptop.says(&["local/router", words]).await;
    }
    // The client leaves, and what the handler holds panics when it is dropped.
    let mut left = Raw::get(laptop.address, "/panic/drop").await;
    assert!(left.sees("a piece").await);
    drop(left);
    laptop.says(&["local/router", "the destructor was asked to"]).await;
    laptop.serves("/hello", "Hello from axum\n").await;
    laptop.serves("/beside", V1).await;
    assert_eq!(laptop.report().engine, 1, "no engine was replaced");
}

/// How many threads of the engine are a module's runtime.
async fn runtimes(laptop: &Laptop) -> usize {
    let pid = laptop.pid(Role::Engine).await;
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let names = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("comm")).ok());
    names.filter(|name| name.trim() == "hotbay-tokio").count()
}

#[tokio::test]
async fn a_runtime_ends_with_its_instance_and_all_that_it_runs() {
    let shop = Workshop::new();
    shop.push(&modules::router(), "router:1.0").await;
    let save = |version: u32| {
        shop.save("router.yaml", &yaml("router", "router:1.0", &format!("config: {{version: {version}}}")));
    };
    save(1);
    let laptop = shop.run().await;
    laptop.serves("/hello", "Hello from axum\n").await;
    assert_eq!(runtimes(&laptop).await, 1);
    for version in 2..=4 {
        let before = laptop.entry("default/router", "served", |entry| entry.serving.is_some()).await;
        save(version);
        laptop.entry("default/router", "the next one", |entry| entry.serving != before.serving).await;
        wait_for("the old instance's runtime ends", async || match runtimes(&laptop).await {
            1 => Ok(()),
            other => Err(format!("{other} runtimes")),
        })
        .await;
        assert_eq!(laptop.get("/sleep/1").await.text(), "slept\n");
    }
    fs::remove_file(shop.file("router.yaml")).unwrap();
    wait_for("no runtime is left", async || match runtimes(&laptop).await {
        0 => Ok(()),
        other => Err(format!("{other} runtimes")),
    })
    .await;
    assert_eq!(laptop.report().engine, 1);
}
