//! Uploads that are malformed, cut or too large: their client's failure and never the module's, whatever it is written with.

use std::ffi::OsStr;
use std::net::SocketAddr;

use bytes::Bytes;
use hotbay_e2e::http::get;
use hotbay_e2e::laptop::{Laptop, free_address};
use hotbay_e2e::modules;
use hotbay_e2e::wait::{in_time, wait_for};
use http::Request;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::admin::metric;
use crate::streams;
use crate::workshop::{HOTBAY, Workshop, yaml};

/// What reads a body: a C module, a Rust function by pieces and one that is given all of it, a Router by pieces and by an extractor.
const UPLOADS: [&str; 5] = ["/c/up", "/rust/up", "/echo/x", "/upload", "/users"];
/// Those that leave the answer to the host.
const UNANSWERED: [(&str, &str); 2] = [("/c/up", "default/c"), ("/echo/x", "local/echo")];
/// What sends a body back as it comes.
const ECHOES: [&str; 3] = ["/c/echo", "/rust/echo", "/echo"];

/// A run with all of them, that logs as much as it can, and its admin port.
async fn start(shop: &Workshop) -> (Laptop, SocketAddr) {
    shop.drop_in("libecho.so", &modules::echo());
    shop.drop_in("librouter.so", &modules::router());
    for (name, module) in [("c", streams::streams().to_owned()), ("rust", modules::streams())] {
        shop.push(&module, &format!("{name}:1.0")).await;
        let routes = ["up", "echo"].map(|handler| format!("{{path: /{name}/{handler}, handler: {handler}}}"));
        let routes = format!("routes: [{}]", routes.join(", "));
        shop.save(&format!("{name}.yaml"), &yaml(name, &format!("{name}:1.0"), &routes));
    }
    let (admin, folder) = (free_address(), shop.modules());
    let mirror = format!("registry.example.com=oci:{}", shop.layout().display());
    let args: [&OsStr; 3] = [folder.as_ref(), "--mirror".as_ref(), mirror.as_ref()];
    let laptop = Laptop::spawn_with(HOTBAY.as_ref(), &args, |command| {
        let command = command.env("HOTBAY_ADMIN_LISTEN", admin.to_string());
        command.env("HOTBAY_LOG", "hotbay=debug,info").env("HOTBAY_LOG_FORMAT", "json")
    });
    laptop.ready().await;
    for key in ["local/echo", "local/router", "default/c", "default/rust"] {
        laptop.active(key).await;
    }
    (laptop, admin)
}

fn lines(laptop: &Laptop) -> Vec<Value> {
    laptop.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Waits until the log has said, for those who look closely alone, that a call of this module has ended so; nobody was blamed for anything before.
async fn is_told(laptop: &Laptop, module: &str, what: &str, request: &str) {
    wait_for(&format!("{what} of {module}: {request}"), async || {
        let is = |line: &Value| line["message"] == what && line["request_id"] == request;
        let line = lines(laptop).into_iter().find(is).ok_or("nothing is said")?;
        assert_eq!((&line["level"], &line["module"]), (&"DEBUG".into(), &module.into()), "{line}");
        Ok(())
    })
    .await;
    let blames = |line: &Value| {
        let said = line["message"].as_str().unwrap_or_default();
        matches!(line["level"].as_str(), Some("WARN" | "ERROR"))
            && (said.contains("failed") || said.contains("was cut"))
    };
    let blamed: Vec<_> = lines(laptop).into_iter().filter(blames).collect();
    assert!(blamed.is_empty(), "{blamed:?}");
}

/// No request so far was counted as one that a module has failed.
async fn nobody_failed(laptop: &Laptop, admin: SocketAddr) {
    // The metrics may be some moments old: one request more, and they are newer than all that came before it.
    assert_eq!(laptop.get("/nothing").await.status, 404);
    wait_for("the last request is counted", async || {
        match metric(admin, r#"hotbay_requests_total{module="local/router",code="404"}"#).await {
            0 => Err("it is not".to_owned()),
            _ => Ok(()),
        }
    })
    .await;
    let text = get(admin, "/metrics").await.unwrap().text();
    let is = |line: &&str| line.starts_with("hotbay_requests_total") && line.contains("code=\"5");
    let failed: Vec<_> = text.lines().filter(is).filter(|line| !line.ends_with(" 0")).collect();
    assert!(failed.is_empty(), "{failed:?}");
}

async fn in_flight(admin: SocketAddr, requests: u64) {
    wait_for(&format!("{requests} requests are in flight"), async || {
        match metric(admin, "hotbay_requests_in_flight").await {
            now if now == requests => Ok(()),
            other => Err(format!("{other} are")),
        }
    })
    .await;
}

/// A request by HTTP/1.1, which has an id, with a first piece of its body.
async fn begun(laptop: &Laptop, path: &str, id: &str) -> TcpStream {
    let mut client = TcpStream::connect(laptop.address).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nx-request-id: {id}\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\n\r\n5\r\n{{\"id\"\r\n"
    );
    client.write_all(head.as_bytes()).await.unwrap();
    client
}

async fn status(client: &mut TcpStream) -> u16 {
    let mut status = [0; "HTTP/1.1 200".len()];
    in_time("the status", client.read_exact(&mut status)).await.unwrap();
    str::from_utf8(&status).unwrap().strip_prefix("HTTP/1.1 ").unwrap().parse().unwrap()
}

#[tokio::test]
async fn who_sends_what_is_malformed_or_too_large_is_told_and_no_module_is_blamed() {
    let shop = Workshop::new();
    let (laptop, admin) = start(&shop).await;
    for path in UPLOADS {
        let mut client = begun(&laptop, path, &format!("broken-{path}")).await;
        client.write_all(b"no length\r\n").await.unwrap();
        assert_eq!(status(&mut client).await, 400, "{path}");
    }
    for (path, module) in UNANSWERED {
        is_told(&laptop, module, "a request failed", &format!("broken-{path}")).await;
    }
    for path in UPLOADS {
        let mut client = begun(&laptop, path, &format!("large-{path}")).await;
        let large = format!("{:x}\r\n{}\r\n0\r\n\r\n", 1 << 20, " ".repeat(1 << 20));
        client.write_all(large.as_bytes()).await.unwrap();
        // The author of one answers 400 whatever is wrong with a body.
        let wanted = if path == "/upload" { 400 } else { 413 };
        assert_eq!(status(&mut client).await, wanted, "{path}");
    }
    is_told(&laptop, "default/c", "a request failed", "large-/c/up").await;
    nobody_failed(&laptop, admin).await;
    for code in [400, 413] {
        for (path, module) in UNANSWERED {
            let counted = format!("hotbay_requests_total{{module=\"{module}\",code=\"{code}\"}}");
            assert_eq!(metric(admin, &counted).await, 1, "{code} {path}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_sends_a_broken_body_back_is_cut_and_no_module_is_blamed() {
    let shop = Workshop::new();
    let (laptop, admin) = start(&shop).await;
    for (path, module) in ECHOES.into_iter().zip(["default/c", "default/rust", "local/router"]) {
        let mut client = begun(&laptop, path, path).await;
        let mut got = Vec::new();
        while !got.ends_with(b"5\r\n{\"id\"\r\n") {
            assert_ne!(in_time("a piece", client.read_buf(&mut got)).await.unwrap(), 0, "{path}");
        }
        client.write_all(b"no length\r\n").await.unwrap();
        let mut rest = Vec::new();
        let _reset = in_time("the end", client.read_to_end(&mut rest)).await;
        assert!(!rest.ends_with(b"0\r\n\r\n"), "{path}: it is no whole answer");
        is_told(&laptop, module, "an answer was cut", path).await;
    }
    nobody_failed(&laptop, admin).await;
}

#[tokio::test]
async fn no_module_is_blamed_for_a_client_that_leaves_in_the_middle_of_its_upload() {
    let shop = Workshop::new();
    let (laptop, admin) = start(&shop).await;
    for path in UPLOADS.into_iter().chain(ECHOES) {
        let client = begun(&laptop, path, &format!("left-{path}")).await;
        in_flight(admin, 1).await;
        drop(client);
        in_flight(admin, 0).await;
    }
    let client = TcpStream::connect(laptop.address).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(client).await.unwrap();
    tokio::spawn(connection);
    for path in UPLOADS.into_iter().chain(ECHOES) {
        let asked = || {
            let asked = Request::post(format!("http://localhost{path}"));
            asked.header("content-type", "application/json").header("x-request-id", format!("reset-{path}"))
        };
        sender = in_time("room for a stream", sender.ready()).await.unwrap();
        let (_answer, mut body) = sender.send_request(asked().body(()).unwrap(), false).unwrap();
        body.send_data(Bytes::from_static(b"{\"id\""), false).unwrap();
        in_flight(admin, 1).await;
        body.send_reset(h2::Reason::CANCEL);
        in_flight(admin, 0).await;
        // Less than was promised, which is malformed (RFC 9113, 8.1.1).
        sender = in_time("room for a stream", sender.ready()).await.unwrap();
        let short = asked().header("content-length", "100000").body(()).unwrap();
        let (answer, mut body) = sender.send_request(short, false).unwrap();
        body.send_data(Bytes::from_static(b"{\"id\""), false).unwrap();
        in_flight(admin, 1).await;
        body.send_data(Bytes::new(), true).unwrap();
        in_flight(admin, 0).await;
        let refused = in_time("a refusal", answer).await;
        assert!(refused.as_ref().map_or(true, |answer| answer.status() != 500), "{path}: {refused:?}");
    }
    nobody_failed(&laptop, admin).await;
    // The log is in order: what this one comes to is said after all that came before.
    let mut client = begun(&laptop, "/c/up", "last").await;
    client.write_all(b"no length\r\n").await.unwrap();
    assert_eq!(status(&mut client).await, 400);
    is_told(&laptop, "default/c", "a request failed", "last").await;
    for ((path, module), how) in UNANSWERED.into_iter().flat_map(|each| [(each, "left"), (each, "reset")]) {
        is_told(&laptop, module, "a request failed", &format!("{how}-{path}")).await;
    }
}
