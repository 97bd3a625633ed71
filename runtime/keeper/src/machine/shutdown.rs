//! The end of the keeper: SIGTERM once, twice, three times.

use std::time::{Duration, Instant};

use hotbay_protocol::{DrainKind, ToEngine};

use super::{Action, Machine, Stage, Stopping};
use crate::blame::Killed;

/// What is in flight at the second signal has this long.
const SHORT: Duration = Duration::from_secs(2);

impl Machine {
    /// The first signal drains, the second hurries, the third kills.
    pub(super) fn terminate(&mut self, now: Instant) {
        match &mut self.stopping {
            None => self.begin_stop(now),
            Some(stopping) => {
                stopping.signals += 1;
                stopping.drain_at = None;
                if stopping.signals == 2 { self.hurry(now) } else { self.kill_all() }
            }
        }
    }

    fn begin_stop(&mut self, now: Instant) {
        tracing::info!(delay_ms = self.timing.shutdown_delay.as_millis(), "stopping");
        self.stopping = Some(Stopping { drain_at: Some(now + self.timing.shutdown_delay), signals: 1 });
        for engine in self.engines.iter_mut().filter(|engine| engine.is_starting()) {
            engine.kill(Killed::Overdue, &mut self.actions);
        }
    }

    fn hurry(&mut self, now: Instant) {
        tracing::info!("second signal: closing idle connections");
        self.actions.push(Action::CloseListener);
        let deadline_ms = u64::try_from(SHORT.as_millis()).unwrap_or(u64::MAX);
        for engine in self.engines.iter_mut().filter(|engine| !engine.is_starting()) {
            // One that drains already is told again, by shorter terms.
            engine.stage = Stage::Draining { kill_at: now + SHORT + DrainKind::Short.grace() };
            let message = ToEngine::Drain { kind: DrainKind::Short, deadline_ms };
            self.actions.push(Action::Send { generation: engine.generation, message });
        }
    }

    fn kill_all(&mut self) {
        tracing::warn!("third signal: killing engines");
        for engine in &mut self.engines {
            engine.kill(Killed::Overdue, &mut self.actions);
        }
    }

    pub(super) fn turn_stopping(&mut self, now: Instant) {
        let due = |stopping: &mut Stopping| stopping.drain_at.take_if(|due| *due <= now).is_some();
        if self.stopping.as_mut().is_some_and(due) {
            // First, so that whoever comes while engines close theirs is refused at once.
            self.actions.push(Action::CloseListener);
            self.drain_active(now, DrainKind::Graceful, self.timing.drain_timeout, None);
        }
    }
}
