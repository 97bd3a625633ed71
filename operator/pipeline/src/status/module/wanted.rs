//! What the module's generation came to, and what still holds of it when nobody can look.
//!
//! Owns what is remembered from the entry in force and the last status, and the latch itself.

use hotbay_api::condition::{self, find};
use hotbay_api::{ArtifactStatus, Condition, ConditionStatus, HandlerModuleStatus, Reason, Revision};

use super::{EntryInForce, ModuleCase};
use crate::{Aspect, Class, Refusal};

impl<'a> ModuleCase<'a> {
    /// What this generation came to: by its look-up, or as far as entry and status remember.
    pub(super) fn wanted(&self) -> Option<(&'a ArtifactStatus, &'a Revision)> {
        self.wanted.or_else(|| self.remembered())
    }

    /// The entry's wanted revision, if it was written for this generation (or is frozen) and only the look-up is missing.
    fn remembered(&self) -> Option<(&'a ArtifactStatus, &'a Revision)> {
        let (refusal, previous, entry) = (self.refusal?, self.previous?, self.entry?);
        let (artifact, wanted) = (previous.artifact.as_ref()?, entry.entry.wanted()?);
        let of_this_generation = previous.observed_generation == self.generation
            && (entry.generation == self.generation || previous.serving_generation == Some(self.generation));
        let holds = is_suspension(refusal) || (of_this_generation && is_failed_look_up(refusal, artifact));
        // The status may have told of a newer artifact than the entry has.
        (holds && previous.revision.as_ref() == Some(&wanted.revision)).then_some((artifact, wanted))
    }

    /// Whether the wanted revision stays what it was though there is a refusal.
    pub(super) fn leaves_wanted(&self, refusal: &Refusal) -> bool {
        is_suspension(refusal)
            || self.wanted().is_some_and(|(artifact, _)| is_failed_look_up(refusal, artifact))
    }

    pub(super) fn is_suspended(&self) -> bool {
        self.refusal.is_some_and(is_suspension)
    }

    /// The entry, if it hands the wanted revision to the pods.
    pub(super) fn delivered(&self) -> Option<&'a EntryInForce<'a>> {
        let (_, wanted) = self.wanted()?;
        self.entry.filter(|entry| entry.entry.wanted() == Some(wanted))
    }

    /// Whether `kind` is True for this generation and for the digest that is wanted.
    pub(super) fn latched(&self, kind: &str) -> bool {
        let same_digest = |previous: &HandlerModuleStatus| {
            let digest = previous.artifact.as_ref().map(|artifact| artifact.digest);
            let newer = self
                .refusal
                .and_then(|refusal| refusal.digest)
                .filter(|digest| self.wanted().is_none_or(|(artifact, _)| artifact.digest != *digest));
            newer.is_none()
                && digest.is_some()
                && digest == self.wanted().map(|(artifact, _)| artifact.digest)
        };
        let holds = |condition: &Condition| {
            condition.status == ConditionStatus::True
                && (condition.observed_generation == self.generation || self.is_suspended())
        };
        self.previous.is_some_and(same_digest) && find(self.previous_conditions(), kind).is_some_and(holds)
    }

    pub(super) fn is_latched(&self) -> bool {
        self.latched(condition::READY)
    }
}

/// Whether the user froze the module.
pub(super) fn is_suspension(refusal: &Refusal) -> bool {
    refusal.reason == Reason::Suspended
}

/// Whether the refusal says no more than that nobody could look, so that `artifact` still is the last that is known.
fn is_failed_look_up(refusal: &Refusal, artifact: &ArtifactStatus) -> bool {
    refusal.class == Class::Waiting
        && refusal.aspect == Aspect::ArtifactReady
        && refusal.digest.is_none_or(|digest| digest == artifact.digest)
}
