//! A Hotbay module that uses what its host offers: log, metrics, time, and what is known of a request.
//!
//! ```console
//! $ curl -H 'traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' http://127.0.0.1:8880/services/order/book
//! $ curl http://127.0.0.1:8880/services/sleep/50
//! $ curl http://127.0.0.1:8880/services/costs
//! $ curl http://127.0.0.1:8881/metrics
//! ```
//! It writes with the crates `log` and `tracing`, and sets up neither.

mod costs;

use std::time::{Duration, Instant};

use hotbay_sdk::metrics::{Counter, Gauge, Histogram};
use hotbay_sdk::time::sleep;
use hotbay_sdk::{Config, ConfigError, Request, Response, handler, module};
use serde_json::json;

const BUILD: &str = if cfg!(feature = "second") { "second" } else { "first" };

static ASLEEP: Gauge = Gauge::new("services_asleep", "Requests that sleep.");
static SLEPT: Histogram =
    Histogram::new("services_slept_seconds", "How long requests slept.", &[0.01, 0.1, 1.0, 10.0]);

/// What an instance has: one series for each kind that can be ordered.
struct Shop {
    orders: Vec<(&'static str, Counter)>,
}

fn create(_config: &Config) -> Result<Shop, ConfigError> {
    static ORDERS: Counter = Counter::new("services_orders_total", "Orders, by kind.");
    let orders = ["book", "lamp"].map(|kind| (kind, ORDERS.with_labels(&[("kind", kind)])));
    log::info!(build = BUILD; "the shop is open");
    Ok(Shop { orders: orders.into() })
}

/// Counts an order, and says so.
#[handler(GET, "/services/order/{kind}")]
fn order(request: Request) -> Response {
    let kind = request.param("kind").unwrap_or_default();
    let span = tracing::info_span!("order", kind);
    let _in_span = span.enter();
    let Some((_, counter)) = request.state::<Shop>().orders.iter().find(|(known, _)| *known == kind) else {
        tracing::warn!("nobody sells that");
        return Response::text("nobody sells that\n").with_status(404);
    };
    counter.inc();
    tracing::info!(user = 7, "an order was placed");
    Response::json(&json!({
        "build": BUILD,
        "peer": request.peer().map(|peer| peer.to_string()),
        "request_id": request.request_id(),
        "traceparent": request.traceparent(),
    }))
}

/// One request that sleeps, however it ends.
struct Asleep(Instant);

impl Asleep {
    fn new() -> Self {
        ASLEEP.add(1.0);
        Self(Instant::now())
    }
}

impl Drop for Asleep {
    fn drop(&mut self) {
        ASLEEP.add(-1.0);
        SLEPT.observe_duration(self.0.elapsed());
    }
}

/// Answers after so many milliseconds; the thread serves others meanwhile.
#[handler(GET, "/services/sleep/{ms}")]
async fn sleeps(request: Request<'_>) -> Response {
    let Some(ms) = request.param("ms").and_then(|ms| ms.parse().ok()) else {
        return Response::text("a number of milliseconds is wanted\n").with_status(400);
    };
    let asleep = Asleep::new();
    sleep(Duration::from_millis(ms)).await;
    Response::text(format!("{}\n", asleep.0.elapsed().as_millis()))
}

/// What calls of the host cost here, in nanoseconds.
#[handler(GET, "/services/costs")]
async fn measures(_request: Request<'_>) -> Response {
    Response::json(&costs::measure().await)
}

module! {
    handlers: [order, sleeps, measures],
    create: create,
}
