//! The C modules of the conformance kit in a real engine, all at once: what a client gets of each, what is said of those that cannot be served, and
//! that nobody who does wrong harms the others.
//!
//! Those whose wrong is undefined behaviour (a view used too late, a piece released twice) are for the mock host alone, and so are those that take the
//! process with them: `faults` has its own.

use std::fmt;

use hotbay_conformance::cases::{
    self, Case,
    Comes::{self, Cut, Fails, Length, Status, Text},
};
use hotbay_e2e::http::{Answer, Connection, Protocol, Trouble, get, request, whole};
use hotbay_e2e::laptop::{Laptop, Role};
use hotbay_e2e::wait::{DEADLINE, in_time, wait_for};
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::workshop::Workshop;

/// A folder with these cases, served.
async fn serve(names: impl Iterator<Item = &'static str>) -> (Workshop, Laptop) {
    let shop = Workshop::new();
    for name in names {
        Case::named(name).unwrap().build(&shop.modules()).unwrap();
    }
    let laptop = shop.run().await;
    (shop, laptop)
}

/// As `local/NAME` has it.
fn key(name: &str) -> String {
    format!("local/{}", name.replace('_', "-"))
}

/// Whether this is what was to come, as a client sees it.
fn is(comes: Comes, answer: &Result<Answer, Trouble>) -> bool {
    match (comes, answer) {
        (Text(text), Ok(answer)) => answer.status == 200 && answer.text() == text,
        (Length(length), Ok(answer)) => answer.status == 200 && answer.body.len() == length,
        (Status(status), Ok(answer)) => answer.status == status && answer.body.is_empty(),
        (Fails(_), Ok(answer)) => answer.status == 500,
        (Cut(_), Err(Trouble::Broken(_))) => true,
        _ => false,
    }
}

/// An answer, for people.
struct Shown<'a>(&'a Result<Answer, Trouble>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Ok(answer) if answer.body.len() < 100 => write!(out, "{} {:?}", answer.status, answer.text()),
            Ok(answer) => write!(out, "{} and {} bytes", answer.status, answer.body.len()),
            Err(trouble) => write!(out, "{trouble:?}"),
        }
    }
}

#[tokio::test]
async fn each_is_answered_as_the_header_says_and_harms_nobody() {
    let (_shop, laptop) = serve(cases::answered().map(|(name, _)| name)).await;
    for (name, _) in cases::answered() {
        laptop.active(&key(name)).await;
    }
    let before = laptop.pid(Role::Engine).await;
    let mut wrong = Vec::new();
    for (name, expected) in cases::answered() {
        // Twice: what the first leaves behind must not harm the second.
        for _ in 0..2 {
            let answer = get(laptop.address, &format!("/{name}")).await;
            if !is(expected, &answer) {
                wrong.push(format!("{name}: {expected:?}, and not {}", Shown(&answer)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    laptop.says(&["the words of fails_with_words"]).await;
    laptop.says(&["the message of logs"]).await;
    assert_eq!(laptop.pid(Role::Engine).await, before, "it is the same engine");
}

/// A GET that calls itself so.
async fn ask_as(laptop: &Laptop, id: &str, name: &str) -> Result<Answer, Trouble> {
    let mut connection = Connection::open(laptop.address, Protocol::H1).await.unwrap();
    let path = format!("/{name}");
    let mut asked = request(Protocol::H1, Method::GET, &laptop.address.to_string(), &path, whole(""));
    asked.headers_mut().insert("x-request-id", id.parse().unwrap());
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    asked.headers_mut().insert("traceparent", traceparent.parse().unwrap());
    connection.send(asked).await
}

#[tokio::test]
async fn the_line_about_a_request_that_failed_has_its_id_its_trace_and_the_codes_name() {
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let cases = [
        ("fails_with_words", "a request failed", "HB_ERR): the words of fails_with_words"),
        ("unknown_code", "a request failed", "rc 77 (unknown)"),
        ("unknown_code_from_poll", "a request failed", "rc 77 (unknown)"),
        ("aborts", "a request failed", "aborted"),
        ("aborts_in_mid_stream", "a request failed", "aborted"),
        ("never_woken", "a request took too long", "never-woken"),
    ];
    let (_shop, laptop) = serve(cases.iter().map(|(name, ..)| *name)).await;
    for (name, line, words) in cases {
        laptop.active(&key(name)).await;
        let (id, answer) = (format!("id-of-{name}"), ask_as(&laptop, &format!("id-of-{name}"), name).await);
        assert!(!answer.as_ref().is_ok_and(|answer| answer.status == 200), "{name}: {}", Shown(&answer));
        laptop.says(&["WARN", line, &key(name), &id, trace, words]).await;
    }
    // Nobody has given this one a name: it has the host's own.
    assert_eq!(laptop.get("/fails_with_words").await.status, 500);
    wait_for("a line has an id of 32 digits", async || {
        let lines = laptop.lines();
        let ids = lines.iter().filter_map(|line| line.split_once("request_id=\"")?.1.split_once('"'));
        let mut ids = ids.map(|(id, _)| id.to_owned());
        match ids.find(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            Some(_) => Ok(()),
            None => Err(lines.join("\n")),
        }
    })
    .await;
}

#[tokio::test]
async fn each_that_cannot_be_served_is_named_with_its_reason() {
    let (_shop, laptop) = serve(cases::refused().map(|(name, ..)| name).chain(["answers_at_once"])).await;
    for (name, reason, words) in cases::refused() {
        let key = key(name);
        // A file that is no module has no key yet.
        let named = async |said: &str| laptop.says(&["failed", said, reason, words]).await;
        let file = matches!(name, "no_notes" | "broken_manifest" | "no_entry");
        named(if file { name } else { &key }).await;
        // What may come right by itself is tried again, and asks clients to do so too.
        let status = laptop.get(&format!("/{name}")).await.status;
        assert!(matches!(status, 404 | 503), "{name}: {status}");
    }
    laptop.serves("/answers_at_once", "answered\n").await;
}

#[tokio::test]
async fn a_body_is_read_to_its_end_and_its_pieces_released() {
    let (_shop, laptop) = serve(["reads_all", "never_releases"].into_iter()).await;
    for name in ["reads_all", "never_releases"] {
        laptop.active(&key(name)).await;
        let mut connection = Connection::open(laptop.address, Protocol::H1).await.unwrap();
        let body = whole(vec![7; 300 * 1024]);
        let host = laptop.address.to_string();
        let request = request(Protocol::H1, Method::POST, &host, &format!("/{name}"), body);
        let answer = connection.send(request).await.unwrap();
        let text = if name == "reads_all" { "read 307200, 0 trailers\n" } else { "read\n" };
        assert_eq!((answer.status, answer.text().as_str()), (200, text));
    }
}

#[tokio::test]
async fn a_call_that_nobody_wakes_ends_in_time_and_one_whose_client_leaves_at_once() {
    let (_shop, laptop) = serve(["never_woken", "counts_drops"].into_iter()).await;
    laptop.serves("/counts_drops", "left 0, took too long 0, late answers 0\n").await;
    let mut leaves = TcpStream::connect(laptop.address).await.unwrap();
    leaves.write_all(b"GET /counts_drops?wait HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    laptop.says(&["counts_drops waits"]).await;
    drop(leaves);
    laptop.serves("/counts_drops", "left 1, took too long 0, late answers 1\n").await;
    let (waits, forgotten) = tokio::join!(laptop.get("/counts_drops?wait"), laptop.get("/never_woken"));
    assert_eq!((waits.status, forgotten.status), (504, 504));
    laptop.serves("/counts_drops", "left 1, took too long 1, late answers 2\n").await;
}

#[tokio::test]
async fn an_owned_body_is_released_once_when_it_is_sent() {
    let (_shop, laptop) = serve(["owned_body"].into_iter()).await;
    laptop.serves("/owned_body", "released 0\n").await;
    let mut asked = 1;
    wait_for("all bodies but the one that tells are released", async || {
        let text = laptop.get("/owned_body").await.text();
        let is = text == format!("released {asked}\n");
        asked += 1;
        if is { Ok(()) } else { Err(text) }
    })
    .await;
}

#[tokio::test]
async fn a_module_is_told_who_asks() {
    let (_shop, laptop) = serve(["info"].into_iter()).await;
    let answer = laptop.answers("/info", 200).await.text();
    assert!(answer.starts_with("peer 127.0.0.1:"), "{answer}");
    assert!(answer.ends_with(", id yes, unknown -5\n"), "{answer}");
}

#[tokio::test]
async fn an_upgraded_connection_is_the_modules_and_stays_so_whatever_else_it_answers() {
    let (_shop, laptop) = serve(["upgrade_echoes", "upgrades_again"].into_iter()).await;
    for name in ["upgrade_echoes", "upgrades_again"] {
        laptop.active(&key(name)).await;
        let mut socket = TcpStream::connect(laptop.address).await.unwrap();
        // The first bytes come with the request: the client need not wait.
        let offer = "host: x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nearly ";
        socket.write_all(format!("GET /{name} HTTP/1.1\r\n{offer}").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let words = |answer: &[u8]| format!("{name}: {}", String::from_utf8_lossy(answer));
        while !answer.ends_with(b"early ") {
            let read = tokio::time::timeout(DEADLINE, socket.read_buf(&mut answer)).await;
            assert!(read.is_ok_and(|read| read.unwrap() > 0), "{}", words(&answer));
        }
        assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", words(&answer));
        socket.write_all(b"late").await.unwrap();
        socket.shutdown().await.unwrap();
        let mut rest = Vec::new();
        in_time("the end", socket.read_to_end(&mut rest)).await.unwrap();
        assert_eq!(rest, b"late", "{name}");
    }
}

#[tokio::test]
async fn trailers_come_behind_a_stream() {
    let (_shop, laptop) = serve(["streams_trailers"].into_iter()).await;
    laptop.active("local/streams-trailers").await;
    let mut socket = TcpStream::connect(laptop.address).await.unwrap();
    let head = "GET /streams_trailers HTTP/1.1\r\nhost: x\r\nte: trailers\r\nconnection: close\r\n\r\n";
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    assert!(answer.ends_with(b"0\r\nx-trailer: last\r\n\r\n"), "{}", answer.escape_ascii());
}

#[tokio::test]
async fn a_stop_that_fails_is_told_in_the_modules_words() {
    let (shop, laptop) = serve(["stop_panics"].into_iter()).await;
    laptop.serves("/stop_panics", "answered\n").await;
    std::fs::remove_file(shop.modules().join("stop_panics.so")).unwrap();
    laptop.says(&["local/stop-panics", "stop failed", "the words of stop_panics"]).await;
}
