//! What the keeper does next.
//!
//! Owns every decision: when an engine is started, activated, drained, killed; when the keeper is ready and when it is done. Pure: events
//! and the time come in, actions go out, and `run` executes them. It logs what it decides, since only it knows why.
//!
//! ```text
//!            READY            ACTIVE               next one ACTIVE, SIGTERM
//! Starting ────────► Activating ────────► Active ──────────────────────────► Draining ──► gone
//! ```
//! At most one engine is Active and one Draining, and while a handover runs one more is Starting or Activating. Whatever ends an engine, its
//! death alone removes it: a kill is a wish, too.

mod deadlines;
mod event;
mod lifecycle;
mod shutdown;
mod stalls;
mod succession;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hotbay_api::{Digest, EntryState, LocalReport, Trouble};
use hotbay_protocol::{ProbeOutcome, Why};

use crate::blame::Killed;
use crate::board::Board;
use crate::history::History;
use crate::journal::Journal;
use crate::probe_queue::ProbeQueue;

pub use event::{Action, Event};

/// How long the keeper stays ready without an active engine: a crash is over sooner, and clients wait in the socket's queue.
const ABSENCE: Duration = Duration::from_secs(2);

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    pub drain_timeout: Duration,
    pub shutdown_delay: Duration,
    pub handover_interval: Duration,
    pub ready_timeout: Duration,
    pub hang_timeout: Duration,
}

/// The keeper's state.
#[derive(Debug)]
pub struct Machine {
    timing: Timing,
    /// In the order of their generations.
    engines: Vec<Engine>,
    generations: u64,
    restart: Restart,
    handover: Handover,
    stopping: Option<Stopping>,
    /// Since when there is no active engine, if there ever was one.
    absent_since: Option<Instant>,
    /// Nobody has served for so long that the report says so.
    absent: bool,
    /// What the keeper itself has to say in the report.
    trouble: Option<Trouble>,
    journal: Journal,
    probes: ProbeQueue,
    board: Board,
    history: History,
    actions: Vec<Action>,
}

#[derive(Debug)]
struct Engine {
    generation: u64,
    why: Why,
    started: Instant,
    /// Whether it must serve everything that the active one serves.
    strict: bool,
    stage: Stage,
    killed: Option<Killed>,
    /// When to kill it because its channel broke and it lives on.
    lost: Option<Instant>,
}

#[derive(Debug)]
enum Stage {
    Starting { deadline: Instant },
    Activating { deadline: Instant },
    Active { since: Instant, pings: Pings },
    Draining { kill_at: Instant },
}

#[derive(Debug)]
struct Pings {
    next: Instant,
    sent: u64,
    unanswered: u32,
    /// When the first of the unanswered was sent.
    unanswered_since: Option<Instant>,
}

/// The replacement of an engine that died.
#[derive(Debug, Default)]
struct Restart {
    due: Option<Instant>,
    /// Deaths in a row before an engine served for a while.
    early_deaths: u32,
    /// When engines died lately, however long they had served.
    deaths: VecDeque<Instant>,
    /// How the last one ended.
    story: String,
}

/// The replacement of an engine that lives.
#[derive(Debug, Default)]
struct Handover {
    wanted: Option<Wish>,
    /// When the last one succeeded.
    last: Option<Instant>,
    /// Failures in a row.
    failures: u32,
}

/// A handover to come.
#[derive(Clone, Copy, Debug)]
struct Wish {
    why: Why,
    due: Instant,
    /// Nothing is wrong with the active engine, so its successor must serve all that it serves.
    strict: bool,
}

#[derive(Debug)]
struct Stopping {
    drain_at: Option<Instant>,
    signals: u32,
}

impl Machine {
    /// A keeper that wants its first engine.
    pub fn new(timing: Timing, journal: Journal, now: Instant) -> Self {
        Self {
            timing,
            engines: Vec::new(),
            generations: 0,
            restart: Restart { due: Some(now), ..Restart::default() },
            handover: Handover::default(),
            stopping: None,
            absent_since: None,
            absent: false,
            trouble: None,
            journal,
            probes: ProbeQueue::default(),
            board: Board::default(),
            history: History::default(),
            actions: Vec::new(),
        }
    }

    /// Takes an event; what to do now.
    pub fn handle(&mut self, now: Instant, event: Event) -> Vec<Action> {
        self.apply(now, event);
        self.turn(now);
        std::mem::take(&mut self.actions)
    }

    fn apply(&mut self, now: Instant, event: Event) {
        match event {
            Event::Tick => {}
            Event::Hangup => self.reload(now),
            Event::Terminate => self.terminate(now),
            Event::Ready { generation, ok, failed } => self.on_ready(now, generation, ok, failed),
            Event::Active { generation } => self.on_active(now, generation),
            Event::Drained { generation, cut } => {
                self.history.cut += u64::from(cut);
                tracing::info!(engine = generation, cut, "engine has drained");
            }
            Event::Retired { generation } => self.on_retired(now, generation),
            Event::LoaderHangs { generation, suspect } => {
                self.on_loader_hangs(now, generation, suspect.as_ref())
            }
            Event::Stalled { key } => self.history.stalled(&key),
            Event::Demoted { generation, demoted } => self.on_demoted(generation, &demoted),
            Event::WorkersHeld { generation } => self.on_workers_held(now, generation),
            Event::PoolHeld { generation } => self.on_pool_held(now, generation),
            Event::Pong { generation } => self.on_pong(generation),
            Event::Probe { generation, digest, path } => {
                if let Some(message) = self.probes.request(generation, digest, path) {
                    self.actions.push(Action::Send { generation, message });
                }
            }
            Event::Report { generation, piece } => {
                if self.board.take(generation, piece) {
                    self.actions.push(Action::Report);
                }
            }
            Event::Lost { generation } => self.on_lost(now, generation),
            Event::SpawnFailed { generation, message } => self.on_spawn_failed(now, generation, &message),
            Event::Died { generation, death } => self.on_died(now, generation, &death),
            Event::ProbeEnded { digest, outcome } => self.on_probe_ended(digest, outcome),
        }
    }

    /// What /readyz says.
    pub fn is_ready(&self, now: Instant) -> bool {
        let absent = |since: Instant| now.duration_since(since) < ABSENCE;
        self.stopping.is_none() && (self.active().is_some() || self.absent_since.is_some_and(absent))
    }

    /// Everything is over.
    pub fn is_done(&self) -> bool {
        self.stopping.is_some() && self.engines.is_empty()
    }

    /// The journal, to be saved.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// What has happened so far.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// What engines say beside the report.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// Engines that live: generation, stage in a word, and when they were started.
    pub fn engines(&self) -> impl Iterator<Item = (u64, &'static str, Instant)> {
        self.engines.iter().map(|engine| {
            let stage = match engine.stage {
                Stage::Starting { .. } | Stage::Activating { .. } => "starting",
                Stage::Active { .. } => "active",
                Stage::Draining { .. } => "draining",
            };
            (engine.generation, stage, engine.started)
        })
    }

    /// The report as of now. The keeper's own trouble comes first: the engine's bay matters less than whether engines come up at all.
    pub fn report(&self) -> LocalReport {
        let mut report = self.board.report();
        if self.absent {
            for entry in &mut report.entries {
                entry.serving = None;
                if entry.state == EntryState::Active {
                    entry.state = EntryState::Pending;
                }
            }
        }
        LocalReport { trouble: self.trouble.clone().or(report.trouble), ..report }
    }

    fn active(&self) -> Option<&Engine> {
        self.engines.iter().find(|engine| matches!(engine.stage, Stage::Active { .. }))
    }

    /// The engine that is to be the next active one.
    fn starting(&self) -> Option<&Engine> {
        self.engines.iter().find(|engine| engine.is_starting())
    }

    fn engine(&mut self, generation: u64) -> Option<&mut Engine> {
        self.engines.iter_mut().find(|engine| engine.generation == generation)
    }

    fn on_probe_ended(&mut self, digest: Digest, outcome: ProbeOutcome) {
        if outcome != ProbeOutcome::Passed {
            tracing::warn!(digest = %digest.short(), outcome = ?outcome, "build did not pass its probe");
        }
        if let Some((engines, message)) = self.probes.end(digest, outcome) {
            let send = |generation| Action::Send { generation, message: message.clone() };
            self.actions.extend(engines.into_iter().map(send));
        }
    }
}

impl Engine {
    fn is_starting(&self) -> bool {
        matches!(self.stage, Stage::Starting { .. } | Stage::Activating { .. })
    }

    /// Asks for a kill, once.
    fn kill(&mut self, why: Killed, actions: &mut Vec<Action>) {
        if self.killed.is_none() {
            tracing::warn!(engine = self.generation, ?why, "killing engine");
            self.killed = Some(why);
            actions.push(Action::Kill { generation: self.generation });
        }
    }
}
