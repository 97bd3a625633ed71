//! The module under test, as an author writes it.

use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use hotbay_sdk::metrics::{Counter, Gauge, Histogram};
use hotbay_sdk::time::{now, sleep, timeout};
use hotbay_sdk::{Config, ConfigError, Request, Response, handler, module};
use tracing::Instrument as _;

/// With each crate that authors log with.
#[handler(GET, "/logs")]
fn logs(_request: Request) -> Response {
    hotbay_sdk::log::info("plain");
    hotbay_sdk::log::warn_with("with fields", &[("user", 7.into()), ("kind", "a \"book\"".into())]);
    log::info!(count = 3, name = "x", ratio = 0.5, ok = true; "by {}", "log");
    let outer = tracing::info_span!("outer", user = 7, id = 1, late = tracing::field::Empty);
    outer.record("late", "set");
    outer.in_scope(|| {
        let inner = tracing::info_span!("inner", inner = true);
        let off = tracing::debug_span!("off", hidden = 1);
        let _entered = (inner.enter(), off.enter());
        tracing::info!(user = 8, what = ?Some(1), "by {}", "tracing");
    });
    drop(outer);
    tracing::error!("after");
    Response::text("ok")
}

/// Counts how often it is formatted.
struct Costly<'c>(&'c AtomicUsize);

impl fmt::Display for Costly<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fetch_add(1, Ordering::Relaxed);
        f.write_str("costly")
    }
}

#[handler(GET, "/debugs")]
fn debugs(_request: Request) -> Response {
    let count = AtomicUsize::new(0);
    hotbay_sdk::log::debug(Costly(&count));
    log::debug!("{}", Costly(&count));
    tracing::debug_span!("only_at_debug").in_scope(|| tracing::debug!("{}", Costly(&count)));
    Response::text(count.into_inner().to_string())
}

#[handler(GET, "/spans")]
async fn spans(_request: Request<'_>) -> Response {
    let work = async {
        tracing::info!("before");
        sleep(Duration::from_millis(1)).await;
        tracing::info!("after");
        Response::text("ok")
    };
    work.instrument(tracing::info_span!("request")).await
}

static ORDERS: Counter = Counter::new("orders_total", "Orders.");
static DEPTH: Gauge = Gauge::new("depth", "Depth.");
static TOOK: Histogram = Histogram::new("took_seconds", "Took.", &[0.1, 1.0]);
static REFUSED: Counter = Counter::new("refused", "The host says no.");

struct State {
    labelled: Counter,
}

#[handler(GET, "/counts")]
fn counts(request: Request) -> Response {
    ORDERS.inc();
    request.state::<State>().labelled.add(2.0);
    DEPTH.set(5.0);
    DEPTH.add(-2.0);
    TOOK.observe_duration(Duration::from_millis(250));
    REFUSED.inc();
    Response::text("ok")
}

/// Two sleeps, of which the second is the earlier one.
#[handler(GET, "/sleeps")]
async fn sleeps(_request: Request<'_>) -> Response {
    let (mut late, mut early) =
        (pin!(sleep(Duration::from_millis(50))), pin!(sleep(Duration::from_millis(20))));
    let (mut ended, mut order) = ([false; 2], Vec::new());
    std::future::poll_fn(|context| {
        for (index, (name, sleep)) in [("50", late.as_mut()), ("20", early.as_mut())].into_iter().enumerate()
        {
            if !ended[index] && sleep.poll(context).is_ready() {
                ended[index] = true;
                order.push(name);
            }
        }
        if ended == [true; 2] { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    Response::text(order.join(" "))
}

#[handler(GET, "/times-out")]
async fn times_out(_request: Request<'_>) -> Response {
    assert_eq!(timeout(Duration::from_secs(1), async { 7 }).await, Ok(7));
    let before = now();
    match timeout(Duration::from_millis(10), std::future::pending::<()>()).await {
        Err(elapsed) if now() - before >= Duration::from_millis(10) => Response::text(elapsed.to_string()),
        other => Response::text(format!("{other:?}")),
    }
}

fn create(_config: &Config) -> Result<State, ConfigError> {
    static LABELLED: Counter = Counter::new("labelled_total", "With labels.");
    Ok(State { labelled: LABELLED.with_labels(&[("kind", "book")]) })
}

module! {
    handlers: [logs, debugs, spans, counts, sleeps, times_out],
    create: create,
}

pub const LOGS: u32 = 0;
pub const DEBUGS: u32 = 1;
pub const SPANS: u32 = 2;
pub const COUNTS: u32 = 3;
pub const SLEEPS: u32 = 4;
pub const TIMES_OUT: u32 = 5;
