//! Figures of what was decided, for metrics.
//!
//! Owns their gathering, and that each is told once: what did not change since is not counted again. Must not influence any decision.

use std::collections::BTreeMap;

use hotbay_api::condition::{READY, find};
use hotbay_api::{ConditionStatus, HandlerModuleStatus, PodCounts, PoolRef, Reason};

use super::Index;

/// What is new since figures were taken last.
#[derive(Debug, Default)]
pub struct Figures {
    /// Each pool that was decided for; `None`: neither it nor a module that names it is there any more.
    pub pools: BTreeMap<PoolRef, Option<PoolFigures>>,
    /// How many blobs each pool's namespace holds, and their compressed bytes; `None`: it holds no pool any more.
    pub blobs: BTreeMap<String, Option<(usize, u64)>>,
    /// Modules whose reference was answered by another module's look-up.
    pub shared_look_ups: u64,
}

/// How a pool stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolFigures {
    /// How many modules have Ready like this, and why.
    pub modules: BTreeMap<(&'static str, Reason), u64>,
    /// Its pods; `None` if there is no such pool, or it cannot be read.
    pub pods: Option<PodCounts>,
    /// Entries to be removed that wait for consent.
    pub held_removals: usize,
}

impl PoolFigures {
    /// Counts a module with this status.
    pub fn count(&mut self, status: Option<&HandlerModuleStatus>) {
        let ready = status.and_then(|status| find(&status.conditions, READY));
        let (word, reason) = match ready {
            Some(ready) => (word(ready.status), ready.reason.clone()),
            None => (word(ConditionStatus::Unknown), Reason::Progressing),
        };
        *self.modules.entry((word, reason)).or_default() += 1;
    }
}

fn word(status: ConditionStatus) -> &'static str {
    match status {
        ConditionStatus::True => "True",
        ConditionStatus::False => "False",
        ConditionStatus::Unknown => "Unknown",
    }
}

impl Index {
    /// What is new since the last call.
    pub fn take_figures(&mut self) -> Figures {
        for namespace in std::mem::take(&mut self.uncounted) {
            let Some(place) = self.places.get(&namespace).filter(|place| place.blobs.is_complete()) else {
                continue;
            };
            let bytes = place.blobs.iter().map(|blob| blob.compressed_bytes).sum();
            self.figures.blobs.insert(namespace, Some((place.blobs.iter().count(), bytes)));
        }
        std::mem::take(&mut self.figures)
    }
}
