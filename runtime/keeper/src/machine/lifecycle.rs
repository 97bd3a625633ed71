//! An engine's way from its start to its death.

use std::time::{Duration, Instant};

use hotbay_protocol::{DrainKind, Suspect, ToEngine, Why};

use super::{Action, Engine, Machine, Pings, Stage, Wish};
use crate::blame::{Death, Doing, Killed, culprit};
use crate::journal::Verdict;

/// The least time between a handover and one that an engine asks for.
const WANTED_FLOOR: Duration = Duration::from_secs(60);
/// A process that closed its channel is most likely exiting.
const LOST_GRACE: Duration = Duration::from_secs(1);

impl Machine {
    pub(super) fn spawn(&mut self, now: Instant, why: Why, strict: bool) {
        self.generations += 1;
        let generation = self.generations;
        tracing::info!(engine = generation, ?why, "starting engine");
        let stage = Stage::Starting { deadline: now + self.timing.ready_timeout };
        self.history.started(why);
        self.engines.push(Engine { generation, why, started: now, strict, stage, killed: None, lost: None });
        let policy = self.journal.policy(now, self.probes.verified());
        self.actions.push(Action::Spawn { generation, why, policy });
    }

    pub(super) fn on_ready(&mut self, now: Instant, generation: u64, ok: u32, failed: u32) {
        let deadline = now + self.timing.ready_timeout;
        let serving = self.active().map(|active| active.generation);
        let less = serving.map(|serving| self.board.served_less(serving, generation)).unwrap_or_default();
        let Some(engine) = self.engines.iter_mut().find(|engine| engine.generation == generation) else {
            return;
        };
        if matches!(engine.stage, Stage::Starting { .. }) && engine.killed.is_none() {
            if engine.strict && !less.is_empty() {
                let modules = less.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                tracing::error!(
                    engine = generation,
                    modules,
                    "the next engine does not serve what the old one does"
                );
                return engine.kill(Killed::ServesLess, &mut self.actions);
            }
            tracing::info!(engine = generation, ok, failed, "engine is ready");
            engine.stage = Stage::Activating { deadline };
            self.actions.push(Action::Send { generation, message: ToEngine::Activate });
        }
    }

    /// Only now is the old engine told to drain: its listener closes when another one's is open.
    pub(super) fn on_active(&mut self, now: Instant, generation: u64) {
        let Some(engine) = self.engine(generation) else { return };
        if !matches!(engine.stage, Stage::Activating { .. }) || engine.killed.is_some() {
            return;
        }
        let pings = Pings { next: now, sent: 0, unanswered: 0, unanswered_since: None };
        engine.stage = Stage::Active { since: now, pings };
        let why = engine.why;
        tracing::info!(engine = generation, ?why, "engine is active");
        self.drain_others(now, generation);
        self.absent_since = None;
        self.absent = false;
        self.trouble = None;
        self.handover.wanted = None;
        self.handover.failures = 0;
        if matches!(why, Why::Reload | Why::Wanted) {
            self.handover.last = Some(now);
            self.history.handed_over(why);
        }
        self.board.serve(generation);
        self.actions.push(Action::Report);
    }

    fn drain_others(&mut self, now: Instant, active: u64) {
        if self
            .engines
            .iter()
            .any(|other| other.generation != active && matches!(other.stage, Stage::Active { .. }))
        {
            // One drains at a time: an older one has to make room.
            for older in &mut self.engines {
                if matches!(older.stage, Stage::Draining { .. }) {
                    older.kill(Killed::Overdue, &mut self.actions);
                }
            }
        }
        self.drain_active(now, DrainKind::Graceful, self.timing.drain_timeout, Some(active));
    }

    /// Tells every active engine but `keep` to drain.
    pub(super) fn drain_active(
        &mut self,
        now: Instant,
        kind: DrainKind,
        deadline: Duration,
        keep: Option<u64>,
    ) {
        for engine in &mut self.engines {
            if Some(engine.generation) != keep && matches!(engine.stage, Stage::Active { .. }) {
                engine.stage = Stage::Draining { kill_at: now + deadline + kind.grace() };
                let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
                let message = ToEngine::Drain { kind, deadline_ms };
                self.actions.push(Action::Send { generation: engine.generation, message });
            }
        }
    }

    /// SIGHUP.
    pub(super) fn reload(&mut self, now: Instant) {
        let least = self.timing.handover_interval;
        let too_early = self.handover.last.is_some_and(|last| now.duration_since(last) < least);
        if self.stopping.is_some() || self.active().is_none() {
            tracing::warn!("no handover: there is no engine to hand over from");
        } else if self.starting().is_some() {
            tracing::warn!("no handover: one is under way");
        } else if too_early {
            tracing::warn!(
                least_secs = least.as_secs(),
                "no handover: the last one was too short a time ago"
            );
        } else {
            self.handover.wanted = Some(Wish { why: Why::Reload, due: now, strict: true });
        }
    }

    pub(super) fn on_retired(&mut self, now: Instant, generation: u64) {
        if self.active().is_some_and(|active| active.generation == generation)
            && self.handover.wanted.is_none()
        {
            tracing::info!(engine = generation, "engine wants to be replaced: too much retired code");
            self.want(now, true);
        }
    }

    /// Plans the handover that an engine asks for, not too soon after the one before.
    pub(super) fn want(&mut self, now: Instant, strict: bool) {
        let floor = WANTED_FLOOR.min(self.timing.handover_interval);
        let earliest = self.handover.last.map_or(now, |last| last + floor);
        self.handover.wanted = Some(Wish { why: Why::Wanted, due: earliest.max(now), strict });
    }

    /// One strike is enough here: a second try would block every other load for good, again.
    pub(super) fn on_loader_hangs(&mut self, now: Instant, generation: u64, suspect: Option<&Suspect>) {
        let Some(engine) = self.engines.iter_mut().find(|engine| engine.generation == generation) else {
            return;
        };
        match suspect {
            Some(suspect) => {
                tracing::error!(engine = generation, module = %suspect.key, fingerprint = suspect.fingerprint, "load hangs");
            }
            None => tracing::error!(engine = generation, "a load hangs, nobody knows whose"),
        }
        match engine.stage {
            Stage::Starting { .. } | Stage::Activating { .. } => {
                engine.kill(Killed::LoaderHung, &mut self.actions)
            }
            Stage::Active { .. } => {
                self.handover.wanted = Some(Wish { why: Why::Wanted, due: now, strict: false });
            }
            Stage::Draining { .. } => {}
        }
        if let Some(suspect) = suspect
            && self.journal.quarantine(suspect, "its load did not return") == Verdict::Quarantined
        {
            self.actions.push(Action::SaveJournal);
        }
    }

    pub(super) fn on_lost(&mut self, now: Instant, generation: u64) {
        if let Some(engine) = self.engine(generation) {
            engine.lost.get_or_insert(now + LOST_GRACE);
        }
    }

    pub(super) fn on_spawn_failed(&mut self, now: Instant, generation: u64, message: &str) {
        tracing::error!(engine = generation, message, "engine cannot be started");
        if let Some(engine) = self.remove(generation) {
            self.follow(now, &engine, message);
        }
    }

    pub(super) fn on_died(&mut self, now: Instant, generation: u64, death: &Death) {
        let Some(engine) = self.remove(generation) else { return };
        let doing = match engine.stage {
            Stage::Starting { .. } => Doing::Starting,
            Stage::Activating { .. } | Stage::Active { .. } => Doing::Serving,
            Stage::Draining { .. } => Doing::Ending,
        };
        let story = death.describe();
        let suspect = culprit(death, doing, engine.killed);
        if suspect.is_some() || doing != Doing::Ending {
            self.history.died(death.note(generation, now, suspect, engine.killed));
        }
        match suspect {
            Some(suspect) => {
                let verdict = self.journal.strike(now, suspect, &death.deed(suspect));
                let Suspect { key, fingerprint, digest, slot } = suspect;
                tracing::error!(engine = generation, module = %key, digest, fingerprint, slot, ?verdict, "engine {story} in a module's code");
                if verdict == Verdict::Quarantined {
                    self.actions.push(Action::SaveJournal);
                }
            }
            None if doing == Doing::Ending => tracing::info!(engine = generation, "engine {story}"),
            None => {
                tracing::error!(engine = generation, suspects = ?death.suspects, "engine {story}; no module is to blame")
            }
        }
        self.follow(now, &engine, &story);
    }

    fn remove(&mut self, generation: u64) -> Option<Engine> {
        let at = self.engines.iter().position(|engine| engine.generation == generation)?;
        self.board.forget(generation);
        self.probes.forget(generation);
        Some(self.engines.remove(at))
    }
}
