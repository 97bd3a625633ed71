//! Conditions as a list that is built anew each time.
//!
//! Owns the transition time: it changes with `status` and with nothing else.

use hotbay_api::condition::{self, find};
use hotbay_api::{Condition, ConditionStatus, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::Class;
use crate::refusal::shortened;

/// The longest message: a status is written often and read in a terminal.
const MAX_MESSAGE_BYTES: usize = 1024;

pub(super) struct Conditions<'a> {
    pub(super) generation: i64,
    pub(super) previous: &'a [Condition],
    pub(super) now: &'a Time,
    pub(super) list: Vec<Condition>,
}

impl<'a> Conditions<'a> {
    pub(super) fn new(generation: i64, previous: &'a [Condition], now: &'a Time) -> Self {
        Self { generation, previous, now, list: Vec::new() }
    }

    pub(super) fn set(
        &mut self,
        kind: &str,
        status: ConditionStatus,
        reason: Reason,
        message: impl Into<String>,
    ) {
        let since = find(self.previous, kind).filter(|condition| condition.status == status);
        self.list.push(Condition {
            kind: kind.to_owned(),
            status,
            observed_generation: self.generation,
            last_transition_time: since.map_or(self.now, |condition| &condition.last_transition_time).clone(),
            reason,
            message: shortened(&message.into(), MAX_MESSAGE_BYTES),
        });
    }

    pub(super) fn set_true(&mut self, kind: &str, reason: Reason, message: impl Into<String>) {
        self.set(kind, ConditionStatus::True, reason, message);
    }

    pub(super) fn set_false(&mut self, kind: &str, reason: Reason, message: impl Into<String>) {
        self.set(kind, ConditionStatus::False, reason, message);
    }

    /// Says in kstatus' words that the work is not done, and whether it goes on by itself.
    pub(super) fn unfinished(&mut self, class: Class, reason: Reason, message: impl Into<String>) {
        let kind = match class {
            Class::Waiting => condition::RECONCILING,
            Class::Stalled => condition::STALLED,
        };
        self.set_true(kind, reason, message);
    }
}
