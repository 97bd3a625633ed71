//! The running operator: watches in, index in the middle, look-ups and writes out.
//!
//! Owns every task. A watch that ends, or any task that panics, ends the process: a restart is safer than an operator that is deaf in one
//! ear. Work waits for a permit, so that a thousand modules applied at once are neither a thousand requests to a registry nor to the API server.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, anyhow};
use hotbay_logs::Level;
use hotbay_registry::{
    AddressPolicy, Client as Registry, Observer, Options, Room, RoomBytes, Shares, Waiters,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, mpsc, watch as state};
use tokio::task::{AbortHandle, JoinError, JoinSet};

use crate::args::{Args, OrNothing};
use crate::blobs::{ApiServer, Blobs, Cache};
use crate::events::{Teller, teller};
use crate::index::{Action, Event, Figures, Index};
use crate::look_up::LookUps;
use crate::metrics::{Metrics, Queue};
use crate::serve::{bind, serve};
use crate::shared_source::SharedSource;
use crate::watch::{self, Events};
use crate::write::Writer;
use crate::{health, metrics};

// A list of 1,000 modules arrives in one go; events beyond this wait in their watches.
const EVENTS: usize = 1024;
/// References that are asked for at a time, of one registry host and of all: most are one small request. One host that does not answer keeps its
/// own waiting; it takes eight of them to keep everybody waiting, and then for no longer than the half minute after which each is given up.
const LOOK_UPS: (u32, u32) = (4, 32);
/// Fetches at a time, of one host and of all, for look-ups; and as many more for pods that lack a blob. Memory is bounded by [`ROOM`].
const FETCHES: (u32, u32) = (2, 16);
/// For look-ups. At a pool's default limit an artifact has 128 MiB at most, and most have one or two: beside one of the largest, from a host that
/// takes its time, there is place for all of the others. What archives hold takes as much as one of the largest. With [`REFILL_ROOM`]
/// that is 384 of the chart's 512 MiB, which leaves what two compressors take at their best level, and the index.
const ROOM: RoomBytes = RoomBytes { arriving: 192 << 20, of_host: 128 << 20, unpacked: 128 << 20 };
/// For pods that lack a blob: of all hosts and of one, in bytes.
const REFILL_ROOM: (u64, u64) = (64 << 20, 32 << 20);
/// Writes at a time; the API server's fairness gives a service account about as much.
const WRITES: usize = 32;

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// When the cluster's configuration cannot be read, the health port not be bound, or a task ends that must not.
pub async fn run(args: Args, level: Level) -> anyhow::Result<()> {
    let Args {
        default_runtime,
        registry_mirrors,
        insecure_registries,
        health_listen,
        metrics_listen,
        blobs_listen,
        cache_dir,
        cache_size,
        log: _,
    } = args;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let client = Client::try_default().await.context("no way to reach the API server")?;
    let measured = Arc::new(Metrics::new());
    let requests = measured.clone();
    let waiting = fetches_of(&measured);
    let room = Room::told_to(ROOM, waiting.clone());
    let refill_room = room.beside(REFILL_ROOM.0, REFILL_ROOM.1);
    let options = Options {
        mirrors: OrNothing::some(registry_mirrors),
        insecure: OrNothing::some(insecure_registries),
        layouts: false,
        addresses: AddressPolicy { refuse_loopback: true },
        room: room.clone(),
        observer: Observer::new(move |method, status| requests.asked_registry(method, status)),
        ..Options::default()
    };
    let refill_registry = Registry::new(Options { room: refill_room.clone(), ..options.clone() });
    let (ready_tx, ready_rx) = state::channel(false);
    let (teller, telling) = teller(client.clone(), measured.clone());
    let writer = Writer::new(client.clone(), default_runtime.clone());
    let cache = Arc::new(Cache::open(cache_dir, cache_size.0)?);
    let fetching = || shares(FETCHES).told_to(waiting.clone());
    let source = SharedSource::new(Registry::new(options), cache.clone(), room, fetching());
    let refill_source = SharedSource::new(refill_registry, cache.clone(), refill_room, fetching());
    let mut tasks = Tasks::new(client, writer, (source, refill_source), teller, measured.clone());
    tasks.watch("events", telling);
    tasks.watch("health", serve(bind(health_listen, "health").await?, health::answers(ready_rx)));
    tasks.watch("metrics", serve(bind(metrics_listen, "metrics").await?, metrics::answers(measured)));
    let blobs = tasks.blobs(cache);
    tasks.watch("blobs", blobs.serve(bind(blobs_listen, "blobs").await?));
    tasks.watch_cluster();
    let index = Index::new(default_runtime);
    tokio::select! {
        error = tasks.work(index, &ready_tx) => Err(error),
        ended = level.follow_signals() => Err(anyhow!("the task for log signals ended: {ended:?}")),
        _ = terminate.recv() => stopped("SIGTERM"),
        _ = interrupt.recv() => stopped("SIGINT"),
    }
}

/// What is under way is left: every write is whole by itself, and the next operator finds what there is.
fn stopped(signal: &str) -> anyhow::Result<()> {
    tracing::info!(signal, "hotbay-operator stops");
    Ok(())
}

/// How a task ended.
enum Ended {
    /// It did its work.
    Done,
    /// It should have gone on for ever.
    Watch(&'static str),
}

struct Tasks {
    client: Client,
    writer: Writer,
    refill_source: Arc<SharedSource<Registry>>,
    teller: Teller,
    metrics: Arc<Metrics>,
    events_tx: Events,
    events_rx: mpsc::Receiver<Event>,
    set: JoinSet<Ended>,
    places: BTreeMap<String, Vec<AbortHandle>>,
    look_ups: Arc<LookUps<SharedSource<Registry>>>,
    writes: Arc<Semaphore>,
}

impl Tasks {
    fn new(
        client: Client,
        writer: Writer,
        (source, refill_source): (SharedSource<Registry>, SharedSource<Registry>),
        teller: Teller,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (queue, events_rx) = mpsc::channel(EVENTS);
        let events_tx = Events { queue, metrics: metrics.clone() };
        let look_ups = LookUps::new(source, shares(LOOK_UPS), metrics.clone());
        Self {
            client,
            writer,
            refill_source: Arc::new(refill_source),
            teller,
            metrics,
            events_tx,
            events_rx,
            set: JoinSet::new(),
            places: BTreeMap::new(),
            look_ups: Arc::new(look_ups),
            writes: Arc::new(Semaphore::new(WRITES)),
        }
    }

    fn watch(&mut self, what: &'static str, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        self.set.spawn(async move {
            task.await;
            Ended::Watch(what)
        })
    }

    /// The blob service.
    fn blobs(&self, cache: Arc<Cache>) -> Blobs<mpsc::Sender<Event>, ApiServer, SharedSource<Registry>> {
        let (catalog, source) = (self.events_tx.queue.clone(), self.refill_source.clone());
        let metrics = self.metrics.blob_service.clone();
        Blobs::new(self.client.clone(), catalog, cache, source, metrics)
    }

    fn watch_cluster(&mut self) {
        let (client, events) = (self.client.clone(), self.events_tx.clone());
        self.watch("HandlerModules", watch::modules(client.clone(), events.clone()));
        self.watch("RuntimePools", watch::pools(client.clone(), events.clone()));
        self.watch("RuntimeReports", watch::reports(client.clone(), events.clone()));
        self.watch("Namespaces", watch::namespaces(client, events));
    }

    /// Takes events in and does what the index says, until a task ends that must not; gives the reason.
    async fn work(&mut self, mut index: Index, ready: &state::Sender<bool>) -> anyhow::Error {
        let mut batch = Vec::new();
        loop {
            let wake = index.next_wake();
            tokio::select! {
                // Never zero: this side holds a sender too.
                _ = self.events_rx.recv_many(&mut batch, EVENTS) => {}
                () = sleep_until(wake) => {}
                Some(ended) = self.set.join_next() => match judge(ended) {
                    Ok(()) => continue,
                    Err(error) => return error,
                },
            }
            let now = Instant::now();
            batch.drain(..).for_each(|event| index.handle(event, now));
            let actions = index.decide(now, &Time(Timestamp::now()));
            self.metrics.decided(now.elapsed());
            actions.into_iter().for_each(|action| self.perform(action));
            self.measure(index.take_figures());
            ready.send_if_modified(|ready| {
                !std::mem::replace(ready, index.is_complete()) && index.is_complete()
            });
        }
    }

    fn perform(&mut self, action: Action) {
        let events = self.events_tx.clone();
        match action {
            Action::LookUp(request) => {
                let look_ups = self.look_ups.clone();
                self.set.spawn(async move {
                    let looked_up = look_ups.look_up(&request).await;
                    // Nobody listens any more only when the process ends.
                    drop(events.queue.send(Event::LookedUp(request.key, request.ticket, looked_up)).await);
                    Ended::Done
                });
            }
            Action::Write(target, write) => {
                let (writer, permits) = (self.writer.clone(), self.writes.clone());
                let metrics = self.metrics.clone();
                metrics.queue_moves(Queue::Writes, 1);
                self.set.spawn(async move {
                    // Never closed, so there is always a permit in the end.
                    let _permit = permits.acquire_owned().await;
                    metrics.queue_moves(Queue::Writes, -1);
                    let (operation, began) = (write.operation(), Instant::now());
                    let written = writer.write(&target, *write).await;
                    metrics.wrote(target.kind(), operation, written.outcome(), began.elapsed());
                    drop(events.queue.send(Event::Written(target, written)).await);
                    Ended::Done
                });
            }
            Action::Watch(namespace) => self.watch_place(namespace),
            Action::Tell(notice) => self.teller.tell(notice),
            Action::Unwatch(namespace) => {
                let watches = self.places.remove(&namespace).unwrap_or_default();
                watches.iter().for_each(AbortHandle::abort);
            }
        }
    }

    /// Takes the figures of a round of decisions to where they are read.
    fn measure(&self, figures: Figures) {
        let Figures { pools, blobs, shared_look_ups } = figures;
        pools.iter().for_each(|(pool, figures)| self.metrics.pool_is(pool, figures.as_ref()));
        blobs.iter().for_each(|(namespace, stored)| self.metrics.blobs_in(namespace, *stored));
        self.metrics.shared_look_ups(shared_look_ups);
        self.metrics.queue_is(Queue::Events, self.events_rx.len());
    }

    fn watch_place(&mut self, namespace: String) {
        let (client, events) = (self.client.clone(), self.events_tx.clone());
        tracing::info!(namespace, "a pool's namespace is watched");
        let watches = vec![
            self.watch("entries", watch::entries(client.clone(), namespace.clone(), events.clone())),
            self.watch("blobs", watch::blobs(client.clone(), namespace.clone(), events.clone())),
            self.watch("EndpointSlices", watch::slices(client, namespace.clone(), events)),
        ];
        self.places.insert(namespace, watches);
    }
}

/// Who waits for a share or for room is in the queue of fetches.
fn fetches_of(metrics: &Arc<Metrics>) -> Waiters {
    let metrics = metrics.clone();
    Waiters::new(move |by| metrics.queue_moves(Queue::Fetches, by))
}

fn shares((of_host, of_all): (u32, u32)) -> Shares {
    Shares::new(of_host, of_all)
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake.into()).await,
        None => std::future::pending().await,
    }
}

/// Whether the operator may go on after a task ended so.
fn judge(ended: Result<Ended, JoinError>) -> anyhow::Result<()> {
    match ended {
        Ok(Ended::Done) => Ok(()),
        Ok(Ended::Watch(what)) => Err(anyhow!("the task for {what} ended")),
        // A watch of a namespace without pools was stopped.
        Err(error) if error.is_cancelled() => Ok(()),
        Err(error) => Err(anyhow!(error).context("a task panicked")),
    }
}
