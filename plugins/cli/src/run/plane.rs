//! The control plane of a laptop: what the operator does for a pool, for one machine.
//!
//! Owns what is looked up when, and what lies in the bay. The decisions are the pipeline's: resolve, validate, build, who has which route. A module that is
//! refused keeps what it served before.

pub(super) mod module;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hotbay_api::{Digest, EntryKey, HandlerModule, HandlerModuleSpec, LocalReport, ModuleSource, OciSource};
use hotbay_bay::{DropIn, Writer};
use hotbay_pipeline::routes::settle;
use hotbay_pipeline::{Prepared, Refusal, key_of};
use hotbay_registry::Client;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

use self::module::{File, Job, Module};
use super::build::Build;
use super::desired::Desired;
use super::{Handed, Served};

/// A bay that could not be written is written again after this.
const WRITE_AGAIN: Duration = Duration::from_secs(1);

pub(super) struct Plane {
    client: Arc<Client>,
    writer: Writer,
    report: PathBuf,
    modules: BTreeMap<EntryKey, Module>,
    /// Those that are to be served from the build, and whose name is a neighbour's.
    nameless: BTreeSet<EntryKey>,
    /// Entries that are to be removed from the bay.
    gone: BTreeSet<EntryKey>,
    /// When to write again what could not be written.
    write_due: Option<Instant>,
    layouts: u64,
    /// How often something else was asked for: modules that came together have one age.
    takes: u32,
    asked: Desired,
    /// What was handed over last.
    build: Option<Build>,
}

impl Plane {
    pub fn new(client: Client, writer: Writer, report: PathBuf) -> Self {
        Self {
            client: Arc::new(client),
            writer,
            report,
            modules: BTreeMap::new(),
            nameless: BTreeSet::new(),
            gone: BTreeSet::new(),
            write_due: None,
            layouts: 0,
            takes: 0,
            asked: Desired::default(),
            build: None,
        }
    }

    /// Follows what is asked for, and what is handed over, until nobody asks any more.
    pub async fn run(mut self, mut desired: mpsc::Receiver<Desired>, mut handed: Option<Handed>) {
        if let Some(handed) = &mut handed {
            self.build = handed.builds.borrow_and_update().clone();
        }
        // A registry that does not answer holds up its own modules only.
        let mut jobs = JoinSet::new();
        loop {
            for (key, module) in &mut self.modules {
                if let Some(job) = module.job() {
                    let (key, client) = (key.clone(), Arc::clone(&self.client));
                    jobs.spawn(async move {
                        let result = job.run(&client).await;
                        (key, job, result)
                    });
                }
            }
            let due = self.modules.values().filter_map(|module| module.due).chain(self.write_due).min();
            let wait =
                due.map_or(Duration::from_secs(3600), |due| due.saturating_duration_since(Instant::now()));
            tokio::select! {
                desired = desired.recv() => match desired {
                    Some(desired) => {
                        self.asked = desired;
                        self.take();
                    }
                    None => return,
                },
                build = newest(&mut handed) => {
                    self.build = build;
                    self.take();
                },
                Some(done) = jobs.join_next() => self.done(done),
                () = tokio::time::sleep(wait) => if self.write_due.is_none_or(|due| due > Instant::now()) { continue },
            }
            self.write();
            if let Some(handed) = &handed {
                (handed.told)(self.served());
            }
        }
    }

    /// What becomes of the modules that are to be served from the build.
    fn served(&self) -> Vec<Served> {
        let twice = |key| {
            let words = format!(
                "the YAML asks for {key} twice, and the first one, which counts, is for another module; give one of them another name"
            );
            Served::Nowhere(words)
        };
        let served = self.modules.iter().filter_map(|(key, module)| module.served(key));
        served.chain(self.nameless.iter().map(twice)).collect()
    }

    fn done(&mut self, done: Result<(EntryKey, Job, Result<Prepared, Refusal>), JoinError>) {
        match done {
            Ok((key, job, result)) => {
                let report = self.read_report();
                if let Some(module) = self.modules.get_mut(&key) {
                    module.done(&key, &job, result, &report);
                }
            }
            Err(error) => tracing::error!(%error, "preparing a module failed"),
        }
    }

    fn take(&mut self) {
        let Desired { modules, drop_ins, layouts } = self.asked.clone();
        let handed = self.build.as_ref().and_then(Build::drop_in);
        self.takes += 1;
        let layouts_changed = std::mem::replace(&mut self.layouts, layouts) != layouts;
        let dropped = drop_ins.iter().chain(&handed).map(from_drop_in);
        let build = self.build.clone();
        let asked = modules.into_iter().map(|module| {
            let reference = module.spec.source.oci.as_ref().map(|source| source.reference.as_str());
            let meant = build.as_ref().filter(|build| reference.is_some_and(|name| build.is_meant(name)));
            let file = meant.map(|build| File { digest: build.digest, bytes: build.bytes.clone() });
            (module, file)
        });
        let wanted = dropped.chain(asked);
        let mut present = BTreeSet::new();
        self.nameless.clear();
        for (mut module, file) in wanted {
            let key = match key_of(&module) {
                Ok(key) => key,
                Err(refusal) => {
                    tracing::warn!("failed: {refusal}");
                    continue;
                }
            };
            if !present.insert(key.clone()) {
                tracing::warn!(module = %key, "asked for twice; the first one counts");
                let counts = self.modules.get(&key).and_then(|first| first.served(&key));
                if file.is_some() && counts.is_none() {
                    self.nameless.insert(key);
                }
                continue;
            }
            let since = self.modules.get(&key).map_or(self.takes, |known| known.since);
            set_age(&mut module, since);
            match self.modules.get_mut(&key) {
                Some(known) => known.ask(module, file, layouts_changed),
                None => drop(self.modules.insert(key, Module::new(module, file, since))),
            }
        }
        let gone: Vec<EntryKey> =
            self.modules.keys().filter(|key| !present.contains(*key)).cloned().collect();
        for key in gone {
            self.modules.remove(&key);
            self.gone.insert(key);
        }
        self.gone.retain(|key| !present.contains(key));
    }

    /// Brings the bay in line with everything that is prepared and has its routes.
    fn write(&mut self) {
        self.write_due = None;
        self.remove();
        let claimants: Vec<_> = self.modules.values().filter_map(Module::claimant).collect();
        let refused = settle(&claimants);
        drop(claimants);
        let report = self.read_report();
        for (key, module) in &mut self.modules {
            let written = match refused.get(key) {
                Some(refusal) => {
                    module.conflict = Some(refusal.clone());
                    module.say(key, refusal, &report);
                    continue;
                }
                None => module.write(key, &self.writer, &report),
            };
            module.conflict = None;
            if let Err(error) = written {
                tracing::warn!(module = %key, "failed: {error:#}");
                self.write_due = Some(Instant::now() + WRITE_AGAIN);
            }
        }
        self.clean();
    }

    /// Removes the entries of modules that nobody asks for any more.
    fn remove(&mut self) {
        let Self { gone, writer, write_due, .. } = self;
        gone.retain(|key| {
            let removed = writer.remove_entry(key);
            if let Err(error) = &removed {
                tracing::warn!(module = %key, %error, "failed to remove from the bay");
                *write_due = Some(Instant::now() + WRITE_AGAIN);
            }
            removed.is_err()
        });
    }

    /// What the runtime last said; nothing, before it said anything.
    fn read_report(&self) -> LocalReport {
        let json = std::fs::read(&self.report).unwrap_or_default();
        serde_json::from_slice(&json).unwrap_or_default()
    }

    /// Removes blobs that no entry names.
    fn clean(&self) {
        let named: BTreeSet<Digest> = self.modules.values().flat_map(Module::blobs).collect();
        let Ok(contents) = self.writer.list() else { return };
        for digest in contents.blobs.difference(&named) {
            if let Err(error) = self.writer.remove_blob(digest) {
                tracing::debug!(%digest, %error, "failed to remove a blob");
            }
        }
    }
}

/// The next build, if there is somebody who hands builds over; never comes back else.
async fn newest(handed: &mut Option<Handed>) -> Option<Build> {
    if let Some(handed) = handed
        && handed.builds.changed().await.is_ok()
    {
        return handed.builds.borrow_and_update().clone();
    }
    std::future::pending().await
}

/// Gives a module that has no creation time one by which those that were there first go first. It is no date: only the order counts.
fn set_age(module: &mut HandlerModule, since: u32) {
    if module.metadata.creation_timestamp.is_none() {
        let (hours, minutes, seconds) = ((since / 3600).min(23), since / 60 % 60, since % 60);
        let time = format!("1970-01-01T{hours:02}:{minutes:02}:{seconds:02}Z");
        module.metadata.creation_timestamp = serde_json::from_value(time.into()).ok();
    }
}

/// A drop-in as a module with every default.
fn from_drop_in(drop_in: &DropIn) -> (HandlerModule, Option<File>) {
    let reference =
        drop_in.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let source = ModuleSource { oci: Some(OciSource { reference }) };
    let spec = HandlerModuleSpec { source, ..HandlerModuleSpec::default() };
    let mut module = HandlerModule::new(&drop_in.key.name, spec);
    module.metadata.namespace = Some(drop_in.key.namespace.clone());
    (module, Some(File { digest: drop_in.digest, bytes: Bytes::from_owner(Arc::clone(&drop_in.bytes)) }))
}

#[cfg(test)]
mod tests {
    use hotbay_registry::Options;

    use super::*;

    fn asks(repository: &str) -> HandlerModule {
        let source = ModuleSource { oci: Some(OciSource { reference: format!("r.io/{repository}:1") }) };
        HandlerModule::new("m", HandlerModuleSpec { source, ..HandlerModuleSpec::default() })
    }

    #[test]
    fn who_hands_a_build_over_hears_that_a_neighbour_has_its_name() {
        let home = tempfile::tempdir().unwrap();
        let writer = Writer::new(home.path().join("bay")).unwrap();
        let mut plane = Plane::new(Client::new(Options::default()), writer, home.path().join("report"));
        plane.build = Some(Build {
            repository: Some("r.io/own".to_owned()),
            path: home.path().join("m.so"),
            digest: Digest::of(b"m"),
            bytes: Bytes::from_static(b"m"),
        });
        let mut served = |repositories: &[&str]| {
            plane.asked.modules = repositories.iter().map(|repository| asks(repository)).collect();
            plane.take();
            plane.served()
        };
        let own = [Served::As { key: EntryKey::new("default", "m").unwrap(), refused: None }];
        assert_eq!(served(&["own", "other"]), own);
        assert_eq!(served(&["own", "own"]), own, "it is served");
        let lost = served(&["other", "own"]);
        assert!(
            matches!(&lost[..], [Served::Nowhere(words)] if words.contains("asks for default/m twice")),
            "{lost:?}"
        );
        assert_eq!(served(&["own"]), own, "it has its name again");
    }
}
