//! Drop-ins: plain `.so` files in folders that people and compilers write, on a laptop.
//!
//! Owns when such a file may be read (closed by its writer, or quiet for 20 ms, and whole by its own headers), which module it is, and
//! the last good bytes of each. Level-triggered like the bay's reader. Must not judge the module beyond being whole, nor write anything.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hotbay_api::{Digest, EntryKey, NameError, Reason, names};

use crate::elf;
use crate::folder::{Folder, Found, ReadError};
use crate::problem::Problem;
use crate::sighting::{SETTLE, Sighting};
use crate::watch::{Interest, Wake, Waker, Watcher, around, parent};

/// The largest drop-in. A debug build of a module is some 10 MB; the whole file is held in memory.
const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// A source that had drop-ins must be seen without any for this long: linkers and editors delete before they write.
const EMPTY_AFTER: Duration = Duration::from_secs(1);

/// A drop-in as it was last seen whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropIn {
    /// `local/<stem>`.
    pub key: EntryKey,
    /// The module's name, see [`drop_in_stem`].
    pub stem: String,
    /// Where the file is.
    pub path: PathBuf,
    /// Of `bytes`.
    pub digest: Digest,
    /// The file's content. The same `Arc` as long as it does not change.
    pub bytes: Arc<[u8]>,
}

/// What the sources hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DropInScan {
    /// One for each stem, sorted by it.
    pub modules: Vec<DropIn>,
    /// Files that could not be taken; the last good content, if any, is still in `modules`.
    pub problems: Vec<Problem>,
}

/// Scans files and folders for drop-ins. For one thread; others reach it by its [`Waker`].
pub struct DropIns {
    sources: Vec<Source>,
    watcher: Watcher,
    /// Whether some file has to be looked at again even if nothing happens.
    pending: bool,
}

/// A folder, or one file of a folder.
struct Source {
    folder: PathBuf,
    only: Option<OsString>,
    /// By name.
    files: BTreeMap<String, KnownFile>,
    /// Stems for which the folder has an entry of its own.
    overridden: BTreeSet<EntryKey>,
    empty_since: Option<Instant>,
    trouble: Option<Problem>,
}

#[derive(Clone, Default)]
struct KnownFile {
    sighting: Option<Sighting>,
    good: Option<(Digest, Arc<[u8]>)>,
    problem: Option<Problem>,
}

/// The name of the module in `file_name`: without `lib` and `.so`, in lower case, with dashes for what a name cannot hold. `libhello_2.so`
/// is `hello-2`.
///
/// # Errors
/// When no DNS label is left.
pub fn drop_in_stem(file_name: &str) -> Result<String, NameError> {
    let stem = file_name.strip_suffix(names::DROP_IN_SUFFIX).unwrap_or(file_name);
    let stem = stem.strip_prefix("lib").filter(|rest| !rest.is_empty()).unwrap_or(stem);
    let label = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    let stem: String = stem.chars().map(label).collect();
    let stem = stem.trim_matches('-');
    if names::is_dns_label(stem) { Ok(stem.to_owned()) } else { Err(NameError::Label(file_name.to_owned())) }
}

impl DropIns {
    /// Scans `paths`: folders for every `.so` directly in them, and single files. What does not exist yet is taken for a file if it ends in
    /// `.so`, else for a folder.
    pub fn new(paths: &[PathBuf]) -> Self {
        let sources = paths.iter().map(|path| Source::new(path)).collect();
        Self { sources, watcher: Watcher::new(false), pending: false }
    }

    /// Ends a [`wait`](Self::wait) from another thread.
    pub fn waker(&self) -> Waker {
        self.watcher.waker()
    }

    /// Why changes are found by polling alone, if they are. For the log.
    pub fn degraded(&self) -> Option<&str> {
        self.watcher.degraded()
    }

    /// Blocks until a scan is worth while: something changed, a file may have become quiet, somebody woke it, or at most 250 ms passed.
    pub fn wait(&mut self, timeout: Duration) -> Wake {
        self.watcher.wait(if self.pending { timeout.min(SETTLE) } else { timeout })
    }

    /// Looks at every source as a whole. `now` is the time of the call.
    pub fn scan(&mut self, now: Instant) -> DropInScan {
        // Before the folders are looked at: what is closed from here on is for the next scan.
        let closed = self.watcher.take_closed();
        let wanted: Vec<_> = self.sources.iter().flat_map(Source::watches).collect();
        self.watcher.watch(&wanted);
        for source in &mut self.sources {
            source.look(&closed, now);
        }
        self.pending = self.sources.iter().any(Source::is_pending);
        resolve(&self.sources)
    }
}

impl Source {
    fn new(path: &Path) -> Self {
        let is_file = path.is_file() || (!path.exists() && path.extension().is_some_and(|end| end == "so"));
        let (folder, only) = match path.file_name() {
            Some(name) if is_file => (parent(path), Some(name.to_owned())),
            _ => (path.to_owned(), None),
        };
        Self {
            folder,
            only,
            files: BTreeMap::new(),
            overridden: BTreeSet::new(),
            empty_since: None,
            trouble: None,
        }
    }

    fn watches(&self) -> Vec<(PathBuf, Interest)> {
        match &self.only {
            Some(name) => vec![(self.folder.clone(), Interest::Name(name.clone()))],
            None => around(&self.folder),
        }
    }

    fn is_pending(&self) -> bool {
        let unsettled = |file: &KnownFile| file.sighting.is_some_and(|sighting| !sighting.is_settled());
        self.empty_since.is_some() || self.files.values().any(unsettled)
    }

    fn look(&mut self, closed: &BTreeSet<PathBuf>, now: Instant) {
        let looked = Folder::open(&self.folder).and_then(|folder| {
            let found = self.list(&folder)?;
            // What was found in a folder that is no longer there says nothing; the next scan is near.
            Ok(folder.is_current().then_some((folder, found)))
        });
        match looked {
            Ok(Some((folder, found))) => {
                self.trouble = None;
                self.take(&folder, found, closed, now);
            }
            Ok(None) => {}
            Err(error) => {
                self.trouble = Some(missing(&self.folder, &error));
                self.empty_since = None;
            }
        }
    }

    /// The drop-ins there are. Known ones are asked for by name, since a listing can miss what is renamed while it is taken.
    fn list(&mut self, folder: &Folder) -> io::Result<Vec<(String, Found)>> {
        let listed = folder.names()?;
        self.overridden = listed.iter().filter_map(|name| EntryKey::from_file_name(name)).collect();
        let wanted = |name: &&String| match &self.only {
            Some(only) => only.to_str() == Some(name),
            None => name.ends_with(names::DROP_IN_SUFFIX),
        };
        let all: BTreeSet<&String> = listed.iter().filter(wanted).chain(self.files.keys()).collect();
        let mut found = Vec::with_capacity(all.len());
        for name in all {
            if let Some(what) = folder.find(name)? {
                found.push((name.clone(), what));
            }
        }
        Ok(found)
    }

    fn take(
        &mut self,
        folder: &Folder,
        found: Vec<(String, Found)>,
        closed: &BTreeSet<PathBuf>,
        now: Instant,
    ) {
        if !found.is_empty() || self.files.is_empty() {
            self.empty_since = None;
        } else if now.saturating_duration_since(*self.empty_since.get_or_insert(now)) < EMPTY_AFTER {
            return;
        } else {
            self.empty_since = None;
        }
        let mut known = std::mem::take(&mut self.files);
        for (name, what) in found {
            let path = self.folder.join(&name);
            let file = known.remove(&name).unwrap_or_default();
            let file = file.look(folder, &name, &path, &what, closed.contains(&path), now);
            self.files.insert(name, file);
        }
    }
}

impl KnownFile {
    fn look(
        mut self,
        folder: &Folder,
        name: &str,
        path: &Path,
        what: &Found,
        closed: bool,
        now: Instant,
    ) -> Self {
        let stamp = match what {
            Found::File(stamp) => *stamp,
            Found::Other(what) => {
                self.sighting = None;
                self.problem =
                    Some(problem(name, path, Reason::InvalidElf, &ReadError::NotAFile(what).to_string()));
                return self;
            }
        };
        let mut sighting = Sighting::next(self.sighting.as_ref(), stamp, now);
        // Closed by its writer, or nobody has touched it for a while.
        if sighting.must_read(now) && (closed || sighting.is_quiet(now)) {
            let result = folder.read(name, MAX_BYTES);
            if !matches!(result, Err(ReadError::Changing | ReadError::Gone)) {
                sighting.mark_read(now);
            }
            self.problem = self.take(name, path, result).err();
        }
        self.sighting = Some(sighting);
        self
    }

    /// Makes what was read the last good content, if it is whole.
    fn take(&mut self, name: &str, path: &Path, read: Result<Vec<u8>, ReadError>) -> Result<(), Problem> {
        let bytes = read.map_err(|error| {
            let reason = match error {
                ReadError::TooLarge { .. } => Reason::TooLarge,
                ReadError::NotAFile(_) => Reason::InvalidElf,
                ReadError::Gone | ReadError::Changing | ReadError::Io(_) => Reason::Incomplete,
            };
            problem(name, path, reason, &error.to_string())
        })?;
        elf::check_whole(&bytes).map_err(|why| problem(name, path, Reason::InvalidElf, why))?;
        let digest = Digest::of(&bytes);
        if self.good.as_ref().is_none_or(|(good, _)| *good != digest) {
            self.good = Some((digest, bytes.into()));
        }
        Ok(())
    }
}

/// Gives each stem to the first of its files by path. An entry `local.<stem>.module.json` beside a drop-in stands for it.
fn resolve(sources: &[Source]) -> DropInScan {
    let mut problems: Vec<Problem> = sources.iter().filter_map(|source| source.trouble.clone()).collect();
    let mut files: BTreeMap<PathBuf, &KnownFile> = BTreeMap::new();
    for source in sources {
        files.extend(source.files.iter().map(|(name, file)| (source.folder.join(name), file)));
    }
    let overridden: BTreeSet<&EntryKey> = sources.iter().flat_map(|source| &source.overridden).collect();
    let mut owners: BTreeMap<EntryKey, &Path> = BTreeMap::new();
    let mut modules = BTreeMap::new();
    for (path, file) in &files {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let key = match drop_in_stem(name).and_then(|stem| EntryKey::new(names::LOCAL_NAMESPACE, &stem)) {
            Ok(key) => key,
            Err(error) => {
                problems.push(misnamed(path, &error));
                continue;
            }
        };
        if overridden.contains(&key) {
            continue;
        }
        if let Some(owner) = owners.get(&key) {
            problems.push(taken(path, &key, owner));
            continue;
        }
        owners.insert(key.clone(), path);
        problems.extend(file.problem.clone());
        if let Some((digest, bytes)) = &file.good {
            let stem = key.name.clone();
            let drop_in =
                DropIn { key: key.clone(), stem, path: path.clone(), digest: *digest, bytes: bytes.clone() };
            modules.insert(key, drop_in);
        }
    }
    problems.sort_by(|one, other| one.file.cmp(&other.file));
    DropInScan { modules: modules.into_values().collect(), problems }
}

fn problem(name: &str, path: &Path, reason: Reason, why: &str) -> Problem {
    let key = drop_in_stem(name).ok().and_then(|stem| EntryKey::new(names::LOCAL_NAMESPACE, &stem).ok());
    Problem { key, file: path.display().to_string(), reason, message: format!("{}: {why}", path.display()) }
}

fn taken(path: &Path, key: &EntryKey, owner: &Path) -> Problem {
    let message = format!(
        "{}: {} is already the module {:?}; rename one of them",
        path.display(),
        owner.display(),
        key.name
    );
    Problem { key: None, file: path.display().to_string(), reason: Reason::ManifestInvalid, message }
}

fn misnamed(path: &Path, error: &NameError) -> Problem {
    let message = format!("{}: its name makes no module name: {error}", path.display());
    Problem { key: None, file: path.display().to_string(), reason: Reason::ManifestInvalid, message }
}

fn missing(folder: &Path, error: &io::Error) -> Problem {
    let message =
        format!("cannot read the folder {}: {error}; what was loaded from it serves on", folder.display());
    Problem { key: None, file: folder.display().to_string(), reason: Reason::BayMissing, message }
}

#[cfg(test)]
mod tests;
