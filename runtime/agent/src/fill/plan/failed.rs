//! Something that did not go well, and when it is tried again.
//!
//! Owns how failures in a row count, and which of them are worth waiting for.

use std::time::Instant;

use hotbay_api::{Reason, Trouble};

use super::progress::PATIENCE;
use crate::fill::backoff;

#[derive(Clone)]
pub(super) struct Failed {
    pub why: Option<Trouble>,
    tries: u32,
    /// When it failed first.
    pub since: Instant,
    pub retry_at: Instant,
}

impl Failed {
    /// A failure after `last`, if that is not the first.
    pub fn after(last: Option<&Self>, why: Option<Trouble>, seed: u64, now: Instant) -> Self {
        let tries = last.map_or(0, |last| last.tries);
        let since = last.map_or(now, |last| last.since);
        Self { why, tries: tries + 1, since, retry_at: now + backoff(tries, seed) }
    }

    pub fn lacks_room(&self) -> bool {
        self.why.as_ref().is_some_and(|why| why.reason == Reason::NoSpace)
    }

    /// Whether there is nothing more to wait for: what may pass is given some time.
    pub fn is_final(&self, now: Instant) -> bool {
        let may_pass = self.why.as_ref().is_none_or(|why| why.reason == Reason::Incomplete);
        !may_pass || now >= self.since + PATIENCE
    }
}
