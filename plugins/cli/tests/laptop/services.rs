//! What a module has of its host, seen from outside: log lines, figures on /metrics, sleeps.

use std::ffi::OsStr;
use std::net::SocketAddr;

use hotbay_e2e::http::{Answer, Connection, Protocol, get, request, whole};
use hotbay_e2e::laptop::{Laptop, Role, free_address, send};
use hotbay_e2e::modules;
use hotbay_e2e::wait::wait_for;
use http::{HeaderValue, Method};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::workshop::{HOTBAY, Workshop};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const ORDERS: &str = r#"services_orders_total{module="local/services",kind="book"}"#;

/// A run with one worker that logs JSON and serves the first build.
async fn start(shop: &Workshop) -> (Laptop, SocketAddr) {
    let admin = free_address();
    let folder = shop.modules();
    let args: [&OsStr; 1] = [folder.as_ref()];
    shop.drop_in("libservices.so", &modules::services());
    let laptop = Laptop::spawn_with(HOTBAY.as_ref(), &args, |command| {
        command
            .env("HOTBAY_ADMIN_LISTEN", admin.to_string())
            .env("HOTBAY_LOG_FORMAT", "json")
            .env("HOTBAY_WORKERS", "1")
    });
    laptop.ready().await;
    laptop.active("local/services").await;
    (laptop, admin)
}

/// A GET with headers.
async fn ask(laptop: &Laptop, path: &str, headers: &[(&'static str, &str)]) -> Answer {
    let mut connection = Connection::open(laptop.address, Protocol::H1).await.unwrap();
    let mut asked = request(Protocol::H1, Method::GET, &laptop.address.to_string(), path, whole(""));
    for (name, value) in headers {
        asked.headers_mut().append(*name, HeaderValue::from_str(value).unwrap());
    }
    connection.send(asked).await.unwrap()
}

async fn order(laptop: &Laptop) -> Value {
    let answer = ask(laptop, "/services/order/book", &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// The value of a sample; 0 if there is none.
async fn metric(admin: SocketAddr, sample: &str) -> f64 {
    let text = get(admin, "/metrics").await.unwrap().text();
    let value = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or(0.0)
}

/// Waits until a sample has this value: a page may be a moment old.
async fn stands_at(admin: SocketAddr, sample: &str, value: f64) {
    wait_for(&format!("{sample} is {value}"), async || match metric(admin, sample).await {
        now if now == value => Ok(()),
        now => Err(format!("it is {now}")),
    })
    .await;
}

/// Lines of modules whose message is this.
fn said(laptop: &Laptop, message: &str) -> Vec<Value> {
    let lines = laptop.lines();
    let lines = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["target"] == "module" && line["message"] == message).collect()
}

#[tokio::test]
async fn a_line_of_a_module_has_its_fields_and_tells_the_request_and_its_trace() {
    let shop = Workshop::new();
    let (laptop, _admin) = start(&shop).await;
    let traceparent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let headers = [("traceparent", &traceparent[..]), ("x-request-id", "order-1")];
    let answer = ask(&laptop, "/services/order/book", &headers).await.json();
    assert_eq!((&answer["request_id"], &answer["traceparent"]), (&json!("order-1"), &json!(traceparent)));
    let peer: SocketAddr = answer["peer"].as_str().unwrap().parse().unwrap();
    assert!(peer.ip().is_loopback() && peer.port() != laptop.address.port(), "{peer}");
    let line = wait_for("the line is there", async || {
        said(&laptop, "an order was placed").pop().ok_or_else(|| "no line says so".to_owned())
    })
    .await;
    let of = |name: &str| line[name].clone();
    assert_eq!(
        json!({"level": of("level"), "module": of("module"), "origin": of("origin"), "request_id": of("request_id"),
            "trace_id": of("trace_id"), "fields": of("fields")}),
        json!({"level": "INFO", "module": "local/services", "origin": "services", "request_id": "order-1",
            "trace_id": TRACE, "fields": {"user": 7, "kind": "book", "span": "order"}}),
    );
    // Without a client's words, the host makes up an id, and module and log know the same.
    let forged =
        ask(&laptop, "/services/order/lamp", &[("x-request-id", "{\"level\":\"ERROR\"}")]).await.json();
    let made_up = forged["request_id"].as_str().unwrap().to_owned();
    assert_eq!((made_up.len(), &forged["traceparent"]), (32, &Value::Null));
    wait_for("its line is there", async || {
        let lines = said(&laptop, "an order was placed");
        let found = lines.iter().any(|line| line["request_id"] == made_up && line.get("trace_id").is_none());
        if found { Ok(()) } else { Err(format!("{lines:?}")) }
    })
    .await;
    // What is said in create has no request, and is the module's all the same.
    let opened = said(&laptop, "the shop is open").remove(0);
    assert_eq!(
        (&opened["module"], &opened["fields"]),
        (&json!("local/services"), &json!({"build": "first"}))
    );
    assert!(opened.get("request_id").is_none());
}

#[tokio::test]
async fn a_modules_counter_never_falls_over_swaps_handovers_and_kills() {
    let shop = Workshop::new();
    let (laptop, admin) = start(&shop).await;
    assert_eq!(order(&laptop).await["build"], "first");
    order(&laptop).await;
    stands_at(admin, ORDERS, 2.0).await;
    let page = get(admin, "/metrics").await.unwrap().text();
    let head = "# HELP services_orders_total Orders, by kind.\n# TYPE services_orders_total counter\n";
    assert!(page.contains(head), "{page}");
    shop.drop_in("libservices.so", &modules::services_second());
    // The second build counts on.
    let mut counted = 2.0;
    wait_for("the second build serves", async || {
        counted += 1.0;
        match &order(&laptop).await["build"] {
            build if build == "second" => Ok(()),
            build => Err(build.to_string()),
        }
    })
    .await;
    stands_at(admin, ORDERS, counted).await;
    for engine in 2..=3 {
        match engine {
            2 => send(laptop.pid(Role::Engine).await, Signal::KILL),
            _ => laptop.signal(Role::Keeper, Signal::HUP).await,
        }
        wait_for("the next engine serves", async || {
            let now = metric(admin, ORDERS).await;
            assert!(now >= counted, "{now} after {counted}");
            if laptop.report().engine >= engine { Ok(()) } else { Err(format!("{:?}", laptop.report())) }
        })
        .await;
        laptop.answers("/services/order/book", 200).await;
        counted += 1.0;
        stands_at(admin, ORDERS, counted).await;
    }
}

#[tokio::test]
async fn a_handler_that_sleeps_holds_no_thread_and_its_gauge_falls_when_the_client_leaves() {
    let shop = Workshop::new();
    let (laptop, admin) = start(&shop).await;
    let slept: u64 = laptop.answers("/services/sleep/50", 200).await.text().trim().parse().unwrap();
    assert!(slept >= 50, "{slept} ms");
    const ASLEEP: &str = r#"services_asleep{module="local/services"}"#;
    let address = laptop.address;
    let sleeper = tokio::spawn(async move { get(address, "/services/sleep/9000").await });
    stands_at(admin, ASLEEP, 1.0).await;
    // There is one worker.
    assert_eq!(order(&laptop).await["build"], "first");
    assert!(!sleeper.is_finished(), "it still sleeps");
    sleeper.abort();
    stands_at(admin, ASLEEP, 0.0).await;
    stands_at(admin, r#"services_slept_seconds_count{module="local/services"}"#, 2.0).await;
}

#[tokio::test]
async fn calls_of_the_host_are_measured() {
    let shop = Workshop::new();
    let (laptop, _admin) = start(&shop).await;
    let costs = laptop.answers("/services/costs", 200).await.json();
    // Neither side is optimised here, so that the figures say nothing; that each is there does.
    for call in ["now", "wake", "log_off", "tracing_off", "counter_inc", "histogram_observe"] {
        assert!(costs[call].as_f64().is_some_and(|ns| ns > 0.0), "{call} in {costs}");
    }
    eprintln!("nanoseconds a call of the host, without optimisation: {costs}");
}
