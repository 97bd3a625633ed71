//! A config changes while calls of the old instance are under way (`tests/modules/drains.c`): they end by the old one, and only then it is stopped.

use std::path::Path;

use hotbay_e2e::http::{Connection, Protocol, get, request, whole};
use hotbay_e2e::laptop::Laptop;
use hotbay_e2e::wait::in_time;
use http::Method;
use http_body_util::BodyExt as _;

use crate::workshop::{Workshop, compile, yaml};

const OLD: &str = r#"{"text":"old"}"#;
const NEW: &str = r#"{"text":"new"}"#;

fn set(shop: &Workshop, config: &str) {
    let spec = format!("config: {config}, timeouts: {{request: 10m}}");
    shop.save("drains.yaml", &yaml("drains", "drains:1.0", &spec));
}

async fn start(shop: &Workshop) -> Laptop {
    let module = shop.layout().with_file_name("drains.so");
    compile(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/modules/drains.c"), &module);
    shop.push(&module, "drains:1.0").await;
    set(shop, OLD);
    let laptop = shop.run().await;
    laptop.serves("/config", OLD).await;
    laptop
}

/// Lets the call of this handler end.
async fn end(laptop: &Laptop, what: &str) {
    let mut connection = Connection::open(laptop.address, Protocol::H1).await.unwrap();
    let path = format!("/end/{what}");
    let asked = request(Protocol::H1, Method::POST, "localhost", &path, whole(""));
    assert_eq!(connection.send(asked).await.unwrap().status, 200);
}

fn has_stopped(laptop: &Laptop) -> bool {
    laptop.lines().iter().any(|line| line.contains("stopped "))
}

#[tokio::test]
async fn calls_under_way_end_by_the_old_config_and_only_then_it_stops() {
    let shop = Workshop::new();
    let laptop = start(&shop).await;
    let address = laptop.address;
    let mut streaming = Connection::open(address, Protocol::H2c).await.unwrap();
    let asked = request(Protocol::H2c, Method::GET, "localhost", "/stream", whole(""));
    let mut stream = streaming.begin(asked).await.unwrap();
    let frame = in_time("the stream begins", stream.frame()).await;
    assert_eq!(frame.unwrap().unwrap().into_data().unwrap(), OLD);
    let slow = tokio::spawn(async move { get(address, "/slow").await });
    // Both are in the module's hands.
    laptop.says(&["default/drains", "a slow call waits"]).await;

    set(&shop, NEW);
    laptop.serves("/config", NEW).await;
    assert!(!slow.is_finished() && !has_stopped(&laptop), "{:?}", laptop.lines());
    end(&laptop, "slow").await;
    let answer = in_time("the slow call ends", slow).await.unwrap().unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, OLD));
    assert_eq!(laptop.get("/config").await.text(), NEW);
    assert!(!has_stopped(&laptop), "the stream is under way: {:?}", laptop.lines());
    end(&laptop, "stream").await;
    let last = in_time("the stream ends", stream.collect()).await.unwrap();
    assert_eq!(last.to_bytes(), OLD, "it ends as it began, and whole");
    // However many there would have been: the module has counted.
    laptop.says(&["default/drains", &format!("stopped {OLD} with 0 calls")]).await;
    assert_eq!(laptop.get("/config").await.text(), NEW);
    assert_eq!(laptop.report().engine, 1, "no engine was replaced");
}
