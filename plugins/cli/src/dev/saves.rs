//! When a project was saved.
//!
//! Owns what is watched: the folders of the project and of its neighbours on the disk, without what tools and version control write themselves. An
//! event only wakes: cargo or make finds out what has changed.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::project::Project;

/// One save is several events, a millisecond apart; so long without one is the end of it.
const QUIET: Duration = Duration::from_millis(5);

/// See the module.
pub(super) struct Saves {
    watcher: RecommendedWatcher,
    events: Receiver<Instant>,
    /// The packages, and their manifests as they were when cargo was asked for them.
    roots: BTreeMap<PathBuf, Option<SystemTime>>,
    /// By device and inode: a folder that is made anew under an old name has a new watch.
    watched: BTreeMap<PathBuf, (u64, u64)>,
}

impl Saves {
    /// Watches the project's own folder.
    ///
    /// # Errors
    /// When the system has no more room for watches.
    pub fn new(project: &Project) -> anyhow::Result<Self> {
        let (events_tx, events) = mpsc::channel();
        let heard = move |event: notify::Result<notify::Event>| {
            // What cannot be told may have been a save.
            if event.map_or(true, |event| is_save(&event)) {
                // Nobody listens any more: the command ends.
                let _ = events_tx.send(Instant::now());
            }
        };
        let watcher = notify::recommended_watcher(heard).context("failed to watch for saves")?;
        let roots = BTreeMap::from([(project.folder().to_owned(), None)]);
        let mut saves = Self { watcher, events, roots, watched: BTreeMap::new() };
        saves.watch();
        Ok(saves)
    }

    /// Watches all that the project is built from now; whether there is something new, which may have been saved before it was watched. To be called
    /// after a build, when cargo has all that it needs at hand.
    pub fn follow(&mut self, project: &Project) -> bool {
        let changed = self.roots.iter().any(|(root, then)| then.is_none() || *then != manifest_time(root));
        if changed {
            match project.sources() {
                Ok(roots) => {
                    self.roots = roots.into_iter().map(|root| (root.clone(), manifest_time(&root))).collect();
                }
                Err(error) => tracing::warn!("{error:#}; what was watched before is watched"),
            }
        }
        self.watch()
    }

    /// Whether there are folders that were not watched before.
    fn watch(&mut self) -> bool {
        let mut found = BTreeMap::new();
        for root in self.roots.keys() {
            folders(root, &mut found);
        }
        let mut any = false;
        for (folder, _) in found.iter().filter(|(folder, id)| self.watched.get(*folder) != Some(id)) {
            any = true;
            if let Err(error) = self.watcher.watch(folder, RecursiveMode::NonRecursive) {
                tracing::warn!(folder = %folder.display(), %error, "cannot be watched");
            }
        }
        self.watched = found;
        any
    }

    /// Waits for the next save; when it was over.
    ///
    /// # Errors
    /// When nothing can be heard any more.
    pub fn wait(&self) -> anyhow::Result<Instant> {
        let mut last = self.events.recv().context("the watch for saves has ended")?;
        loop {
            match self.events.recv_timeout(QUIET) {
                Ok(next) => last = next,
                Err(RecvTimeoutError::Timeout) => return Ok(last),
                Err(RecvTimeoutError::Disconnected) => anyhow::bail!("the watch for saves has ended"),
            }
        }
    }
}

fn manifest_time(root: &Path) -> Option<SystemTime> {
    root.join("Cargo.toml").metadata().and_then(|about| about.modified()).ok()
}

/// Reading a file changes nothing. An event without a path says that others were lost.
fn is_save(event: &notify::Event) -> bool {
    let of_ours = event.paths.is_empty() || event.paths.iter().any(|path| !is_hidden(path));
    of_ours && !matches!(event.kind, EventKind::Access(_))
}

/// `root` and all folders in it that may hold sources.
fn folders(root: &Path, found: &mut BTreeMap<PathBuf, (u64, u64)>) {
    // A link may lead anywhere, and round.
    let Ok(about) = root.symlink_metadata() else { return };
    // Cargo marks what it writes by this file.
    if !about.is_dir() || root.join("CACHEDIR.TAG").exists() {
        return;
    }
    found.insert(root.to_owned(), (about.dev(), about.ino()));
    let inside = root.read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
    inside.filter(|path| !is_hidden(path)).for_each(|path| folders(&path, found));
}

/// What editors and version control keep for themselves, and what cargo and make write while they build.
fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_built = [".so", ".o", ".d"].iter().any(|end| name.ends_with(end));
    name.starts_with('.')
        || name.ends_with('~')
        || is_built
        || ["target", "build", "Cargo.lock"].contains(&name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_cargo_and_version_control_write_is_not_watched() {
        let home = tempfile::tempdir().unwrap();
        for folder in ["src/deep", ".git/objects", "out/debug"] {
            std::fs::create_dir_all(home.path().join(folder)).unwrap();
        }
        std::fs::write(home.path().join("out/CACHEDIR.TAG"), "").unwrap();
        let mut found = BTreeMap::new();
        folders(home.path(), &mut found);
        let found: BTreeSet<&Path> =
            found.keys().filter_map(|path| path.strip_prefix(home.path()).ok()).collect();
        assert_eq!(found, BTreeSet::from(["", "src", "src/deep"].map(Path::new)));
        for (name, hidden) in [
            ("lib.rs", false),
            (".lib.rs.swp", true),
            ("lib.rs~", true),
            ("Cargo.lock", true),
            ("a.so", true),
            ("a.so.c", false),
        ] {
            assert_eq!(is_hidden(Path::new(name)), hidden, "{name}");
        }
    }

    #[test]
    fn lost_events_may_have_been_saves_and_reading_is_none() {
        let event = |kind| notify::Event::new(kind);
        assert!(is_save(&event(EventKind::Other)));
        let read = event(EventKind::Access(notify::event::AccessKind::Read)).add_path("lib.rs".into());
        assert!(!is_save(&read));
        assert!(is_save(&event(EventKind::Any).add_path("lib.rs".into())));
        assert!(!is_save(&event(EventKind::Any).add_path("target".into())));
    }
}
