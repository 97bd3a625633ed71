//! Which writes are under way, and which must wait before they are tried again.
//!
//! Owns the rule that an object has one write at a time, the back-off after a failed one, and the pace of pools' statuses.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hotbay_api::EntryKey;

use super::actions::Target;

/// The first pause after a failed write, and the longest: an API server that was away is back within half a minute.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Counts of a pool change with each report of each pod; one write a second says enough.
const POOL_STATUS_PAUSE: Duration = Duration::from_secs(1);

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Succeeded,
    /// The next try may well succeed: the API server was away, or somebody else was quicker.
    Failed,
    /// The API server will not have it, and will hardly think better of it soon.
    Refused,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Schedule {
    targets: BTreeMap<Target, State>,
}

#[derive(Debug, Default)]
struct State {
    under_way: bool,
    failures: u32,
    /// The last try was refused for what it is.
    refused: bool,
    not_before: Option<Instant>,
}

impl Schedule {
    /// Takes the right to write `target`, if it may be written now.
    pub fn begin(&mut self, target: &Target, now: Instant) -> bool {
        if !self.may(target, now) {
            return false;
        }
        self.targets.entry(target.clone()).or_default().under_way = true;
        true
    }

    /// Whether `target` may be written now.
    pub fn may(&self, target: &Target, now: Instant) -> bool {
        self.targets
            .get(target)
            .is_none_or(|state| !state.under_way && state.not_before.is_none_or(|at| at <= now))
    }

    /// Whether `target` is being written, and did not fail before.
    pub fn is_first_try(&self, target: &Target) -> bool {
        self.targets.get(target).is_some_and(|state| state.under_way && state.failures == 0)
    }

    /// Whether the last try to write `target` was refused.
    pub fn is_refused(&self, target: &Target) -> bool {
        self.targets.get(target).is_some_and(|state| state.refused)
    }

    /// The modules whose entries are being written.
    pub fn entries_under_way(&self) -> impl Iterator<Item = &EntryKey> {
        self.targets.iter().filter(|(_, state)| state.under_way).filter_map(|(target, _)| match target {
            Target::Entry(_, key) => Some(key),
            _ => None,
        })
    }

    /// Forgets how writes went that nobody wants any more: one that is wanted again begins anew.
    pub fn forget(&mut self, is_over: impl Fn(&Target) -> bool) {
        self.targets.retain(|target, state| state.under_way || !is_over(target));
    }

    /// A write of `target` is done.
    pub fn done(&mut self, target: &Target, outcome: Outcome, now: Instant) {
        let state = self.targets.entry(target.clone()).or_default();
        state.under_way = false;
        state.refused = outcome == Outcome::Refused;
        if outcome == Outcome::Succeeded {
            state.failures = 0;
            state.not_before = matches!(target, Target::PoolStatus(_)).then(|| now + POOL_STATUS_PAUSE);
        } else {
            state.not_before = Some(now + back_off(FIRST_PAUSE, LONGEST_PAUSE, state.failures));
            state.failures += 1;
        }
        if state.not_before.is_none() {
            self.targets.remove(target);
        }
    }

    /// Whether any pause is over; forgets those that are, but for how often each failed.
    pub fn woken(&mut self, now: Instant) -> Vec<Target> {
        let over = |state: &State| state.not_before.is_some_and(|at| at <= now);
        let woken: Vec<Target> =
            self.targets.iter().filter(|(_, state)| over(state)).map(|(target, _)| target.clone()).collect();
        for target in &woken {
            if let Some(state) = self.targets.get_mut(target) {
                state.not_before = None;
            }
        }
        self.targets.retain(|_, state| state.under_way || state.failures > 0 || state.not_before.is_some());
        woken
    }

    /// When the next pause is over.
    pub fn next_wake(&self) -> Option<Instant> {
        self.targets.values().filter(|state| !state.under_way).filter_map(|state| state.not_before).min()
    }
}

/// Doubles from `first` to `longest`.
pub fn back_off(first: Duration, longest: Duration, failures: u32) -> Duration {
    first.saturating_mul(1 << failures.min(20)).min(longest)
}
