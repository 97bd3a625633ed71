//! What the named files ask for, followed as they change.
//!
//! Owns the looking: YAML files by content, `.so` files by the drop-in algorithm, image layouts by their index. Runs on a thread of its own. A file that
//! cannot be read keeps what it held before.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hotbay_api::HandlerModule;
use hotbay_bay::{DropIn, DropIns};
use tokio::sync::mpsc;

use super::is_yaml;
use super::yaml::{self, Documents};

/// How often YAML files are looked at: a handful of small files, and no editor's way of saving escapes it.
const LOOK: Duration = Duration::from_millis(100);
/// A file that is out of sight for less was not removed: an editor renames it and writes another one in its place.
const ABSENCE: Duration = Duration::from_secs(1);

/// Everything that is asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Desired {
    pub modules: Vec<HandlerModule>,
    pub drop_ins: Vec<DropIn>,
    /// Rises when an image layout has changed: what it holds is to be looked up again.
    pub layouts: u64,
}

/// Looks until nobody listens any more.
pub(super) fn follow(paths: &[PathBuf], layouts: &[PathBuf], desired: &mpsc::Sender<Desired>) {
    let code: Vec<PathBuf> = paths.iter().filter(|path| !is_yaml(path)).cloned().collect();
    let mut drop_ins = DropIns::new(&code);
    let mut files = Files::default();
    let mut layouts = Layouts::new(layouts);
    let mut problems = Vec::new();
    let mut sent = None;
    loop {
        let scan = drop_ins.scan(Instant::now());
        files.look(paths, Instant::now());
        let now: Vec<String> =
            scan.problems.iter().map(|problem| format!("{}: {}", problem.reason, problem.message)).collect();
        for problem in now.iter().filter(|problem| !problems.contains(*problem)) {
            tracing::warn!("failed: {problem}");
        }
        problems = now;
        let next = Desired { modules: files.modules(), drop_ins: scan.modules, layouts: layouts.look() };
        let key = (files.version, next.layouts, next.drop_ins.clone());
        if sent.as_ref() != Some(&key) {
            sent = Some(key);
            if desired.blocking_send(next).is_err() {
                return;
            }
        }
        drop_ins.wait(LOOK);
    }
}

/// The YAML files, by path.
#[derive(Default)]
struct Files {
    known: BTreeMap<PathBuf, File>,
    version: u64,
}

#[derive(Default)]
struct File {
    /// As last read.
    text: String,
    /// As last taken.
    taken: Option<String>,
    documents: Documents,
    unreadable: Option<String>,
    absent_since: Option<Instant>,
}

impl Files {
    fn look(&mut self, paths: &[PathBuf], now: Instant) {
        let before = self.known.len();
        self.known.retain(|path, file| !file.is_gone(path, now));
        self.version += u64::from(self.known.len() != before);
        for path in yaml_files(paths) {
            let read = std::fs::read_to_string(&path);
            let known = self.known.entry(path.clone()).or_default();
            self.version += u64::from(known.take(&path, read));
        }
    }

    fn modules(&self) -> Vec<HandlerModule> {
        self.known.values().flat_map(|file| file.documents.modules.iter().cloned()).collect()
    }
}

impl File {
    /// Whether the file was removed, and not only renamed for an instant or gone with its folder.
    fn is_gone(&mut self, path: &Path, now: Instant) -> bool {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if path.exists() || std::fs::read_dir(folder).is_err() {
            self.absent_since = None;
            return false;
        }
        now.duration_since(*self.absent_since.get_or_insert(now)) >= ABSENCE
    }

    /// Takes the text if it was the same at two looks: an editor that truncates and writes is not caught half-way. True if modules changed.
    fn take(&mut self, path: &Path, read: std::io::Result<String>) -> bool {
        let text = match read {
            Ok(text) => text,
            // `is_gone` sees to it.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return false,
            Err(error) => {
                let words = Some(error.to_string());
                if self.unreadable != words {
                    tracing::warn!(file = %path.display(), %error, "failed to read; what it held before stays");
                }
                self.unreadable = words;
                return false;
            }
        };
        self.unreadable = None;
        let first = self.taken.is_none();
        let steady = std::mem::replace(&mut self.text, text) == self.text;
        if self.taken.as_ref() == Some(&self.text) || !(steady || first) {
            return false;
        }
        self.taken = Some(self.text.clone());
        match yaml::parse(path, &self.text) {
            Ok(documents) => {
                for kind in &documents.ignored {
                    tracing::info!(file = %path.display(), "passed over a {kind}: it is for clusters");
                }
                let changed = documents != self.documents;
                self.documents = documents;
                changed
            }
            Err(error) => {
                tracing::warn!("failed: {error}; what it held before stays");
                false
            }
        }
    }
}

fn yaml_files(paths: &[PathBuf]) -> Vec<PathBuf> {
    let inside = |path: &PathBuf| -> Vec<PathBuf> {
        if is_yaml(path) {
            return if path.exists() { vec![path.clone()] } else { Vec::new() };
        }
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
        entries.filter(|path| is_yaml(path)).collect()
    };
    paths.iter().flat_map(inside).collect()
}

/// Image layouts, by the content of their index.
struct Layouts {
    indexes: Vec<(PathBuf, Option<Vec<u8>>)>,
    version: u64,
}

impl Layouts {
    fn new(folders: &[PathBuf]) -> Self {
        let indexes = folders.iter().map(|folder| (folder.join("index.json"), None)).collect();
        Self { indexes, version: 0 }
    }

    fn look(&mut self) -> u64 {
        for (path, known) in &mut self.indexes {
            if let Ok(bytes) = std::fs::read(path)
                && known.as_ref() != Some(&bytes)
            {
                *known = Some(bytes);
                self.version += 1;
            }
        }
        self.version
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = "apiVersion: hotbay.dev/v1alpha1\nkind: HandlerModule\nmetadata: {name: hello}\n\
                         spec: {source: {oci: {reference: r.example.com/hello:1.0}}}\n";

    #[test]
    fn a_file_is_dropped_only_when_it_stays_away_from_a_folder_that_is_there() {
        let home = tempfile::tempdir().unwrap();
        let (folder, away) = (home.path().join("modules"), home.path().join("away"));
        std::fs::create_dir(&folder).unwrap();
        let (file, backup) = (folder.join("m.yaml"), folder.join("m.yaml~"));
        std::fs::write(&file, HELLO).unwrap();
        let begin = Instant::now();
        let mut files = Files::default();
        let mut modules = |millis| {
            files.look(std::slice::from_ref(&folder), begin + Duration::from_millis(millis));
            files.modules().len()
        };
        assert_eq!(modules(0), 1);
        // As vim saves.
        std::fs::rename(&file, &backup).unwrap();
        assert_eq!(modules(100), 1);
        assert_eq!(modules(1_099), 1);
        std::fs::rename(&backup, &file).unwrap();
        assert_eq!(modules(1_200), 1);
        std::fs::rename(&folder, &away).unwrap();
        assert_eq!(modules(1_300), 1);
        assert_eq!(modules(9_000), 1, "nobody can say what was removed");
        std::fs::rename(&away, &folder).unwrap();
        std::fs::remove_file(&file).unwrap();
        assert_eq!(modules(9_100), 1);
        assert_eq!(modules(10_100), 0);
    }
}
