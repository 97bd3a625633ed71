//! When a project was saved.
//!
//! ```text
//! wait ──► what the sources are ──► the build ──► what they are now: written meanwhile? ──no──► wait
//!              ▲                                                          └─ yes ─ made by the build? ─ no ─┐
//!              └────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//! Owns whether there is something new to build. Events only wake: what is new is found by a look at the sources, so that no event that was lost, late or
//! another's matters. Between two builds every save counts, also one that changes nothing: its author wants a build. What is saved while
//! a build runs is built at once, and what every build changes only after a calm, which shows that nobody is saving. However it is, what was saved last is built in
//! the end. Must not know what cargo or make do with the sources.

mod made;
mod sources;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::Last;
use crate::project::{Inputs, Project};
use made::Made;
use sources::Sources;
use watch::Watch;

/// One save is several events, a millisecond apart; so long without one is the end of it.
const QUIET: Duration = Duration::from_millis(5);
/// What writes without a pause is no save that would have to be waited for.
const LONG: Duration = Duration::from_secs(1);
/// So often is looked for what cannot be watched.
const LOOK: Duration = Duration::from_millis(500);
/// So long at least nobody must have saved anything before a build that shows what builds make: longer than people who type stop.
const CALM: Duration = Duration::from_secs(1);
/// So long nobody must have saved anything before what builds seem to make is built the first time: who works is not held up by it.
const PATIENCE: Duration = Duration::from_secs(30);

/// See the module.
pub(super) struct Saves {
    watch: Watch,
    /// The folders of the packages.
    roots: BTreeSet<PathBuf>,
    /// What says which these are, as it was when cargo was asked for them; nothing: it was not.
    manifests: BTreeMap<PathBuf, Option<SystemTime>>,
    /// Files elsewhere, or with names that are passed over, that it is built from.
    files: BTreeSet<PathBuf>,
    /// As they were when the last build began, or, if that is later, when it was seen that nothing is new.
    seen: Sources,
    made: Made,
    /// Since when there is something that the last build has not seen.
    waits: Option<Instant>,
    /// When the last build began.
    began: Instant,
    /// How long it took.
    took: Duration,
    /// See [`PATIENCE`].
    patience: Duration,
}

impl Saves {
    /// Watches the project's own folder.
    pub fn new(project: &Project) -> Self {
        Self::of(project.folder(), Watch::new())
    }

    fn of(folder: &Path, watch: Watch) -> Self {
        let mut saves = Self {
            watch,
            roots: BTreeSet::from([folder.to_owned()]),
            manifests: BTreeMap::new(),
            files: BTreeSet::new(),
            seen: Sources::default(),
            made: Made::default(),
            waits: None,
            began: Instant::now(),
            took: Duration::ZERO,
            patience: PATIENCE,
        };
        saves.seen = saves.look();
        saves
    }

    /// Looks at what a build that has just ended has left, and from now on at all that the project is built from, by what the `last` builds say, and at all
    /// that may be what is wrong with it. To be called after every build, when cargo has all that it needs at hand.
    pub fn built(&mut self, project: &Project, last: &Last) {
        let is_new = self.manifests.iter().any(|(manifest, then)| *then != time(manifest));
        let (mut roots, mut files) = (self.roots.clone(), last.mistakes.clone());
        if is_new || self.manifests.is_empty() {
            match project.sources() {
                Ok(Inputs { folders, manifests }) => {
                    roots = folders;
                    self.manifests = manifests.into_iter().map(|path| (path.clone(), time(&path))).collect();
                }
                Err(error) => {
                    tracing::warn!(
                        "{error:#}; what was watched before is watched, and the manifests around it"
                    );
                    files.extend(project.doubtful());
                }
            }
        }
        let read = last.module.as_ref().map(|module| project.read_for(module)).unwrap_or_default();
        files.extend(self.manifests.keys().cloned().chain(read));
        files.retain(|file| !sources::is_found(file, &roots) && !sources::is_marked(file));
        self.follow(roots, files);
        self.settle();
    }

    fn follow(&mut self, roots: BTreeSet<PathBuf>, files: BTreeSet<PathBuf>) {
        if roots == self.roots && files == self.files {
            return;
        }
        // That a file is not read any more is no change of it.
        self.seen.forget(self.files.difference(&files));
        // All of them, since what is hidden in one depends on the others.
        let found = Sources::look(&roots, &files, &self.seen, |_| {});
        // What was not changed since the build began is what it has seen.
        self.seen.adopt(found);
        (self.roots, self.files) = (roots, files);
    }

    /// What changed while the build ran is built, too, unless the build made it.
    fn settle(&mut self) {
        self.watch.drain();
        let now = self.look();
        self.took = self.began.elapsed();
        let changed = self.made.during(now.changed(&self.seen), now.rewritten(&self.seen));
        self.waits = (!changed.is_empty()).then(|| instant(now.newest(&changed)));
        self.seen = now;
    }

    /// Waits until there is something that the last build has not seen; since when. It is to be built now.
    pub fn wait(&mut self) -> Instant {
        let since = self.saved();
        self.began = Instant::now();
        since
    }

    fn saved(&mut self) -> Instant {
        if let Some(since) = self.waits.take() {
            // As long as the last build, so that who saved something during each has time to do it again.
            let calm = self.took.max(CALM);
            return self.made.is_doubtful().then(|| self.ends_calm(calm)).flatten().unwrap_or(since);
        }
        if !self.made.left().is_empty() {
            let calm = self.made.patience(self.patience);
            return self.ends_calm(calm).unwrap_or_else(|| {
                let since = instant(self.seen.newest(self.made.left()));
                self.made.check();
                since
            });
        }
        loop {
            if let Some(since) = self.is_touched(None) {
                return since;
            }
        }
    }

    /// Waits for so long a calm; the save that ended it.
    fn ends_calm(&mut self, calm: Duration) -> Option<Instant> {
        let begin = Instant::now();
        loop {
            let left = calm.checked_sub(begin.elapsed()).filter(|left| !left.is_zero())?;
            if let Some(since) = self.is_touched(Some(left)) {
                return Some(since);
            }
        }
    }

    /// Waits, no longer than `limit`, until somebody saves something between two builds; when.
    fn is_touched(&mut self, limit: Option<Duration>) -> Option<Instant> {
        let limit = if self.watch.is_whole() { limit } else { Some(limit.unwrap_or(LOOK).min(LOOK)) };
        if self.watch.wait(limit) {
            let end = Instant::now() + LONG;
            while Instant::now() < end && self.watch.wait(Some(QUIET)) {}
        }
        let now = self.look();
        let touched = now.touched(&self.seen);
        self.made.between(&touched);
        let since = (!touched.is_empty()).then(|| instant(now.newest(&touched)));
        self.seen = now;
        since
    }

    /// Watches all folders that there are now, then looks: what is saved after the look wakes.
    fn look(&mut self) -> Sources {
        let Self { watch, roots, files, seen, .. } = self;
        Sources::look(roots, files, seen, |folders| watch.follow(folders))
    }
}

/// When a file was written last.
fn time(file: &Path) -> Option<SystemTime> {
    file.metadata().and_then(|about| about.modified()).ok()
}

/// The moment of a file's time.
fn instant(time: Option<SystemTime>) -> Instant {
    let now = Instant::now();
    // What is removed has no time, and a clock may have been set.
    let ago = time.and_then(|time| time.elapsed().ok()).unwrap_or_default();
    now.checked_sub(ago).filter(|_| ago < Duration::from_secs(3600)).unwrap_or(now)
}

/// What editors and version control keep for themselves, and what cargo and make write while they build, wherever it is; unless it is known that it is read.
fn is_hidden(name: &str) -> bool {
    let is_built = [".so", ".o", ".d"].iter().any(|end| name.ends_with(end));
    name.starts_with('.') || name.ends_with('~') || is_built || name == "Cargo.lock"
}

/// Where cargo and make put what they build. Deeper than directly below a root, `src/build/mod.rs` for example, these are names as any other.
fn is_output(name: &str) -> bool {
    ["target", "build"].contains(&name)
}

#[cfg(test)]
mod tests;
