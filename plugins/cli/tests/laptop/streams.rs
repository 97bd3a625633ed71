//! Bodies that come and go in pieces, through a C module that does one thing a handler (`tests/modules/streams.c`), and what the SDK has for them, through
//! the example `streams`, whose handlers do the same.

mod cuts;
mod sdk;
mod upgrades;

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hotbay_e2e::http::{Answer, Body, Connection, Protocol, request, whole};
use hotbay_e2e::laptop::{Laptop, Role};
use hotbay_e2e::wait::{in_time, wait_for};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};

use crate::workshop::{Workshop, compile, yaml};

const BOTH: [Protocol; 2] = [Protocol::H1, Protocol::H2c];
const MIB: usize = 1 << 20;

/// The module, compiled once a run.
pub fn streams() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let repo = Path::new(env!("CARGO_MANIFEST_DIR"));
        let module =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("streams-{}.so", std::process::id()));
        compile(&source(&repo.join("tests/modules/streams.c"), &module), &module);
        module
    })
}

/// Set, all handlers of the module are declared blocking: see `stalls`.
pub const BLOCKING: &str = "HOTBAY_TEST_BLOCKING";

/// What is compiled to `module`.
fn source(written: &Path, module: &Path) -> PathBuf {
    if std::env::var_os(BLOCKING).is_none() {
        return written.to_owned();
    }
    let text = std::fs::read_to_string(written).unwrap();
    let declared = text.replace(r#""methods":"#, r#""blocking": true, "methods":"#);
    assert_ne!(declared, text);
    let copy = module.with_extension("c");
    std::fs::write(&copy, declared).unwrap();
    copy
}

/// `hotbay run` with the module, which takes large bodies.
async fn start(shop: &Workshop) -> Laptop {
    start_within(shop, "60s").await
}

/// The same, with so much time for each answer to begin.
async fn start_within(shop: &Workshop, time: &str) -> Laptop {
    start_module(shop, streams(), time).await
}

/// The same, with another module.
async fn start_module(shop: &Workshop, module: &Path, time: &str) -> Laptop {
    shop.push(module, "streams:1.0").await;
    let spec = format!("limits: {{maxRequestBodySize: 2Gi}}, timeouts: {{request: {time}}}");
    shop.save("streams.yaml", &yaml("streams", "streams:1.0", &spec));
    let laptop = shop.run().await;
    laptop.active("default/streams").await;
    laptop
}

async fn open(laptop: &Laptop, protocol: Protocol) -> Connection {
    Connection::open(laptop.address, protocol).await.unwrap()
}

fn get(protocol: Protocol, path: &str) -> Request<Body> {
    request(protocol, Method::GET, "localhost", path, whole(""))
}

/// A body in so many pieces, with trailers.
fn sent(pieces: usize, piece: Bytes) -> Body {
    let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from_static("7"))]);
    let frames = (0..=pieces).map(move |nth| {
        Ok(if nth < pieces { Frame::data(piece.clone()) } else { Frame::trailers(trailers.clone()) })
    });
    Frames(frames).boxed_unsync()
}

/// A body that is always ready.
struct Frames<I>(I);

impl<I: Iterator<Item = Result<Frame<Bytes>, Infallible>> + Unpin> hyper::body::Body for Frames<I> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<I::Item>> {
        Poll::Ready(self.0.next())
    }
}

/// The next piece of an answer; `None` at its end.
async fn piece(response: &mut Response<Incoming>) -> Option<Result<Frame<Bytes>, hyper::Error>> {
    in_time("a piece", response.frame()).await
}

async fn text(response: &mut Response<Incoming>) -> String {
    let data = piece(response).await.unwrap().unwrap().into_data().unwrap();
    String::from_utf8(data.to_vec()).unwrap()
}

/// Lets whoever waits in the module go on.
async fn next(laptop: &Laptop) -> Answer {
    let mut connection = open(laptop, Protocol::H1).await;
    connection.send(request(Protocol::H1, Method::POST, "localhost", "/next", whole(""))).await.unwrap()
}

/// Waits until the module has seen what `words` say.
async fn told(laptop: &Laptop, words: &str) {
    wait_for(&format!("the module says {words:?}"), async || {
        let told = laptop.get("/told").await.text();
        if told.contains(words) { Ok(()) } else { Err(told) }
    })
    .await;
}

/// The most memory that the engine has had, in bytes.
async fn peak(laptop: &Laptop) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", laptop.pid(Role::Engine).await)).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

async fn up(laptop: &Laptop, protocol: Protocol, mib: usize) -> String {
    let body = sent(mib, Bytes::from_static(&[7; MIB]));
    let mut asked = request(protocol, Method::POST, "localhost", "/up", body);
    asked.headers_mut().insert("trailer", HeaderValue::from_static("x-sum"));
    open(laptop, protocol).await.send(asked).await.unwrap().text()
}

async fn down(laptop: &Laptop, protocol: Protocol, mib: usize) -> usize {
    let asked = get(protocol, &format!("/down/{}", mib * MIB));
    let mut response = open(laptop, protocol).await.begin(asked).await.unwrap();
    let mut taken = 0;
    while let Some(frame) = piece(&mut response).await {
        taken += frame.unwrap().into_data().unwrap().len();
    }
    taken
}

/// A gibibyte up and another down, by both protocols, within a few MiB.
async fn a_gib_each_way(laptop: &Laptop) {
    for protocol in BOTH {
        // What is needed once is not what is counted.
        up(laptop, protocol, 8).await;
        down(laptop, protocol, 8).await;
        let before = peak(laptop).await;
        assert_eq!(up(laptop, protocol, 1024).await, format!("{} x-sum=7", 1024 * MIB), "{protocol:?}");
        assert_eq!(down(laptop, protocol, 1024).await, 1024 * MIB, "{protocol:?}");
        // The kernel adds up what each thread has, and not at once: it may be less.
        let grown = peak(laptop).await.saturating_sub(before);
        assert!(grown < 6 * MIB, "{protocol:?}: {grown} bytes more at the peak");
    }
}

#[tokio::test]
async fn a_gib_goes_up_and_another_down_within_a_few_mib() {
    let shop = Workshop::new();
    a_gib_each_way(&start(&shop).await).await;
}

#[tokio::test]
async fn events_arrive_as_they_are_made_and_for_longer_than_an_answer_may_take_to_begin() {
    let shop = Workshop::new();
    let laptop = start_within(&shop, "1s").await;
    for protocol in BOTH {
        let mut events = open(&laptop, protocol).await.begin(get(protocol, "/events")).await.unwrap();
        let began = tokio::time::Instant::now();
        for event in 0..4 {
            // The next one is not made before this one is here.
            assert_eq!(text(&mut events).await, format!("data: {event}\n\n"), "{protocol:?}");
            // Over the whole of them the module's time limit passes, which is for the head alone.
            tokio::time::timeout_at(began + Duration::from_millis(400) * event, events.frame())
                .await
                .unwrap_err();
            next(&laptop).await;
        }
        drop(events);
        told(&laptop, "alive 0 why 1").await;
    }
}

/// So much comes back while more of it is sent.
async fn mebibytes_come_back(laptop: &Laptop, mib: usize) {
    let asked =
        request(Protocol::H2c, Method::POST, "localhost", "/echo", sent(mib, Bytes::from_static(&[7; MIB])));
    let mut response = open(laptop, Protocol::H2c).await.begin(asked).await.unwrap();
    let mut taken = 0;
    while let Some(frame) = piece(&mut response).await {
        taken += frame.unwrap().into_data().unwrap().len();
    }
    assert_eq!(taken, mib * MIB);
}

#[tokio::test]
async fn bodies_go_both_ways_at_once() {
    let shop = Workshop::new();
    mebibytes_come_back(&start(&shop).await, 64).await;
}

/// An answer's trailers, announced where HTTP/1.1 wants it.
async fn a_sum_follows(laptop: &Laptop) {
    for protocol in BOTH {
        let mut asked = get(protocol, "/sum");
        asked.headers_mut().insert("te", HeaderValue::from_static("trailers"));
        let mut answer = open(laptop, protocol).await.begin(asked).await.unwrap();
        assert_eq!(text(&mut answer).await, "one");
        let trailers = piece(&mut answer).await.unwrap().unwrap().into_trailers().unwrap();
        assert_eq!(trailers.len(), 1, "{protocol:?}: {trailers:?}");
        assert_eq!(trailers["x-sum"], "3", "{protocol:?}");
        assert!(piece(&mut answer).await.is_none(), "{protocol:?}");
    }
}

#[tokio::test]
async fn trailers_follow_where_the_protocol_has_them() {
    let shop = Workshop::new();
    a_sum_follows(&start(&shop).await).await;
}

#[tokio::test]
async fn head_gets_no_stream() {
    let shop = Workshop::new();
    let laptop = start(&shop).await;
    for protocol in BOTH {
        let mut connection = open(&laptop, protocol).await;
        let asked = request(protocol, Method::HEAD, "localhost", "/down/9", whole(""));
        let answer = connection.send(asked).await.unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, ""), "{protocol:?}");
    }
    told(&laptop, "alive 0").await;
}

#[tokio::test]
async fn what_http_forbids_is_refused() {
    let shop = Workshop::new();
    let laptop = start(&shop).await;
    let malformed =
        ["name", "value", "two-lengths", "no-length", "false-length", "first-too-long", "trailer-value"];
    for what in malformed {
        assert_eq!(laptop.get(&format!("/refused/{what}")).await.text(), "-1", "{what}");
    }
    assert_eq!(laptop.get("/refused/upgrade").await.text(), "-4", "nothing was offered");
}
