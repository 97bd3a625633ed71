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
use hotbay_registry::{AddressPolicy, Client as Registry, Observer, Options};
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
use crate::look_up::look_up;
use crate::metrics::{Metrics, Queue};
use crate::serve::{bind, serve};
use crate::shared_source::SharedSource;
use crate::watch::{self, Events};
use crate::write::Writer;
use crate::{health, metrics};

// A list of 1,000 modules arrives in one go; events beyond this wait in their watches.
const EVENTS: usize = 1024;
/// Look-ups at a time: most are one small request.
const LOOK_UPS: usize = 8;
/// Artifacts in memory at a time, from fetch to compression. At the default limit one has 128 MiB and a layer of 64 MiB that is just
/// unpacked; two of them and the index fit into the chart's 512 MiB.
const ARTIFACTS: usize = 2;
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
    let registry = Registry::new(Options {
        mirrors: OrNothing::some(registry_mirrors),
        insecure: OrNothing::some(insecure_registries),
        layouts: false,
        addresses: AddressPolicy { refuse_loopback: true },
        observer: Observer::new(move |method, status| requests.asked_registry(method, status)),
        ..Options::default()
    });
    let (ready_tx, ready_rx) = state::channel(false);
    let (teller, telling) = teller(client.clone(), measured.clone());
    let writer = Writer::new(client.clone(), default_runtime.clone());
    let cache = Arc::new(Cache::open(cache_dir, cache_size.0)?);
    let source = SharedSource::new(registry, cache.clone());
    let mut tasks = Tasks::new(client, writer, source, teller, measured.clone());
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
    source: Arc<SharedSource<Registry>>,
    teller: Teller,
    metrics: Arc<Metrics>,
    events_tx: Events,
    events_rx: mpsc::Receiver<Event>,
    set: JoinSet<Ended>,
    places: BTreeMap<String, Vec<AbortHandle>>,
    look_ups: Arc<Semaphore>,
    artifacts: Arc<Semaphore>,
    writes: Arc<Semaphore>,
}

impl Tasks {
    fn new(
        client: Client,
        writer: Writer,
        source: SharedSource<Registry>,
        teller: Teller,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (queue, events_rx) = mpsc::channel(EVENTS);
        let events_tx = Events { queue, metrics: metrics.clone() };
        Self {
            client,
            writer,
            source: Arc::new(source),
            teller,
            metrics,
            events_tx,
            events_rx,
            set: JoinSet::new(),
            places: BTreeMap::new(),
            look_ups: Arc::new(Semaphore::new(LOOK_UPS)),
            artifacts: Arc::new(Semaphore::new(ARTIFACTS)),
            writes: Arc::new(Semaphore::new(WRITES)),
        }
    }

    fn watch(&mut self, what: &'static str, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        self.set.spawn(async move {
            task.await;
            Ended::Watch(what)
        })
    }

    /// The blob service. It shares the registry client, and how many artifacts may be in memory.
    fn blobs(&self, cache: Arc<Cache>) -> Blobs<mpsc::Sender<Event>, ApiServer, SharedSource<Registry>> {
        let (catalog, source) = (self.events_tx.queue.clone(), self.source.clone());
        Blobs::new(self.client.clone(), catalog, cache, source, self.artifacts.clone())
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
                let (source, artifacts) = (self.source.clone(), self.artifacts.clone());
                let metrics = self.metrics.clone();
                self.spawn(Queue::LookUps, self.look_ups.clone(), async move {
                    let began = Instant::now();
                    let looked_up = look_up(&request, &*source, &artifacts).await;
                    metrics.looked_up(looked_up.found.outcome(), began.elapsed());
                    // Nobody listens any more only when the process ends.
                    drop(events.queue.send(Event::LookedUp(request.key, request.ticket, looked_up)).await);
                });
            }
            Action::Write(target, write) => {
                let writer = self.writer.clone();
                let metrics = self.metrics.clone();
                self.spawn(Queue::Writes, self.writes.clone(), async move {
                    let (operation, began) = (write.operation(), Instant::now());
                    let written = writer.write(&target, *write).await;
                    metrics.wrote(target.kind(), operation, written.outcome(), began.elapsed());
                    drop(events.queue.send(Event::Written(target, written)).await);
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

    fn spawn(
        &mut self,
        queue: Queue,
        permits: Arc<Semaphore>,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        let metrics = self.metrics.clone();
        metrics.queue_moves(queue, 1);
        self.set.spawn(async move {
            // Never closed, so there is always a permit in the end.
            let _permit = permits.acquire_owned().await;
            metrics.queue_moves(queue, -1);
            work.await;
            Ended::Done
        });
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
