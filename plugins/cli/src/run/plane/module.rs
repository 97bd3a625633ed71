//! One module on a laptop: what is asked for, what is prepared, what is in the bay.
//!
//! Owns when it is looked up again, and that a refusal is said once.

use std::time::{Duration, Instant};

use anyhow::anyhow;
use bytes::Bytes;
use hotbay_api::{
    Digest, Entry, EntryKey, EntryReport, EntryState, HandlerModule, LocalReport, Reason, Revision, Trouble,
};
use hotbay_bay::Writer;
use hotbay_pipeline::routes::Claimant;
use hotbay_pipeline::{
    Artifact, Build, Class, Policy, Prepared, Refusal, Source, SourceError, entry, last_good, prepare,
};
use hotbay_registry::Client;

use crate::run::Served;

/// The first pause before a look-up that may yet succeed is repeated; doubled each time, up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// A module that is asked for.
pub(super) struct Module {
    wanted: HandlerModule,
    /// Which change of what is asked for brought it.
    pub since: u32,
    /// What is served without asking a registry: a drop-in, or a build that was handed over.
    file: Option<File>,
    prepared: Option<Prepared>,
    in_force: Option<Entry>,
    /// When it is to be looked up next.
    pub due: Option<Instant>,
    failures: u32,
    said: Option<String>,
    /// Why it could not be prepared.
    unprepared: Option<Refusal>,
    /// Why it may not have its routes.
    pub conflict: Option<Refusal>,
}

/// A module to be looked up and prepared.
pub(super) struct Job {
    wanted: HandlerModule,
    file: Option<File>,
}

/// A source that holds one file.
#[derive(Clone, Debug)]
pub(in crate::run) struct File {
    /// Of `bytes`; two files are the same if theirs are.
    pub digest: Digest,
    /// The module.
    pub bytes: Bytes,
}

impl PartialEq for File {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Job {
    /// Goes through the operator's pipeline.
    pub async fn run(&self, client: &Client) -> Result<Prepared, Refusal> {
        let policy = Policy::default();
        match &self.file {
            Some(file) => prepare(&self.wanted, file, &policy).await,
            None => prepare(&self.wanted, client, &policy).await,
        }
    }
}

impl Module {
    pub fn new(wanted: HandlerModule, file: Option<File>, since: u32) -> Self {
        Self {
            wanted,
            since,
            file,
            prepared: None,
            in_force: None,
            due: Some(Instant::now()),
            failures: 0,
            said: None,
            unprepared: None,
            conflict: None,
        }
    }

    /// Takes in what is asked for now. `again`: what references lead to may have changed.
    pub fn ask(&mut self, wanted: HandlerModule, file: Option<File>, again: bool) {
        if self.wanted != wanted || self.file != file || again {
            self.due = Some(Instant::now());
            self.failures = 0;
        }
        self.wanted = wanted;
        self.file = file;
    }

    /// What is to be prepared now, if that is due.
    pub fn job(&mut self) -> Option<Job> {
        if self.wanted.spec.suspend {
            // An edit makes it due again.
            self.due = None;
        }
        self.due.take_if(|due| *due <= Instant::now())?;
        Some(Job { wanted: self.wanted.clone(), file: self.file.clone() })
    }

    /// Takes in how a job went, and when the next one is due. What was asked for before the last edit is of no interest.
    pub fn done(
        &mut self,
        key: &EntryKey,
        job: &Job,
        result: Result<Prepared, Refusal>,
        report: &LocalReport,
    ) {
        if self.wanted != job.wanted || self.file != job.file {
            return;
        }
        let interval = self.wanted.spec.interval.0;
        let regular = (!interval.is_zero() && self.file.is_none()).then(|| Instant::now() + interval);
        let next = match result {
            Ok(prepared) => {
                self.failures = 0;
                self.said = None;
                self.unprepared = None;
                self.prepared = Some(prepared);
                regular
            }
            Err(refusal) => {
                self.say(key, &refusal, report);
                self.unprepared = Some(refusal.clone());
                let pause = RETRY_MIN.saturating_mul(1 << self.failures.min(10)).min(RETRY_MAX);
                self.failures += 1;
                match refusal.class {
                    Class::Waiting => Some(Instant::now() + pause),
                    Class::Stalled => regular,
                }
            }
        };
        // A change that came while the job ran has made it due already.
        self.due = self.due.or(next);
    }

    /// Says a refusal once, and what serves by the runtime's report: what is in force may have failed there.
    pub fn say(&mut self, key: &EntryKey, refusal: &Refusal, report: &LocalReport) {
        let words = refusal.to_string();
        if self.said.as_ref() == Some(&words) {
            return;
        }
        let reported = report.entries.iter().find(|entry| entry.key == *key);
        let serving = reported.and_then(|entry| entry.serving.as_ref());
        let kept =
            serving.map_or_else(String::new, |serving| format!("; still serving {}", serving.revision));
        tracing::warn!(module = %key, "failed: {words}{kept}");
        self.said = Some(words);
    }

    /// How it stands, if it is served from a file, such as a build that was handed over. What is wrong with a module of a registry is no fault of a build
    /// beside it.
    pub fn served(&self, key: &EntryKey) -> Option<Served> {
        let file = self.file.as_ref()?;
        let refusal = self.unprepared.as_ref().or(self.conflict.as_ref());
        let refused = refusal
            .map(|refusal| Trouble { reason: refusal.reason.clone(), message: refusal.message.clone() });
        let mut builds = self.prepared.iter().flat_map(|prepared| &prepared.builds);
        let waits = self.wanted.spec.suspend && !builds.any(|build| build.digest == file.digest);
        let suspended = waits.then(|| Trouble {
            reason: Reason::Suspended,
            message: "the module is suspended; nothing new is served".to_owned(),
        });
        Some(Served::As { key: key.clone(), refused: suspended.or(refused) })
    }

    /// What it wants and holds; nothing before it was prepared once.
    pub fn claimant(&self) -> Option<Claimant<'_>> {
        let prepared = self.prepared.as_ref()?;
        let precedence = entry(&self.wanted, prepared.revision.clone(), None).ok()?.precedence();
        let held = self.in_force.as_ref().and_then(|entry| entry.wanted());
        let held = held.map_or(&[][..], |revision| &revision.routes);
        Some(Claimant { precedence, wanted: Some(&prepared.revision.routes), held })
    }

    /// Puts blobs and entry into the bay, if they are not there.
    pub fn write(&mut self, key: &EntryKey, writer: &Writer, report: &LocalReport) -> anyhow::Result<()> {
        let Some(prepared) = &self.prepared else { return Ok(()) };
        let wanted = &prepared.revision;
        if self.in_force.as_ref().and_then(|entry| entry.wanted()) == Some(wanted) {
            return Ok(());
        }
        for build in &prepared.builds {
            if !writer.holds_blob(&build.digest, build.bytes.len() as u64) {
                writer.put_blob(&build.digest, &build.bytes)?;
            }
        }
        let was_ready = self.was_ready(key, report);
        let good = last_good(self.in_force.as_ref(), was_ready, wanted);
        let entry = entry(&self.wanted, wanted.clone(), good).map_err(|refusal| anyhow!("{refusal}"))?;
        writer.put_entry(&entry)?;
        self.in_force = Some(entry);
        Ok(())
    }

    /// Whether the runtime serves what is in force, by its fingerprint: a report may be older than the entry.
    fn was_ready(&self, key: &EntryKey, report: &LocalReport) -> bool {
        let Some(held) = self.in_force.as_ref().and_then(|entry| entry.wanted()).map(Revision::fingerprint)
        else {
            return false;
        };
        let serving =
            |entry: &EntryReport| entry.serving.as_ref().is_some_and(|serving| serving.fingerprint == held);
        report
            .entries
            .iter()
            .any(|entry| entry.key == *key && entry.state == EntryState::Active && serving(entry))
    }

    /// The blobs that its entry names.
    pub fn blobs(&self) -> Vec<Digest> {
        let revisions = self.in_force.iter().flat_map(|entry| &entry.revisions);
        revisions.flat_map(|revision| revision.blobs.iter().map(|blob| blob.digest)).collect()
    }
}

impl Source for File {
    async fn resolve(&self, _reference: &str) -> Result<Digest, SourceError> {
        Ok(self.digest)
    }

    async fn fetch(
        &self,
        reference: &str,
        digest: &Digest,
        _max_bytes: u64,
    ) -> Result<Artifact, SourceError> {
        let build = Build { platform: None, digest: *digest, bytes: self.bytes.clone() };
        Ok(Artifact { reference: reference.to_owned(), digest: *digest, builds: vec![build] })
    }
}

#[cfg(test)]
mod tests {
    use hotbay_api::Serving;
    use serde_json::json;

    use super::*;

    #[test]
    fn who_hands_a_build_over_hears_of_it_and_not_of_its_neighbours() {
        let wanted = || {
            let module = json!({
                "metadata": {"name": "m"},
                "spec": {"source": {"oci": {"reference": "r.example.com/m:1.0"}}},
            });
            serde_json::from_value(module).unwrap()
        };
        let file = File { digest: Digest::of(b"m"), bytes: Bytes::from_static(b"m") };
        let refused = |file| {
            let mut module = Module::new(wanted(), file, 1);
            module.unprepared = Some(Refusal::of_artifact(Reason::SourceUnreachable, "no"));
            let served = module.served(&EntryKey::new("default", "m").unwrap());
            matches!(served, Some(Served::As { refused: Some(_), .. }))
        };
        assert!(refused(Some(file)));
        assert!(!refused(None), "its registry may not be there");
    }

    #[test]
    fn who_hands_a_build_over_hears_that_its_module_is_suspended() {
        let wanted = json!({
            "metadata": {"name": "m"},
            "spec": {"source": {"oci": {"reference": "r.example.com/m:1.0"}}, "suspend": true},
        });
        let file = File { digest: Digest::of(b"m"), bytes: Bytes::from_static(b"m") };
        let mut module = Module::new(serde_json::from_value(wanted).unwrap(), Some(file), 1);
        assert!(module.job().is_none(), "nothing is prepared");
        let Some(Served::As { refused: Some(trouble), .. }) =
            module.served(&EntryKey::new("default", "m").unwrap())
        else {
            panic!("it is refused")
        };
        assert_eq!(trouble.reason, Reason::Suspended);
    }

    #[test]
    fn what_served_counts_as_good_only_if_it_is_what_is_in_force() {
        let wanted = json!({
            "metadata": {"name": "m"},
            "spec": {"source": {"oci": {"reference": "r.example.com/m:1.0"}}},
        });
        let mut module = Module::new(serde_json::from_value(wanted).unwrap(), None, 1);
        let key = EntryKey::new("default", "m").unwrap();
        let revision = Revision {
            revision: "1.0".into(),
            blobs: vec![],
            routes: vec![],
            config: json!({"a": 1}),
            timeouts: hotbay_api::Timeouts::default(),
            limits: hotbay_api::Limits::default(),
        };
        let reported = |fingerprint: &str| {
            let serving =
                Serving { revision: "1.0".into(), digest: Digest::of(b"m"), fingerprint: fingerprint.into() };
            let entry = EntryReport {
                key: key.clone(),
                sequence: None,
                state: EntryState::Active,
                wanted: "1.0".into(),
                serving: Some(serving),
                failure: None,
                notice: None,
            };
            LocalReport { entries: vec![entry], ..LocalReport::default() }
        };
        assert!(!module.was_ready(&key, &reported(&revision.fingerprint())), "nothing is in force");
        module.in_force = Some(entry(&module.wanted, revision.clone(), None).unwrap());
        assert!(module.was_ready(&key, &reported(&revision.fingerprint())));
        assert!(!module.was_ready(&key, &reported("0f")), "an older one served when the report was written");
        assert!(!module.was_ready(&key, &LocalReport::default()));
    }
}
