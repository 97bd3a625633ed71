//! What every module is, and what is to be done next.
//!
//! Owns the state of each entry: what serves, what is being prepared, what has failed and when that is tried again. Pure: no I/O, no clock, no
//! instance (they are the type `I`); `control` feeds it and carries out what it decides.

mod demotion;
mod module;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hotbay_api::{Digest, Entry, EntryKey, EntryReport, Reason, Revision, Trouble};
use hotbay_bay::Scan;
use hotbay_protocol::{CrashNote, Demoted, Quarantine};

use self::module::{Barred, Failed, Module, RetryAt};

/// The first pause before a failed start is tried again; each further one is twice as long, up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_secs(2);
const RETRY_MAX: Duration = Duration::from_secs(300);

type Quarantined = BTreeMap<(EntryKey, String), String>;
type Crashed = BTreeMap<(EntryKey, String), Crash>;

/// What a revision did to an earlier engine, a short time ago.
struct Crash {
    message: String,
    /// So long any other revision of its entry goes first.
    until: Instant,
    pause: Duration,
}

/// Everything that the bay asks for.
pub(crate) struct Modules<I> {
    modules: BTreeMap<EntryKey, Module<I>>,
    /// What must not be loaded, by entry and fingerprint, and what the keeper says that it did.
    quarantined: Quarantined,
    crashed: Crashed,
    /// Builds whose calls run on the pool, and who did what.
    demoted: BTreeMap<Digest, Demoted>,
    /// Instances whose calls on the pool do not return, by entry and fingerprint.
    stuck: BTreeSet<(EntryKey, String)>,
    blobs_version: u64,
    scanned: bool,
    /// Whether a start that takes its time gives way to a last good revision.
    hurry: bool,
    /// When the next failed start is to be tried again.
    retry_at: Option<Instant>,
    /// Routes that an older module has, as of the last table.
    lost: BTreeMap<EntryKey, Trouble>,
}

/// A revision that serves.
pub(crate) struct Active<I> {
    pub instance: I,
    pub fingerprint: String,
    pub digest: Digest,
    /// Its routes, time-outs and limits; may be newer than the instance.
    pub revision: Revision,
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
    /// Nothing serves, and a last good revision waits for its turn: a start that takes its time is not waited for.
    pub hurry: bool,
    /// The blobs of the bay when this was decided: what has come since may be what it misses.
    pub blobs_version: u64,
}

impl Failure {
    /// A failure with the usual word on retrying for its reason.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        let retry = match reason {
            Reason::Incomplete => Retry::Blobs,
            // A machine that was busy for two seconds says nothing about the module.
            Reason::NoSpace
            | Reason::StartFailed
            | Reason::StartTimeout
            | Reason::ProbeTimeout
            | Reason::BayMissing => Retry::Later,
            _ => Retry::Never,
        };
        Self { trouble: Trouble { reason, message: message.into() }, retry }
    }
}

impl<I> Default for Modules<I> {
    fn default() -> Self {
        Self {
            modules: BTreeMap::new(),
            quarantined: Quarantined::new(),
            crashed: Crashed::new(),
            demoted: BTreeMap::new(),
            stuck: BTreeSet::new(),
            blobs_version: 0,
            scanned: false,
            hurry: false,
            retry_at: None,
            lost: BTreeMap::new(),
        }
    }
}

impl<I> Modules<I> {
    /// `hurry`: nobody serves meanwhile, so that any good revision now is better than the wanted one later.
    pub fn new(hurry: bool) -> Self {
        Self { hurry, ..Self::default() }
    }

    /// Takes over which revisions must not be loaded.
    pub fn quarantine(&mut self, quarantined: Vec<Quarantine>) {
        self.quarantined =
            quarantined.into_iter().map(|one| ((one.key, one.fingerprint), one.message)).collect();
    }

    /// Takes over which revisions ended an engine lately: where there is another one to serve, it goes first for a while.
    pub fn hold(&mut self, crashed: Vec<CrashNote>, now: Instant) {
        let crash = |CrashNote { key, fingerprint, message, hold_ms }| {
            let pause = Duration::from_millis(hold_ms);
            ((key, fingerprint), Crash { message, until: now + pause, pause })
        };
        self.crashed = crashed.into_iter().map(crash).collect();
    }

    /// Takes over what the bay says.
    pub fn apply(&mut self, scan: &Scan) {
        self.scanned |= scan.trouble.is_none();
        self.blobs_version = scan.blobs_version;
        let problems: BTreeMap<_, _> =
            scan.problems.iter().filter_map(|problem| Some((problem.key.as_ref()?, problem))).collect();
        let before = self.modules.len();
        self.modules.retain(|key, _| scan.entries.contains_key(key) || problems.contains_key(key));
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
    }

    /// What is to be prepared now. True if a table must be built because a module's routes or limits changed.
    pub fn decide(&mut self, now: Instant) -> (Vec<Job>, bool) {
        let mut jobs = Vec::new();
        let mut changed = false;
        self.crashed.retain(|_, crash| crash.until > now);
        for (key, module) in &mut self.modules {
            changed |= module.follow();
            let quarantined =
                |fingerprint: &str| self.quarantined.contains_key(&(key.clone(), fingerprint.to_owned()));
            let crashed =
                |fingerprint: &str| self.crashed.contains_key(&(key.clone(), fingerprint.to_owned()));
            let barred = Barred { quarantined: &quarantined, crashed: &crashed };
            if let Some((revision, fingerprint)) = module.next(now, self.blobs_version, &barred) {
                let (revision, fingerprint) = (revision.clone(), fingerprint.to_owned());
                module.attempt = Some(fingerprint.clone());
                let may_fall_back =
                    module.active.is_none() && module.falls_back_from(&fingerprint, &quarantined);
                let (hurry, blobs_version) = (self.hurry && may_fall_back, self.blobs_version);
                jobs.push(Job { key: key.clone(), fingerprint, revision, hurry, blobs_version });
            }
        }
        let failed = self.modules.values().flat_map(|module| module.failed.values());
        let due = failed.filter_map(Failed::due).chain(self.crashed.values().map(|crash| crash.until));
        self.retry_at = due.filter(|&due| due > now).min();
        (jobs, changed)
    }

    /// Whether a failed start is to be tried again by now, so that [`Self::decide`] may have something to say though nothing was heard.
    pub fn is_due(&self, now: Instant) -> bool {
        self.retry_at.is_some_and(|due| due <= now)
    }

    /// A preparation has ended well.
    pub fn succeeded(&mut self, job: &Job, instance: I, digest: Digest) -> Change {
        let Some(module) = self.modules.get_mut(&job.key) else { return Change::Unwanted };
        let expected = module.attempt.as_deref() == Some(&job.fingerprint);
        // Where nothing serves, anything that the entry still names is welcome.
        if !expected && (module.active.is_some() || !module.fingerprints.contains(&job.fingerprint)) {
            return Change::Unwanted;
        }
        if expected {
            module.attempt = None;
        }
        module.failed.remove(&job.fingerprint);
        let revision = job.revision.clone();
        let active = Active { instance, fingerprint: job.fingerprint.clone(), digest, revision };
        if module.activate(active) { Change::Swapped } else { Change::Loaded }
    }

    /// A preparation has failed. False if it is of no interest any more.
    pub fn failed(&mut self, job: &Job, failure: Failure, now: Instant) -> bool {
        let Some(module) = self.modules.get_mut(&job.key) else { return false };
        if module.attempt.as_deref() != Some(&job.fingerprint) {
            return false;
        }
        module.attempt = None;
        let attempts = module.failed.get(&job.fingerprint).map_or(0, |failed| failed.attempts) + 1;
        let pause = RETRY_MIN.saturating_mul(1 << (attempts - 1).min(16)).min(RETRY_MAX);
        let retry = match failure.retry {
            Retry::Never => RetryAt::Never,
            Retry::Blobs => RetryAt::Blobs(job.blobs_version),
            Retry::Later => RetryAt::Time(now + pause),
        };
        let failed = Failed { trouble: failure.trouble, retry, attempts };
        // The decision that follows does not look at pauses that have only begun.
        self.retry_at = [self.retry_at, failed.due()].into_iter().flatten().min();
        module.failed.insert(job.fingerprint.clone(), failed);
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

    /// Nothing serves any more, and nothing will.
    pub fn let_go(&mut self) {
        self.modules.values_mut().for_each(|module| module.active = None);
    }

    /// Every entry that can be read.
    pub fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.modules.values().filter_map(|module| module.entry.as_ref())
    }

    /// What is on its way, or will be tried again, while nothing of its module serves.
    pub fn starting(&self) -> impl Iterator<Item = (&Arc<Entry>, &Revision)> {
        self.modules.values().filter_map(|module| Some((module.entry.as_ref()?, module.starting()?)))
    }

    /// The bay was read, all of it.
    pub fn is_read(&self) -> bool {
        self.scanned
    }

    /// The bay was read, and every entry serves or has failed.
    pub fn is_settled(&self) -> bool {
        self.is_read() && self.modules.values().all(|module| module.attempt.is_none())
    }

    /// How every entry stands, sorted by key.
    pub fn reports(&self) -> BTreeMap<EntryKey, EntryReport> {
        let report = |(key, module): (&EntryKey, &Module<I>)| {
            let lost = self.lost.get(key).cloned();
            let report = module.report(key, lost, &self.quarantined, &self.crashed);
            (key.clone(), EntryReport { notice: self.notice(key, module), ..report })
        };
        self.modules.iter().map(report).collect()
    }
}
