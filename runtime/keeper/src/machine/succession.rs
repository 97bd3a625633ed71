//! Who follows an engine that is gone, and when.

use std::time::{Duration, Instant};

use hotbay_api::{Reason, Trouble};

use super::{ABSENCE, Action, Engine, Machine, Stage, Wish};
use crate::blame::Killed;

/// An engine that served this long has come up well: its death starts the next one at once.
const STABLE: Duration = Duration::from_secs(1);
/// Deaths are counted for as long as strikes against modules are.
const DEATHS_WINDOW: Duration = Duration::from_secs(60);
/// An engine that came up well, again and again, waits at most this long: meanwhile nobody serves.
const STABLE_DELAY: Duration = Duration::from_secs(1);

impl Machine {
    /// Decides what comes after an engine that is gone.
    pub(super) fn follow(&mut self, now: Instant, gone: &Engine, story: &str) {
        if let Stage::Active { .. } = gone.stage {
            self.absent_since = Some(now);
            self.handover.wanted = None;
        }
        if self.stopping.is_some()
            || matches!(gone.stage, Stage::Draining { .. })
            || self.starting().is_some()
        {
            return;
        }
        if self.active().is_some() {
            self.retry_handover(now, gone, story);
            return;
        }
        let served = match gone.stage {
            Stage::Active { since, .. } => now.duration_since(since),
            _ => Duration::ZERO,
        };
        let early = if served >= STABLE { 0 } else { self.restart.early_deaths + 1 };
        self.restart.early_deaths = early;
        story.clone_into(&mut self.restart.story);
        let deaths = &mut self.restart.deaths;
        deaths.push_back(now);
        while deaths.front().is_some_and(|&death| now.duration_since(death) > DEATHS_WINDOW) {
            deaths.pop_front();
        }
        // One that serves for a moment and dies, for ever, must not take the whole machine.
        let again = u32::try_from(deaths.len() - 1).unwrap_or(u32::MAX);
        let delay = restart_delay(early.max(again));
        let delay = if early == 0 { delay.min(STABLE_DELAY) } else { delay };
        self.restart.due = Some(now + delay);
        if early > 1 {
            let message =
                format!("{early} engines in a row ended soon after their start: the last one {story}");
            self.set_trouble(Reason::Crashed, message);
        }
    }

    /// Has the report say that nobody serves, once that is no blink any more.
    pub(super) fn notice_absence(&mut self, now: Instant) {
        let long = |since: Instant| now.duration_since(since) >= ABSENCE;
        if self.absent || !self.absent_since.is_some_and(long) {
            return;
        }
        self.absent = true;
        let deaths = self.restart.deaths.len();
        let message = format!(
            "no engine serves; {deaths} ended lately, the last one {}; the next one starts",
            self.restart.story
        );
        self.set_trouble(Reason::Crashed, message);
    }

    fn retry_handover(&mut self, now: Instant, gone: &Engine, story: &str) {
        self.handover.failures += 1;
        self.history.handover_failures += 1;
        let delay = handover_delay(self.handover.failures);
        self.handover.wanted = Some(Wish { why: gone.why, due: now + delay, strict: gone.strict });
        let delay_secs = delay.as_secs();
        tracing::error!(engine = gone.generation, delay_secs, "handover failed; the old engine serves on");
        let story = match gone.killed {
            Some(Killed::NotReady) => "was not ready in time",
            Some(Killed::LoaderHung) => "hung in a load",
            Some(Killed::ServesLess) => "could not serve everything that is served now",
            _ => story,
        };
        let message = format!("the next engine {story}; the old one serves on, next try in {delay_secs} s");
        self.set_trouble(Reason::HandoverFailed, message);
    }

    fn set_trouble(&mut self, reason: Reason, message: String) {
        self.trouble = Some(Trouble { reason, message });
        self.actions.push(Action::Report);
    }
}

/// How long the next engine waits after `early` deaths in a row soon after the start: 0, 0, 100 ms, 1 s, doubled up to 10 s.
fn restart_delay(early: u32) -> Duration {
    match early {
        0 | 1 => Duration::ZERO,
        2 => Duration::from_millis(100),
        more => Duration::from_secs(1 << (more - 3).min(4)).min(Duration::from_secs(10)),
    }
}

/// How long the next try waits after so many failures in a row: 1 s, doubled up to 5 min.
fn handover_delay(failures: u32) -> Duration {
    Duration::from_secs(1 << failures.saturating_sub(1).min(9)).min(Duration::from_secs(300))
}
