//! What every module is, and what is to be done next.
//!
//! Owns the state of each entry: what serves, what is being prepared, what has failed and when that is tried again. Pure: no I/O, no clock, no
//! instance (they are the type `I`); `control` feeds it and carries out what it decides.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hotbay_api::{Digest, Entry, EntryKey, EntryReport, EntryState, Reason, Revision, Serving, Trouble};
use hotbay_bay::Scan;
use hotbay_protocol::Quarantine;

/// The first pause before a failed start is tried again; each further one is twice as long, up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_secs(2);
const RETRY_MAX: Duration = Duration::from_secs(300);

/// Everything that the bay asks for.
pub(crate) struct Modules<I> {
    modules: BTreeMap<EntryKey, Module<I>>,
    quarantined: BTreeSet<(EntryKey, String)>,
    blobs_version: u64,
    scanned: bool,
    /// Routes that an older module has, as of the last table.
    lost: BTreeMap<EntryKey, Trouble>,
}

struct Module<I> {
    /// `None`: only its file's problem is known.
    entry: Option<Arc<Entry>>,
    problem: Option<Trouble>,
    active: Option<Active<I>>,
    /// The fingerprint that is being prepared.
    attempt: Option<String>,
    failed: BTreeMap<String, Failed>,
}

/// A revision that serves.
pub(crate) struct Active<I> {
    pub instance: I,
    pub fingerprint: String,
    pub digest: Digest,
    /// Its routes, time-outs and limits; may be newer than the instance.
    pub revision: Revision,
}

struct Failed {
    trouble: Trouble,
    retry: RetryAt,
    attempts: u32,
}

enum RetryAt {
    Never,
    Blobs(u64),
    Time(Instant),
}

/// Why a revision could not be brought to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub trouble: Trouble,
    pub retry: Retry,
}

/// Whether it is worth another try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    /// Not before the revision changes.
    Never,
    /// When a blob has come.
    Blobs,
    /// After a pause.
    Later,
}

/// What a new instance means for its module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nobody wants it any more.
    Unwanted,
    /// Nothing served before.
    Loaded,
    /// Another one served before.
    Swapped,
}

/// A revision to be prepared.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Job {
    pub key: EntryKey,
    pub fingerprint: String,
    pub revision: Revision,
}

impl Failure {
    /// A failure with the usual word on retrying for its reason.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        let retry = match reason {
            Reason::Incomplete => Retry::Blobs,
            Reason::NoSpace | Reason::StartFailed | Reason::StartTimeout | Reason::BayMissing => Retry::Later,
            _ => Retry::Never,
        };
        Self { trouble: Trouble { reason, message: message.into() }, retry }
    }
}

impl<I> Default for Modules<I> {
    fn default() -> Self {
        Self {
            modules: BTreeMap::new(),
            quarantined: BTreeSet::new(),
            blobs_version: 0,
            scanned: false,
            lost: BTreeMap::new(),
        }
    }
}

impl<I> Modules<I> {
    /// Takes over which revisions must not be loaded.
    pub fn quarantine(&mut self, quarantined: Vec<Quarantine>) {
        self.quarantined = quarantined.into_iter().map(|one| (one.key, one.fingerprint)).collect();
    }

    /// Takes over what the bay says. True if a module is gone that served.
    pub fn apply(&mut self, scan: &Scan) -> bool {
        self.scanned = true;
        self.blobs_version = scan.blobs_version;
        let problems: BTreeMap<_, _> =
            scan.problems.iter().filter_map(|problem| Some((problem.key.as_ref()?, problem))).collect();
        let before = self.modules.len();
        let mut gone_active = false;
        self.modules.retain(|key, module| {
            let kept = scan.entries.contains_key(key) || problems.contains_key(key);
            gone_active |= !kept && module.active.is_some();
            kept
        });
        tracing::debug!(before, after = self.modules.len(), "the bay was read");
        for key in scan.entries.keys().chain(problems.keys().copied()) {
            let module = self.modules.entry(key.clone()).or_default();
            if let Some(entry) = scan.entries.get(key) {
                module.take_entry(entry);
            }
            module.problem = problems
                .get(key)
                .map(|problem| Trouble { reason: problem.reason.clone(), message: problem.message.clone() });
        }
        gone_active
    }

    /// What is to be prepared now. True if a table must be built because a module's routes or limits changed.
    pub fn decide(&mut self, now: Instant) -> (Vec<Job>, bool) {
        let mut jobs = Vec::new();
        let mut changed = false;
        for (key, module) in &mut self.modules {
            changed |= module.follow();
            let quarantined = |fingerprint: &str| self.quarantined.contains(&(key.clone(), fingerprint.to_owned()));
            if let Some(revision) = module.next(now, self.blobs_version, &quarantined) {
                let fingerprint = revision.fingerprint();
                module.attempt = Some(fingerprint.clone());
                jobs.push(Job { key: key.clone(), fingerprint, revision });
            }
        }
        (jobs, changed)
    }

    /// A preparation has ended well.
    pub fn succeeded(&mut self, job: &Job, instance: I, digest: Digest) -> Change {
        let Some(module) = self.modules.get_mut(&job.key) else { return Change::Unwanted };
        if module.attempt.as_deref() != Some(&job.fingerprint) {
            return Change::Unwanted;
        }
        module.attempt = None;
        module.failed.remove(&job.fingerprint);
        let revision = job.revision.clone();
        let active = Active { instance, fingerprint: job.fingerprint.clone(), digest, revision };
        match module.active.replace(active) {
            Some(_) => Change::Swapped,
            None => Change::Loaded,
        }
    }

    /// A preparation has failed. False if it is of no interest any more.
    pub fn failed(&mut self, job: &Job, failure: Failure, now: Instant) -> bool {
        let blobs = self.blobs_version;
        let Some(module) = self.modules.get_mut(&job.key) else { return false };
        if module.attempt.as_deref() != Some(&job.fingerprint) {
            return false;
        }
        module.attempt = None;
        let attempts = module.failed.get(&job.fingerprint).map_or(0, |failed| failed.attempts) + 1;
        let pause = RETRY_MIN.saturating_mul(1 << (attempts - 1).min(16)).min(RETRY_MAX);
        let retry = match failure.retry {
            Retry::Never => RetryAt::Never,
            Retry::Blobs => RetryAt::Blobs(blobs),
            Retry::Later => RetryAt::Time(now + pause),
        };
        module.failed.insert(job.fingerprint.clone(), Failed { trouble: failure.trouble, retry, attempts });
        true
    }

    /// Notes which routes older modules have.
    pub fn set_lost(&mut self, lost: BTreeMap<EntryKey, Trouble>) {
        self.lost = lost;
    }

    /// What serves.
    pub fn active(&self) -> impl Iterator<Item = (&Arc<Entry>, &Active<I>)> {
        self.modules.values().filter_map(|module| Some((module.entry.as_ref()?, module.active.as_ref()?)))
    }

    /// The bay was read, and every entry serves or has failed.
    pub fn is_settled(&self) -> bool {
        self.scanned && self.modules.values().all(|module| module.attempt.is_none())
    }

    /// How every entry stands, sorted by key.
    pub fn reports(&self) -> BTreeMap<EntryKey, EntryReport> {
        let report = |(key, module): (&EntryKey, &Module<I>)| {
            let lost = self.lost.get(key).cloned();
            (key.clone(), module.report(key, lost, &self.quarantined))
        };
        self.modules.iter().map(report).collect()
    }
}

impl<I> Default for Module<I> {
    fn default() -> Self {
        Self { entry: None, problem: None, active: None, attempt: None, failed: BTreeMap::new() }
    }
}

impl<I> Module<I> {
    fn take_entry(&mut self, entry: &Arc<Entry>) {
        if self.entry.as_ref().is_some_and(|known| Arc::ptr_eq(known, entry)) {
            return;
        }
        let wanted = |entry: &Entry| entry.wanted().map(Revision::fingerprint);
        // A revision that comes back after another one gets a new chance: somebody has acted.
        if self.entry.as_ref().is_none_or(|known| wanted(known) != wanted(entry)) {
            self.failed.clear();
        }
        let named: BTreeSet<String> = entry.revisions.iter().map(Revision::fingerprint).collect();
        if self.attempt.as_ref().is_some_and(|attempt| !named.contains(attempt)) {
            self.attempt = None;
        }
        self.entry = Some(Arc::clone(entry));
    }

    /// Has the active instance follow a newer revision of the same fingerprint.
    fn follow(&mut self) -> bool {
        let (Some(entry), Some(active)) = (&self.entry, &mut self.active) else { return false };
        let same = entry.revisions.iter().find(|revision| revision.fingerprint() == active.fingerprint);
        match same {
            Some(revision) if *revision != active.revision => {
                active.revision = revision.clone();
                true
            }
            _ => false,
        }
    }

    /// The revision to prepare: the wanted one, or the last good one if that fails and nothing serves.
    fn next(&self, now: Instant, blobs: u64, quarantined: &dyn Fn(&str) -> bool) -> Option<Revision> {
        let entry = self.entry.as_ref()?;
        let wanted = entry.wanted()?;
        let fingerprint = wanted.fingerprint();
        let is = |known: &Option<String>| known.as_ref() == Some(&fingerprint);
        if is(&self.attempt) || self.active.as_ref().is_some_and(|active| active.fingerprint == fingerprint) {
            return None;
        }
        if !quarantined(&fingerprint) && self.may_try(&fingerprint, now, blobs) {
            return Some(wanted.clone());
        }
        let last_good = entry.last_good()?;
        let fallback = last_good.fingerprint();
        let idle = self.active.is_none() && self.attempt.is_none();
        let may = idle && !quarantined(&fallback) && self.may_try(&fallback, now, blobs);
        may.then(|| last_good.clone())
    }

    fn may_try(&self, fingerprint: &str, now: Instant, blobs: u64) -> bool {
        self.failed.get(fingerprint).is_none_or(|failed| match failed.retry {
            RetryAt::Never => false,
            RetryAt::Blobs(then) => then != blobs,
            RetryAt::Time(at) => at <= now,
        })
    }

    fn report(&self, key: &EntryKey, lost: Option<Trouble>, quarantined: &BTreeSet<(EntryKey, String)>) -> EntryReport {
        let wanted = self.entry.as_ref().and_then(|entry| entry.wanted());
        let fingerprint = wanted.map(Revision::fingerprint).unwrap_or_default();
        let serving = self.active.as_ref().map(|active| Serving {
            revision: active.revision.revision.clone(),
            digest: active.digest,
            fingerprint: active.fingerprint.clone(),
        });
        let serves = self.active.as_ref().is_some_and(|active| active.fingerprint == fingerprint);
        let held = quarantined.contains(&(key.clone(), fingerprint.clone())).then(|| Trouble {
            reason: Reason::Quarantined,
            message: "this revision ended two engines within a minute; apply another one".to_owned(),
        });
        let own = if serves { None } else { held.or_else(|| Some(self.failed.get(&fingerprint)?.trouble.clone())) };
        let failure = self.problem.clone().or(own).or(lost);
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
        }
    }
}
