//! The way of a build to the control plane.
//!
//! Owns what the builds stand for: the project's YAML, in the files that `run` was told to follow when there was a build for the first time. YAML that is
//! wrong now asks for what it asked for before, as in `run`, so that code goes on being served; what is wrong with it is told. Must not build.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;

use anyhow::ensure;
use hotbay_api::Digest;
use tokio::sync::watch;

use super::follow::Event;
use super::wanted::{Look, Wanted, wanted};
use crate::run::build::Build;

/// See the module.
pub(super) struct HandOver {
    builds: watch::Sender<Option<Build>>,
    events: Sender<Event>,
    /// How the YAML asked for the last build, in the files of the first one; `None`: there was none.
    asked: Option<Wanted>,
    /// What was said of files that `run` does not follow.
    said: BTreeMap<PathBuf, String>,
}

impl HandOver {
    /// One that has handed nothing over yet.
    pub fn new(builds: watch::Sender<Option<Build>>, events: Sender<Event>) -> Self {
        Self { builds, events, asked: None, said: BTreeMap::new() }
    }

    /// The files that ask for the module; `None` as long as nothing was handed over.
    pub fn files(&self) -> Option<&BTreeSet<PathBuf>> {
        self.asked.as_ref().map(|asked| &asked.files)
    }

    /// Gives a build of `project` to the control plane; which it is, and whether it is another than before.
    ///
    /// # Errors
    /// When it is no module, or the YAML does not say whether this module is meant.
    pub fn take(&mut self, project: &Path, module: &Path) -> anyhow::Result<(Digest, bool)> {
        let (bytes, facts) = crate::module::read(module)?;
        let Look { mut wanted, wrong } = wanted(project, &facts.manifest.name, self.asked.as_ref())?;
        if let Some(asked) = &self.asked {
            // `run` was told once which files to follow.
            ensure!(
                wanted.files.is_empty() == asked.files.is_empty() && wanted.files.is_subset(&asked.files),
                "other YAML files ask for the module than when this began; end it and begin again"
            );
            wanted.files.clone_from(&asked.files);
        }
        self.tell(&wanted.files, wrong);
        let repository = wanted.repository.clone();
        self.asked = Some(wanted);
        let build = Build { repository, path: module.to_owned(), digest: Digest::of(&bytes), bytes };
        let digest = build.digest;
        let is_new = self.builds.send_if_modified(|newest| {
            let is_new = newest.as_ref() != Some(&build);
            *newest = Some(build);
            is_new
        });
        Ok((digest, is_new))
    }

    /// Tells what is wrong with the YAML. Pages show it of the `followed` files, and `run` says it; of others nobody else does.
    fn tell(&mut self, followed: &BTreeSet<PathBuf>, wrong: BTreeMap<PathBuf, String>) {
        let (ours, others): (BTreeMap<_, _>, _) =
            wrong.into_iter().partition(|(file, _)| followed.contains(file));
        for (file, why) in &others {
            if self.said.get(file) != Some(why) {
                tracing::warn!("failed: {why}; the file is passed over");
            }
        }
        self.said = others;
        let words: Vec<String> = ours.into_values().collect();
        // Nobody follows any more: the command ends.
        let _ = self.events.send(Event::Yaml((!words.is_empty()).then(|| words.join("\n"))));
    }
}
