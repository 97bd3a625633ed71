//! What is due by the clock: starts, kills, pings.

use std::time::{Duration, Instant};

use hotbay_protocol::{ToEngine, Why};

use super::{Action, Machine, Pings, Stage, Timing, Wish};
use crate::blame::Killed;

const PING_INTERVAL: Duration = Duration::from_millis(250);
// If the whole pod was stopped, much time has passed without a ping sent: time alone does not make an engine hang.
const UNANSWERED_PINGS: u32 = 4;
/// Nothing here is further away than this, in case a deadline were forgotten.
const LONGEST: Duration = Duration::from_secs(1);

impl Machine {
    pub(super) fn turn(&mut self, now: Instant) {
        self.kill_overdue(now);
        self.ping(now);
        if self.stopping.is_some() {
            self.turn_stopping(now);
        } else {
            self.notice_absence(now);
            self.start_next(now);
        }
        while let Some(start) = self.probes.start() {
            self.actions.push(Action::Probe(start));
        }
    }

    fn start_next(&mut self, now: Instant) {
        if self.starting().is_some() {
            return;
        }
        if self.active().is_some() {
            if let Some(Wish { why, strict, .. }) = self.handover.wanted.take_if(|wish| wish.due <= now) {
                self.spawn(now, why, strict);
            }
        } else if self.restart.due.is_some_and(|due| due <= now) {
            self.restart.due = None;
            let why = if self.generations == 0 { Why::First } else { Why::Crash };
            self.spawn(now, why, false);
        }
    }

    fn kill_overdue(&mut self, now: Instant) {
        for engine in &mut self.engines {
            let why = match &engine.stage {
                Stage::Starting { deadline } | Stage::Activating { deadline } if *deadline <= now => {
                    Killed::NotReady
                }
                Stage::Draining { kill_at } if *kill_at <= now => Killed::Overdue,
                Stage::Active { pings, .. } if pings.hang(now, &self.timing) => Killed::Hung,
                _ if engine.lost.is_some_and(|due| due <= now) => Killed::Lost,
                _ => continue,
            };
            engine.kill(why, &mut self.actions);
        }
    }

    fn ping(&mut self, now: Instant) {
        for engine in &mut self.engines {
            if let Stage::Active { pings, .. } = &mut engine.stage
                && pings.next <= now
            {
                pings.next = now + PING_INTERVAL;
                pings.sent += 1;
                pings.unanswered += 1;
                pings.unanswered_since.get_or_insert(now);
                let message = ToEngine::Ping(pings.sent);
                self.actions.push(Action::Send { generation: engine.generation, message });
            }
        }
    }

    /// Any answer will do: the engine's plain thread lives.
    pub(super) fn on_pong(&mut self, generation: u64) {
        if let Some(engine) = self.engine(generation)
            && let Stage::Active { pings, .. } = &mut engine.stage
        {
            pings.unanswered = 0;
            pings.unanswered_since = None;
        }
    }

    /// When to call [`Self::handle`] with a tick at the latest.
    pub fn next_wake(&self, now: Instant) -> Instant {
        let engines = self.engines.iter().flat_map(|engine| {
            let stage = match &engine.stage {
                Stage::Starting { deadline } | Stage::Activating { deadline } => *deadline,
                Stage::Active { pings, .. } => pings.next,
                Stage::Draining { kill_at } => *kill_at,
            };
            // What was killed is waited for, not timed.
            let due =
                |when: Instant| if engine.killed.is_none() { when } else { when.max(now + PING_INTERVAL) };
            [Some(due(stage)), engine.lost.map(due)]
        });
        let starts = [
            self.restart.due.filter(|_| self.stopping.is_none()),
            self.handover.wanted.map(|wish| wish.due.max(now)).filter(|&due| due > now),
            self.stopping.as_ref().and_then(|stopping| stopping.drain_at),
        ];
        engines.chain(starts).flatten().fold(now + LONGEST, Instant::min)
    }
}

impl Pings {
    fn hang(&self, now: Instant, timing: &Timing) -> bool {
        self.unanswered >= UNANSWERED_PINGS
            && self.unanswered_since.is_some_and(|since| now.duration_since(since) >= timing.hang_timeout)
    }
}
