//! What has happened since the keeper began: starts, handovers, deaths, stalls.
//!
//! Owns counters that never fall and the last deaths, in words. Pure; `machine` notes, `admin` tells.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use hotbay_api::EntryKey;
use hotbay_protocol::Why;

/// Deaths that are told in words.
const MAX_DEATHS: usize = 20;
/// Modules whose crashes, or stalls, are counted one by one; a pool holds at most 1,000, and they come and go.
const MAX_MODULES: usize = 1000;

/// Counters and stories.
#[derive(Debug, Default)]
pub struct History {
    /// Engines started, by the reason's label.
    pub starts: BTreeMap<&'static str, u64>,
    /// Handovers that nobody's death forced, by the reason's label.
    pub handovers: BTreeMap<&'static str, u64>,
    /// Handovers after which the old engine served on.
    pub handover_failures: u64,
    /// Connections that were cut at the end of a drain.
    pub cut: u64,
    /// Engines that ended without being told to, by the module that is to blame, if one is.
    pub crashes: BTreeMap<Option<EntryKey>, u64>,
    /// How often modules held a thread that serves; `None`: modules that are too many to be counted one by one.
    pub stalls: BTreeMap<Option<EntryKey>, u64>,
    /// The last of the crashes, the newest last.
    pub deaths: VecDeque<DeathNote>,
}

/// An engine's unwanted end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeathNote {
    /// Which engine.
    pub engine: u64,
    /// When.
    pub at: Instant,
    /// The module that is to blame, if that is plain.
    pub module: Option<EntryKey>,
    /// What happened, in words.
    pub story: String,
}

impl History {
    pub fn started(&mut self, why: Why) {
        *self.starts.entry(label(why)).or_default() += 1;
    }

    pub fn handed_over(&mut self, why: Why) {
        *self.handovers.entry(label(why)).or_default() += 1;
    }

    pub fn stalled(&mut self, module: &EntryKey) {
        count(&mut self.stalls, Some(module.clone()));
    }

    pub fn died(&mut self, note: DeathNote) {
        count(&mut self.crashes, note.module.clone());
        if self.deaths.len() == MAX_DEATHS {
            self.deaths.pop_front();
        }
        self.deaths.push_back(note);
    }
}

/// Counts one more; those beyond the limit together.
fn count(counts: &mut BTreeMap<Option<EntryKey>, u64>, module: Option<EntryKey>) {
    let is_full = counts.len() >= MAX_MODULES && !counts.contains_key(&module);
    *counts.entry(module.filter(|_| !is_full)).or_default() += 1;
}

/// A reason for a start as metrics have it.
fn label(why: Why) -> &'static str {
    match why {
        Why::First => "first",
        Why::Crash => "crash",
        Why::Reload => "reload",
        Why::Wanted => "wanted",
    }
}
