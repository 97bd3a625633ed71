//! The engine's control loop: hears keeper, bay and preparations, and has everything follow.
//!
//! Owns the order in which things happen: a table is published before it is reported, READY is said once, a draining engine removes but never
//! loads. Runs on a thread of its own, so that requests cannot hold it up, nor it them.

mod changes;
mod ending;
mod publish;
mod stalls;

use std::collections::{BTreeSet, HashMap};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use hotbay_api::{Digest, EntryKey, Trouble};
use hotbay_bay::Scan;
use hotbay_loader::{Hang, Instance, Loader};
use hotbay_protocol::{EngineMemory, Images, MAX_MODULES, ToEngine, ToKeeper, Want, Why};
use tokio::sync::mpsc;

use crate::link::Link;
use crate::modules::{Failure, Job, Modules};
use crate::prepare::{Handlers, Prepared, Preparer};
use crate::serve::Server;
use crate::stall::Finding;
use crate::told::Told;

/// How often hanging loads are looked for and failed starts are tried again.
const TICK: Duration = Duration::from_millis(250);
/// Retired images that may stay mapped: at 260 to 943 KiB each (facts: native modules) some 30 MiB.
const RETIRED_BUDGET: usize = 64;
/// How long the first engine's READY waits for modules that do not settle, or a bay that is not there. Whoever comes later is served from then on.
const PATIENCE: Duration = Duration::from_secs(20);
/// The same after a crash, when nobody serves meanwhile: so long the keeper stays ready without an engine.
const CRASH_PATIENCE: Duration = Duration::from_secs(2);

/// How long this engine waits with READY for modules that take their time. One that follows an engine that serves waits until everything is
/// settled: it has nothing to win by serving less, and the keeper's own patience ends it.
fn patience(why: Why) -> Option<Duration> {
    match why {
        Why::Crash => Some(CRASH_PATIENCE),
        Why::First => Some(PATIENCE),
        Why::Reload | Why::Wanted => None,
    }
}

/// What serves, as the table sees it.
struct Serving {
    instance: Arc<Instance>,
    handlers: Arc<Handlers>,
    in_flight: Arc<AtomicU32>,
}

type Done = (Job, Result<Prepared, Failure>);

pub(crate) struct Control {
    link: Arc<Link>,
    loader: Arc<Loader>,
    preparer: Arc<Preparer>,
    server: Arc<Server>,
    listener: Option<TcpListener>,
    memory: EngineMemory,
    modules: Modules<Serving>,
    trouble: Option<Trouble>,
    rows: HashMap<EntryKey, usize>,
    told: Told,
    begun: bool,
    /// Something was heard that may ask for more than what is under way.
    stirred: bool,
    /// Problems of files that are no entry's, as last told.
    strays: BTreeSet<String>,
    ready_by: Option<Instant>,
    ready: bool,
    draining: bool,
    wanted: bool,
    /// The keeper knows that all threads are held.
    told_held: bool,
    /// It knows that those of the pool are.
    told_pool: bool,
    done_tx: mpsc::UnboundedSender<Done>,
    done: mpsc::UnboundedReceiver<Done>,
}

impl Control {
    pub fn new(
        link: Arc<Link>,
        loader: Arc<Loader>,
        preparer: Arc<Preparer>,
        server: Server,
        listener: TcpListener,
        memory: EngineMemory,
        why: Why,
    ) -> Self {
        // Unbounded, but for each entry at most one job is under way.
        let (done_tx, done) = mpsc::unbounded_channel();
        Self {
            link,
            loader,
            preparer,
            server: Arc::new(server),
            listener: Some(listener),
            memory,
            // Only after a crash is nobody serving, and somebody waiting.
            modules: Modules::new(why == Why::Crash),
            trouble: None,
            rows: HashMap::new(),
            told: Told::default(),
            begun: false,
            stirred: false,
            strays: BTreeSet::new(),
            ready_by: patience(why).map(|patience| Instant::now() + patience),
            ready: false,
            draining: false,
            wanted: false,
            told_held: false,
            told_pool: false,
            done_tx,
            done,
        }
    }

    /// Runs until the engine has drained and its modules have stopped, or its keeper is gone.
    pub async fn run(
        mut self,
        mut messages: mpsc::Receiver<ToEngine>,
        mut scans: mpsc::Receiver<Scan>,
        mut findings: mpsc::UnboundedReceiver<Finding>,
    ) {
        let mut tick = tokio::time::interval(TICK);
        loop {
            // The bay waits for POLICY: nothing is loaded before it is known what must not be.
            let begun = self.begun;
            let mut dirty = false;
            tokio::select! {
                message = messages.recv() => match message {
                    None => return,
                    Some(ToEngine::Drain { kind, deadline_ms }) => {
                        self.draining = true;
                        return self.end(kind, Duration::from_millis(deadline_ms), messages, scans).await;
                    }
                    Some(message) => dirty |= self.hear(message),
                },
                Some(scan) = scans.recv(), if begun => dirty |= self.take_scan(&scan),
                Some(finding) = findings.recv() => dirty |= self.take_finding(finding),
                Some(done) = self.done.recv() => dirty |= self.take_done(done),
                _ = tick.tick() => {
                    self.watch();
                    self.watch_pool();
                }
            }
            // Everything that is there already goes into the same table.
            while let Ok(done) = self.done.try_recv() {
                dirty |= self.take_done(done);
            }
            self.follow(dirty);
        }
    }

    /// Whether the table has to change.
    fn hear(&mut self, message: ToEngine) -> bool {
        match message {
            ToEngine::Policy { quarantined, verified, crashed, demoted } => {
                self.link.trust(verified);
                self.modules.quarantine(quarantined);
                self.modules.hold(crashed, Instant::now());
                for demoted in demoted {
                    self.modules.demote(demoted);
                }
                self.begun = true;
                self.stirred = true;
            }
            ToEngine::Demote(demoted) => return self.take_demoted(demoted),
            ToEngine::Activate => self.activate(),
            ToEngine::Probed(probe) => self.link.probed(probe),
            ToEngine::Ping(number) => self.link.send(&ToKeeper::Pong(number)),
            ToEngine::Hello { .. } | ToEngine::Drain { .. } | ToEngine::Log { .. } => {
                tracing::warn!("the keeper repeats itself")
            }
        }
        false
    }

    fn activate(&mut self) {
        let Some(listener) = self.listener.take() else { return };
        match self.server.activate(listener) {
            Ok(()) => self.link.send(&ToKeeper::Active),
            // Without ACTIVE the keeper keeps the old engine.
            Err(error) => tracing::error!(%error, "failed to begin accepting"),
        }
    }

    /// Brings everything in line with what was heard: jobs, table, report, READY.
    fn follow(&mut self, dirty: bool) {
        let now = Instant::now();
        if std::mem::take(&mut self.stirred) || self.modules.is_due(now) {
            self.decide(dirty, now);
        }
        let over = self.ready_by.is_some_and(|by| by <= now);
        if !self.ready && self.begun && (over || self.modules.is_settled()) {
            self.ready = true;
            if self.modules.is_read() {
                self.sweep_stage();
            }
            let (ok, failed) = self.told.count();
            self.link.send(&ToKeeper::Ready { ok, failed });
        }
    }

    fn decide(&mut self, dirty: bool, now: Instant) {
        let mut dirty = dirty;
        if self.begun && !self.draining {
            let (jobs, changed) = self.modules.decide(now);
            dirty |= changed || !jobs.is_empty();
            if !jobs.is_empty() {
                self.preparer.set_named(self.named());
            }
            jobs.into_iter().for_each(|job| self.prepare(job));
        }
        if dirty {
            self.publish();
        }
        self.report(dirty);
    }

    /// Removes what earlier engines have staged and nobody asks for any more.
    fn sweep_stage(&self) {
        self.preparer.set_named(self.named());
        let preparer = Arc::clone(&self.preparer);
        tokio::task::spawn_blocking(move || preparer.sweep_stage());
    }

    /// The builds that entries name.
    fn named(&self) -> BTreeSet<Digest> {
        let revisions = self.modules.entries().flat_map(|entry| &entry.revisions);
        revisions.flat_map(|revision| revision.blobs.iter().map(|blob| blob.digest)).collect()
    }

    fn prepare(&mut self, job: Job) {
        let row = self.row(&job.key);
        let memory = self.memory.clone();
        let (preparer, done) = (Arc::clone(&self.preparer), self.done_tx.clone());
        tokio::spawn(async move {
            let result = preparer.prepare(&job, row, &memory).await;
            // The loop is gone only when the process ends.
            let _ = done.send((job, result));
        });
    }

    /// The module's row in the engine's memory; 0 is shared by all that come after the last.
    fn row(&mut self, key: &EntryKey) -> usize {
        let next = self.rows.len() + 1;
        if let Some(&row) = self.rows.get(key) {
            return row;
        }
        if next >= MAX_MODULES {
            return 0;
        }
        self.memory.name_module(next, key);
        self.rows.insert(key.clone(), next);
        next
    }

    /// Tells the keeper how many images are mapped; how many of them nobody uses.
    fn count_images(&self) -> usize {
        let (mapped, retired) = self.loader.images();
        self.memory.set_images(Images { mapped: mapped as u64, retired: retired as u64 });
        retired
    }

    /// Looks for calls that do not return, and for too much retired code.
    fn watch(&mut self) {
        match self.loader.watch() {
            Some(Hang::Linker) => self.link.send(&ToKeeper::Want(Want::LoaderHangs)),
            Some(Hang::Module { mark, overdue }) => self.tell_overdue(mark, overdue),
            None => {}
        }
        if self.count_images() > RETIRED_BUDGET && !self.wanted {
            self.wanted = true;
            self.link.send(&ToKeeper::Want(Want::Retired));
        }
    }
}
