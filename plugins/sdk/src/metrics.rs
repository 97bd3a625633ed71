//! Figures of the module's own, on the runtime's `/metrics` with the label `module`.
//!
//! ```
//! use hotbay_sdk::metrics::{Counter, Gauge, Histogram};
//!
//! static ORDERS: Counter = Counter::new("orders_total", "Orders that were placed.");
//! static WAITING: Gauge = Gauge::new("orders_waiting", "Orders that nobody has packed yet.");
//! static SIZE: Histogram = Histogram::new("order_items", "Items of an order.", &[1.0, 5.0, 25.0]);
//!
//! ORDERS.inc();
//! WAITING.set(3.0);
//! SIZE.observe(7.0);
//! ```
//! A metric is a static, or a value that `create` makes and the state keeps. One with labels is made from one without, once, since that costs more than to
//! count: [`Counter::with_labels`]. Each is registered when it first counts, for the HandlerModule that counts. Counters go on where they were when the
//! module is swapped, and when its engine is replaced or dies. A module has at most 256 series; what the host refuses is logged once and counts for nothing,
//! as everything does in a unit test, and in a host that knows no metrics.
//!
//! On a thread of the author's own they count as long as this build serves one HandlerModule only; on those of the instance's tokio always.

use std::ffi::c_void;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hotbay_abi::{
    self as abi, GONE, Header, METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM, READY, Str, size_of_table,
};

use crate::{host, log, owner};

/// HandlerModules of one build whose series are remembered; for later ones they are looked up each time.
const REMEMBERED: usize = 8;
/// In the place of a series' number, which begins at 1: not asked for yet, and refused.
const UNKNOWN: u64 = 0;
const REFUSED: u64 = u64::MAX;

/// Grows only.
#[derive(Debug)]
pub struct Counter(Metric);

/// Goes up and down. What it said is gone with its engine.
#[derive(Debug)]
pub struct Gauge(Metric);

/// Counts values by upper bounds.
#[derive(Debug)]
pub struct Histogram(Metric);

#[derive(Debug)]
struct Metric {
    kind: u32,
    family: &'static str,
    help: &'static str,
    buckets: &'static [f64],
    labels: Vec<(String, String)>,
    /// By the owner's number.
    series: [AtomicU64; REMEMBERED],
}

impl Counter {
    /// A counter by this name, which should end with `_total`.
    pub const fn new(name: &'static str, help: &'static str) -> Self {
        Self(Metric::new(METRIC_COUNTER, name, help, &[]))
    }

    /// The same with labels, in the place of those that it has. To be kept, not made for each count.
    #[must_use]
    pub fn with_labels(&self, labels: &[(&str, &str)]) -> Self {
        Self(self.0.with_labels(labels))
    }

    /// One more.
    #[inline]
    pub fn inc(&self) {
        self.add(1.0);
    }

    /// So many more; less than 0 counts for nothing.
    #[inline]
    pub fn add(&self, value: f64) {
        // SAFETY: a function of the host's table, which takes any number.
        self.0.with(|host, series| unsafe { (host.add)(series, value) });
    }
}

impl Gauge {
    /// A gauge by this name.
    pub const fn new(name: &'static str, help: &'static str) -> Self {
        Self(Metric::new(METRIC_GAUGE, name, help, &[]))
    }

    /// As [`Counter::with_labels`].
    #[must_use]
    pub fn with_labels(&self, labels: &[(&str, &str)]) -> Self {
        Self(self.0.with_labels(labels))
    }

    /// So many it is.
    #[inline]
    pub fn set(&self, value: f64) {
        // SAFETY: as for `Counter::add`.
        self.0.with(|host, series| unsafe { (host.set)(series, value) });
    }

    /// So many more, or less.
    #[inline]
    pub fn add(&self, value: f64) {
        // SAFETY: as for `Counter::add`.
        self.0.with(|host, series| unsafe { (host.add)(series, value) });
    }
}

impl Histogram {
    /// A histogram by this name, with upper bounds in ascending order; at most 64.
    pub const fn new(name: &'static str, help: &'static str, buckets: &'static [f64]) -> Self {
        Self(Metric::new(METRIC_HISTOGRAM, name, help, buckets))
    }

    /// As [`Counter::with_labels`].
    #[must_use]
    pub fn with_labels(&self, labels: &[(&str, &str)]) -> Self {
        Self(self.0.with_labels(labels))
    }

    /// Counts a value.
    #[inline]
    pub fn observe(&self, value: f64) {
        // SAFETY: as for `Counter::add`.
        self.0.with(|host, series| unsafe { (host.observe)(series, value) });
    }

    /// Counts a time, in seconds.
    pub fn observe_duration(&self, took: Duration) {
        self.observe(took.as_secs_f64());
    }
}

impl Metric {
    const fn new(kind: u32, family: &'static str, help: &'static str, buckets: &'static [f64]) -> Self {
        let series = [const { AtomicU64::new(UNKNOWN) }; REMEMBERED];
        Self { kind, family, help, buckets, labels: Vec::new(), series }
    }

    fn with_labels(&self, labels: &[(&str, &str)]) -> Self {
        let labels = labels.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { labels, ..Self::new(self.kind, self.family, self.help, self.buckets) }
    }

    /// Runs `change` on the series of whoever this thread works for, if there is a host that counts.
    #[inline]
    fn with(&self, change: impl FnOnce(&abi::Metrics, u64)) {
        let Some(owner) = owner::current() else { return };
        let place = self.series.get(owner.index());
        let number = match place.map_or(UNKNOWN, |place| place.load(Ordering::Relaxed)) {
            UNKNOWN => self.find(place),
            known => known,
        };
        if let (Some(host), true) = (table(), number != REFUSED) {
            change(host, number);
        }
    }

    /// Registers it, or finds that it is.
    #[cold]
    fn find(&self, place: Option<&AtomicU64>) -> u64 {
        let number = match self.register() {
            // The handle was an instance's that is gone: the next count may have a better one.
            Err(GONE) => return REFUSED,
            Err(_) => REFUSED,
            Ok(number) => number,
        };
        if let Some(place) = place {
            let first = place.swap(number, Ordering::Relaxed) == UNKNOWN;
            if first && number == REFUSED && table().is_some() {
                log::warn(format_args!("the host refuses the metric {}; it counts for nothing", self.family));
            }
        }
        number
    }

    fn register(&self) -> Result<u64, abi::Rc> {
        let (Some(host), Some(handle)) = (table(), owner::handle()) else { return Err(GONE) };
        let view = |text: &str| Str::new(text.as_bytes());
        let labels = self.labels.iter().map(|(name, value)| Header { name: view(name), value: view(value) });
        let labels: Vec<Header> = labels.collect();
        let mut number = UNKNOWN;
        // SAFETY: a function of the host's table; all that is lent lives as long as this call, and `number` may be written.
        let rc = unsafe {
            (host.register_series)(
                handle,
                self.kind,
                view(self.family),
                view(self.help),
                labels.as_ptr(),
                u32::try_from(labels.len()).unwrap_or(u32::MAX),
                self.buckets.as_ptr(),
                u32::try_from(self.buckets.len()).unwrap_or(u32::MAX),
                &mut number,
            )
        };
        if rc == READY { Ok(number) } else { Err(rc) }
    }
}

/// The host's table, if it has one that is as long as is needed here.
#[inline]
fn table() -> Option<&'static abi::Metrics> {
    /// Asked for once: an extension is there for good, or never.
    static TABLE: LazyLock<Option<&'static abi::Metrics>> = LazyLock::new(|| {
        // SAFETY: a function of the host's table, and a C string.
        let found: *const c_void = unsafe { (host::host()?.extension)(abi::METRICS_ID.as_ptr()) };
        let found = found.cast::<abi::Metrics>();
        if found.is_null() {
            return None;
        }
        // SAFETY: the table of an extension is valid for ever and begins with its size.
        let size = unsafe { (&raw const (*found).size).read() };
        // SAFETY: as above, and it has every field.
        if size >= size_of_table::<abi::Metrics>() { Some(unsafe { &*found }) } else { None }
    });
    host::host().and_then(|_| *TABLE)
}
