//! What a call of the host costs.
//!
//! Owns the loops. Their own cost is in the figures: one or two nanoseconds where the module is optimised.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::hint::black_box;
use std::task::Poll;
use std::time::Instant;

use hotbay_sdk::metrics::{Counter, Histogram};
use hotbay_sdk::time::now;

/// Some milliseconds for each: long enough for the clock, short enough for a request.
const ROUNDS: u32 = 100_000;
/// Of these the best is told: the others were disturbed.
const TRIES: u32 = 5;

static COUNTED: Counter = Counter::new("services_costs_total", "Counted to see what that costs.");
static OBSERVED: Histogram =
    Histogram::new("services_costs_observed", "Observed to see what that costs.", &[0.1, 1.0, 10.0]);

/// Nanoseconds a call, by what is called.
pub async fn measure() -> BTreeMap<&'static str, f64> {
    let mut costs = BTreeMap::new();
    // Wakes of a call that is being polled: it is polled once more afterwards, however many there were.
    let wake = poll_fn(|context| Poll::Ready(best(|| context.waker().wake_by_ref()))).await;
    costs.insert("wake", wake);
    costs.insert(
        "now",
        best(|| {
            black_box(now());
        }),
    );
    costs.insert("log_off", best(|| log::trace!("nobody reads {}", black_box(1))));
    costs.insert("tracing_off", best(|| tracing::trace!(number = black_box(1), "nobody reads")));
    costs.insert("counter_inc", best(|| COUNTED.inc()));
    costs.insert("histogram_observe", best(|| OBSERVED.observe(black_box(0.5))));
    costs
}

fn best(mut call: impl FnMut()) -> f64 {
    let one_try = |_| {
        let began = Instant::now();
        (0..ROUNDS).for_each(|_| call());
        began.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS)
    };
    (0..TRIES).map(one_try).fold(f64::INFINITY, f64::min)
}
