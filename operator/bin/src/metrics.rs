//! What the operator counts and measures, for Prometheus.
//!
//! Owns the metrics' names and labels, together with its parts: `pools` has what is told of pools, `blob_service` what is counted there.
//! docs/metrics.md lists all of them, and a test compares the two. Labels are bounded: pools, kinds and the one list of reasons, never a
//! module, a path or an error's words. Must not decide anything, and nothing here may fail or wait.

mod blob_service;
mod pools;
mod process;
mod scrape;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::time::Duration;

use hotbay_api::{PoolRef, Reason};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::index::PoolFigures;
use pools::Pools;

pub use blob_service::{BlobService, Closed};
pub use scrape::answers;

const PREFIX: &str = "hotbay_operator";
/// From a HEAD in the same rack to a pull that is given up.
const NETWORK_SECONDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 300.0];
/// A pool of ten modules takes tens of microseconds, one of a thousand some milliseconds.
const DECISION_SECONDS: [f64; 9] = [0.0001, 0.00025, 0.001, 0.0025, 0.01, 0.025, 0.1, 0.25, 1.0];

type Word = Cow<'static, str>;
type Labels<const N: usize> = [(&'static str, Word); N];
type Counters<const N: usize> = Family<Labels<N>, Counter>;
type Gauges<const N: usize> = Family<Labels<N>, Gauge>;
type Durations<const N: usize> = Family<Labels<N>, Histogram, fn() -> Histogram>;

/// Every metric of the operator, and how they are written down.
pub struct Metrics {
    registry: Registry,
    decisions: Histogram,
    look_ups: Durations<2>,
    look_ups_shared: Counter,
    registry_requests: Counters<2>,
    writes: Durations<3>,
    pools: Pools,
    /// Of the blob service.
    pub blob_service: BlobService,
    blobs: Gauges<1>,
    blob_bytes: Gauges<1>,
    watch_lists: Counters<1>,
    watch_failures: Counters<1>,
    queue_depth: Gauges<1>,
    events: Counters<1>,
}

/// A queue whose depth is told.
#[derive(Clone, Copy, Debug)]
pub enum Queue {
    /// What happened and the index has not taken in.
    Events,
    /// Look-ups that wait for a permit.
    LookUps,
    /// Fetches that wait for a share of their host, or for room in memory.
    Fetches,
    /// Writes that wait for a permit.
    Writes,
}

/// What became of a Kubernetes event.
#[derive(Clone, Copy, Debug)]
pub enum Told {
    /// The API server has it.
    Published,
    /// The API server did not take it.
    Failed,
    /// Its object had too many.
    Limited,
    /// Too many waited.
    Dropped,
}

impl Metrics {
    /// Every metric at zero.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            decisions: Histogram::new(DECISION_SECONDS),
            look_ups: Family::new_with_constructor(network_seconds),
            look_ups_shared: Counter::default(),
            registry_requests: Family::default(),
            writes: Family::new_with_constructor(network_seconds),
            pools: Pools::default(),
            blob_service: BlobService::new(),
            blobs: Family::default(),
            blob_bytes: Family::default(),
            watch_lists: Family::default(),
            watch_failures: Family::default(),
            queue_depth: Family::default(),
            events: Family::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let mut root = Registry::default();
        root.register_collector(Box::new(process::Process));
        let registry = root.sub_registry_with_prefix(PREFIX);
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "The operator that runs", Info::new(version));
        registry.register(
            "decision_duration_seconds",
            "Rounds of decisions: all that happened since the last one, for every pool it touches",
            self.decisions.clone(),
        );
        registry.register(
            "look_up_duration_seconds",
            "Look-ups of references by outcome (same, new, refused), with the reason of a refusal",
            self.look_ups.clone(),
        );
        registry.register(
            "look_ups_shared",
            "Modules whose reference another module's look-up had just answered",
            self.look_ups_shared.clone(),
        );
        registry.register(
            "registry_requests",
            "HTTP requests to registries and their token servers, by method and the answer's status; error: no answer",
            self.registry_requests.clone(),
        );
        registry.register(
            "write_duration_seconds",
            "Writes to the API server by kind of object, operation and outcome",
            self.writes.clone(),
        );
        self.pools.register(registry);
        self.blob_service.register(registry);
        registry.register("blobs", "Blobs in ConfigMaps of a pool's namespace", self.blobs.clone());
        registry.register("blob_bytes", "What these blobs take, compressed", self.blob_bytes.clone());
        registry.register(
            "watch_lists",
            "Lists that a watch began with: the first, and one each time it had to begin anew",
            self.watch_lists.clone(),
        );
        registry.register("watch_failures", "Lists and watches that failed", self.watch_failures.clone());
        registry.register("queue_depth", "What waits, by queue", self.queue_depth.clone());
        registry.register("events", "Kubernetes events by what became of them", self.events.clone());
        self.registry = root;
    }

    /// All of them, as OpenMetrics text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }

    /// A round of decisions took so long.
    pub fn decided(&self, took: Duration) {
        self.decisions.observe(took.as_secs_f64());
    }

    /// A look-up ended so: `same`, `new`, or with the reason of its refusal.
    pub fn looked_up(&self, outcome: Result<&'static str, &Reason>, took: Duration) {
        let (outcome, reason) = match outcome {
            Ok(outcome) => (outcome, Cow::Borrowed("")),
            Err(reason) => ("refused", word(reason)),
        };
        let labels = [("outcome", outcome.into()), ("reason", reason)];
        self.look_ups.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// So many modules needed no look-up of their own.
    pub fn shared_look_ups(&self, modules: u64) {
        self.look_ups_shared.inc_by(modules);
    }

    /// A registry, or who gives tokens for it, was asked; the status of its answer.
    pub fn asked_registry(&self, method: &str, status: Option<u16>) {
        let code = status.map_or(Cow::Borrowed("error"), |status| status.to_string().into());
        self.registry_requests.get_or_create(&[("method", method.to_owned().into()), ("code", code)]).inc();
    }

    /// A write ended so.
    pub fn wrote(&self, kind: &'static str, operation: &'static str, outcome: &'static str, took: Duration) {
        let labels = [("kind", kind.into()), ("operation", operation.into()), ("outcome", outcome.into())];
        self.writes.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// A pool is like this now; `None`: it is gone.
    pub fn pool_is(&self, pool: &PoolRef, figures: Option<&PoolFigures>) {
        self.pools.tell(pool, figures);
    }

    /// So many blobs, of so many bytes, are stored in a namespace; `None`: it has no pool any more.
    pub fn blobs_in(&self, namespace: &str, stored: Option<(usize, u64)>) {
        let labels = [("namespace", namespace.to_owned().into())];
        let Some((count, bytes)) = stored else {
            self.blobs.remove(&labels);
            self.blob_bytes.remove(&labels);
            return;
        };
        self.blobs.get_or_create(&labels).set(count.try_into().unwrap_or(i64::MAX));
        self.blob_bytes.get_or_create(&labels).set(bytes.try_into().unwrap_or(i64::MAX));
    }

    /// A watch begins with a list.
    pub fn listed(&self, kind: &'static str) {
        self.watch_lists.get_or_create(&[("kind", kind.into())]).inc();
    }

    /// A watch or its list failed.
    pub fn watch_failed(&self, kind: &'static str) {
        self.watch_failures.get_or_create(&[("kind", kind.into())]).inc();
    }

    /// So much waits in a queue.
    pub fn queue_is(&self, queue: Queue, depth: usize) {
        let depth = depth.try_into().unwrap_or(i64::MAX);
        self.queue_depth.get_or_create(&[("queue", queue.name().into())]).set(depth);
    }

    /// One more waits in a queue, or one less.
    pub fn queue_moves(&self, queue: Queue, by: i64) {
        self.queue_depth.get_or_create(&[("queue", queue.name().into())]).inc_by(by);
    }

    /// A Kubernetes event was told, or not.
    pub fn told(&self, told: Told) {
        let outcome = match told {
            Told::Published => "published",
            Told::Failed => "failed",
            Told::Limited => "limited",
            Told::Dropped => "dropped",
        };
        self.events.get_or_create(&[("outcome", outcome.into())]).inc();
    }
}

impl Queue {
    fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::LookUps => "look_ups",
            Self::Fetches => "fetches",
            Self::Writes => "writes",
        }
    }
}

fn network_seconds() -> Histogram {
    Histogram::new(NETWORK_SECONDS)
}

/// A reason as a label: words of newer versions share one, since whoever writes a report could make any number of them.
fn word(reason: &Reason) -> Word {
    match reason {
        Reason::Unknown(_) => "Other".into(),
        known => known.as_str().to_owned().into(),
    }
}
