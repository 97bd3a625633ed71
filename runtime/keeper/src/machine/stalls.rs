//! Modules that hold an engine's threads.
//!
//! The engine has judged and acted; the keeper counts, tells the others, and keeps it for those to come.

use std::time::Instant;

use hotbay_protocol::{Demoted, ToEngine};

use super::{Action, Machine};

impl Machine {
    pub(super) fn on_demoted(&mut self, generation: u64, demoted: &Demoted) {
        if !self.journal.demote(demoted) {
            return;
        }
        self.actions.push(Action::SaveJournal);
        // One that was started a moment ago had its POLICY before this was known.
        for other in self.engines.iter().filter(|other| other.generation != generation) {
            let message = ToEngine::Demote(demoted.clone());
            self.actions.push(Action::Send { generation: other.generation, message });
        }
    }

    /// Builds that held them run on the pool of the next engine, so it cannot come to this for the same cause again.
    pub(super) fn on_workers_held(&mut self, now: Instant, generation: u64) {
        if self.active().is_some_and(|active| active.generation == generation)
            && self.handover.wanted.is_none()
        {
            tracing::warn!(engine = generation, "engine wants to be replaced: modules hold all its threads");
            // It serves nobody while they do, so its successor need not serve everything.
            self.want(now, false);
        }
    }

    /// No blocking handler of anybody is served any more; all else is, so the successor has to serve as much.
    pub(super) fn on_pool_held(&mut self, now: Instant, generation: u64) {
        if self.active().is_some_and(|active| active.generation == generation)
            && self.handover.wanted.is_none()
        {
            tracing::warn!(
                engine = generation,
                "engine wants to be replaced: calls that nobody waits for any more hold all its blocking threads"
            );
            self.want(now, true);
        }
    }
}
