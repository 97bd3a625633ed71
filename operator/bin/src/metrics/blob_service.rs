//! What the blob service counts and measures.
//!
//! Owns the series of the blob service. What a pod asks for is never a label.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Counters, Durations, network_seconds};

/// See the module.
#[derive(Clone)]
pub struct BlobService {
    requests: Counters<1>,
    sent_bytes: Counter,
    cache_looks: Counters<1>,
    refills: Durations<1>,
    connections: Gauge,
    connections_closed: Counters<1>,
}

/// Why the service itself closed a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// There were as many as there may be.
    Full,
    /// Its address had as many as one may have.
    Address,
    /// Its peer took what it had asked for too slowly.
    Slow,
    /// It had lasted too long.
    Long,
}

impl BlobService {
    pub(super) fn new() -> Self {
        Self {
            requests: Family::default(),
            sent_bytes: Counter::default(),
            cache_looks: Family::default(),
            refills: Family::new_with_constructor(network_seconds),
            connections: Gauge::default(),
            connections_closed: Family::default(),
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "blob_requests",
            "Requests to the blob service by the answer's status",
            self.requests.clone(),
        );
        registry.register(
            "blob_sent_bytes",
            "What the blob service handed to its connections of blobs",
            self.sent_bytes.clone(),
        );
        registry.register(
            "blob_cache_looks",
            "Blobs that were asked for and looked for in the cache (hit, miss)",
            self.cache_looks.clone(),
        );
        registry.register(
            "blob_refill_duration_seconds",
            "Fetches of blobs that the cache lacked, by outcome (fetched, failed)",
            self.refills.clone(),
        );
        registry.register(
            "blob_connections",
            "Connections to the blob service that are open",
            self.connections.clone(),
        );
        registry.register(
            "blob_connections_closed",
            "Connections that the blob service refused (full, address) or cut (slow, long)",
            self.connections_closed.clone(),
        );
    }

    /// A request was answered so.
    pub fn answered(&self, status: u16) {
        self.requests.get_or_create(&[("code", status.to_string().into())]).inc();
    }

    /// So much of a blob was handed to its connection.
    pub fn sent(&self, bytes: usize) {
        self.sent_bytes.inc_by(bytes as u64);
    }

    /// The cache had a blob that was asked for, or not.
    pub fn looked(&self, hit: bool) {
        let outcome = if hit { "hit" } else { "miss" };
        self.cache_looks.get_or_create(&[("outcome", outcome.into())]).inc();
    }

    /// A fetch of a blob ended.
    pub fn refilled(&self, fetched: bool, took: Duration) {
        let outcome = if fetched { "fetched" } else { "failed" };
        self.refills.get_or_create(&[("outcome", outcome.into())]).observe(took.as_secs_f64());
    }

    /// So many connections are open.
    pub fn connections_are(&self, open: usize) {
        self.connections.set(open.try_into().unwrap_or(i64::MAX));
    }

    /// A connection was refused or cut.
    pub fn closed(&self, why: Closed) {
        let why = match why {
            Closed::Full => "full",
            Closed::Address => "address",
            Closed::Slow => "slow",
            Closed::Long => "long",
        };
        self.connections_closed.get_or_create(&[("why", why.into())]).inc();
    }
}
