//! One module: what its entry names, what serves, what is under way, what has failed.
//!
//! Owns the choice between the wanted and the last good revision, and how a module is reported. Must not know the others: `modules` does.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use hotbay_api::{Digest, Entry, EntryKey, EntryReport, EntryState, Reason, Revision, Serving, Trouble};

use super::{Active, Crashed, Quarantined};

/// One entry of the bay.
pub(super) struct Module<I> {
    /// `None`: only its file's problem is known.
    pub entry: Option<Arc<Entry>>,
    /// Of the entry's revisions, in their order.
    pub fingerprints: Vec<String>,
    pub problem: Option<Trouble>,
    pub active: Option<Active<I>>,
    /// What served before it, the latest first: their last calls may be under way.
    pub former: VecDeque<Former>,
    /// The fingerprint that is being prepared.
    pub attempt: Option<String>,
    pub failed: BTreeMap<String, Failed>,
}

/// An instance that was replaced.
pub(super) struct Former {
    pub fingerprint: String,
    pub digest: Digest,
}

/// So many that were replaced are remembered. Most calls that hold a thread do so soon after they begin; a stream may outlive any number of changes, and is
/// told from a stranger no longer.
const FORMER: usize = 8;

/// Which fingerprints of a module are not to be prepared, or not yet.
pub(super) struct Barred<'b> {
    /// Never again.
    pub quarantined: &'b dyn Fn(&str) -> bool,
    /// Not while there is another one.
    pub crashed: &'b dyn Fn(&str) -> bool,
}

/// How the last try of a revision went.
pub(super) struct Failed {
    pub trouble: Trouble,
    pub retry: RetryAt,
    pub attempts: u32,
}

/// When a failed revision may be tried again.
pub(super) enum RetryAt {
    Never,
    Blobs(u64),
    Time(Instant),
}

impl Failed {
    /// When it is to be tried again by the clock.
    pub fn due(&self) -> Option<Instant> {
        if let RetryAt::Time(at) = self.retry { Some(at) } else { None }
    }
}

impl<I> Default for Module<I> {
    fn default() -> Self {
        Self {
            entry: None,
            fingerprints: Vec::new(),
            problem: None,
            active: None,
            former: VecDeque::new(),
            attempt: None,
            failed: BTreeMap::new(),
        }
    }
}

impl<I> Module<I> {
    pub fn take_entry(&mut self, entry: &Arc<Entry>) {
        if self.entry.as_ref().is_some_and(|known| Arc::ptr_eq(known, entry)) {
            return;
        }
        let named: Vec<String> = entry.revisions.iter().map(Revision::fingerprint).collect();
        // A revision that comes back after another one gets a new chance: somebody has acted.
        if self.fingerprints.first() != named.first() {
            self.failed.clear();
        }
        if self.attempt.as_ref().is_some_and(|attempt| !named.contains(attempt)) {
            self.attempt = None;
        }
        self.fingerprints = named;
        self.entry = Some(Arc::clone(entry));
    }

    /// Has the active instance follow a newer revision of the same fingerprint.
    pub fn follow(&mut self) -> bool {
        let (Some(entry), Some(active)) = (&self.entry, &mut self.active) else { return false };
        let mut named = entry.revisions.iter().zip(&self.fingerprints);
        match named.find(|(_, fingerprint)| **fingerprint == active.fingerprint) {
            Some((revision, _)) if *revision != active.revision => {
                active.revision = revision.clone();
                true
            }
            _ => false,
        }
    }

    /// Has another instance serve. True if one did before.
    pub fn activate(&mut self, active: Active<I>) -> bool {
        let Some(Active { fingerprint, digest, .. }) = self.active.replace(active) else { return false };
        self.former.push_front(Former { fingerprint, digest });
        self.former.truncate(FORMER);
        true
    }

    fn wanted(&self) -> Option<(&Revision, &str)> {
        Some((self.entry.as_ref()?.wanted()?, self.fingerprints.first()?))
    }

    fn last_good(&self) -> Option<(&Revision, &str)> {
        Some((self.entry.as_ref()?.last_good()?, self.fingerprints.get(1)?))
    }

    /// The revision to prepare: the wanted one, or the last good one if that fails and nothing serves.
    pub fn next(&self, now: Instant, blobs: u64, barred: &Barred) -> Option<(&Revision, &str)> {
        let quarantined = barred.quarantined;
        let (wanted, fingerprint) = self.wanted()?;
        let attempt = self.attempt.as_deref();
        if attempt == Some(fingerprint)
            || self.active.as_ref().is_some_and(|active| active.fingerprint == fingerprint)
        {
            return None;
        }
        let idle = self.active.is_none();
        // While nothing serves, the last good one is let come up before the wanted one gets its next chance.
        if idle && attempt.is_some() && attempt == self.last_good().map(|(_, good)| good) {
            return None;
        }
        let fallback = self.last_good().filter(|(_, good)| {
            idle && attempt.is_none() && !quarantined(good) && self.may_try(good, now, blobs)
        });
        // What ended an engine waits as long as another revision can serve: nobody is to lose a request for the same cause at once.
        let waits =
            (barred.crashed)(fingerprint) && (!idle || fallback.is_some_and(|(_, good)| good != fingerprint));
        if !quarantined(fingerprint) && !waits && self.may_try(fingerprint, now, blobs) {
            return Some((wanted, fingerprint));
        }
        fallback
    }

    /// The revision that is to serve soon where nothing does; none if nothing will before somebody acts.
    pub fn starting(&self) -> Option<&Revision> {
        let (None, Some(entry)) = (&self.active, &self.entry) else { return None };
        let waits = |fingerprint: &String| {
            let retries = |failed: &Failed| !matches!(failed.retry, RetryAt::Never);
            self.attempt.as_ref() == Some(fingerprint) || self.failed.get(fingerprint).is_some_and(retries)
        };
        let mut named = entry.revisions.iter().zip(&self.fingerprints);
        named.find(|(_, fingerprint)| waits(fingerprint)).map(|(revision, _)| revision)
    }

    /// Whether there is another revision to serve if this one cannot.
    pub fn falls_back_from(&self, fingerprint: &str, quarantined: &dyn Fn(&str) -> bool) -> bool {
        self.last_good().is_some_and(|(_, good)| good != fingerprint && !quarantined(good))
    }

    fn may_try(&self, fingerprint: &str, now: Instant, blobs: u64) -> bool {
        self.failed.get(fingerprint).is_none_or(|failed| match failed.retry {
            RetryAt::Never => false,
            RetryAt::Blobs(then) => then != blobs,
            RetryAt::Time(at) => at <= now,
        })
    }

    pub fn report(
        &self,
        key: &EntryKey,
        lost: Option<Trouble>,
        quarantined: &Quarantined,
        crashed: &Crashed,
    ) -> EntryReport {
        let (wanted, fingerprint) = self.wanted().unzip();
        let fingerprint = fingerprint.unwrap_or_default();
        let serving = self.active.as_ref().map(|active| Serving {
            revision: active.revision.revision.clone(),
            digest: active.digest,
            fingerprint: active.fingerprint.clone(),
        });
        let serves = self.active.as_ref().is_some_and(|active| active.fingerprint == fingerprint);
        let named = (key.clone(), fingerprint.to_owned());
        let held = quarantined.get(&named).map(|what| Trouble {
            reason: Reason::Quarantined,
            message: format!("{what}; it is not tried again: apply another build or config"),
        });
        let own =
            if serves { None } else { held.or_else(|| Some(self.failed.get(fingerprint)?.trouble.clone())) };
        let crash = crashed.get(&named).map(|crash| {
            let next = if serves {
                "it serves again, and is quarantined if it ends another engine within a minute".to_owned()
            } else {
                format!("the last good revision serves, and this one is tried again after {:?}", crash.pause)
            };
            Trouble { reason: Reason::Crashed, message: format!("{}; {next}", crash.message) }
        });
        let failure = self.problem.clone().or(own).or(lost).or(crash);
        let state = match (&failure, serves) {
            (Some(_), _) => EntryState::Failed,
            (None, true) => EntryState::Active,
            (None, false) => EntryState::Pending,
        };
        EntryReport {
            key: key.clone(),
            sequence: self.entry.as_ref().and_then(|entry| entry.sequence),
            state,
            wanted: wanted.map(|revision| revision.revision.clone()).unwrap_or_default(),
            serving,
            failure,
            // The whole list knows.
            notice: None,
        }
    }
}
