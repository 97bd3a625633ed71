//! The reader: what a bay says now, looked at as a whole each time.
//!
//! Owns the last good entry of every module and the rules for giving one up: a file that cannot be read keeps what was read before, and an
//! absent one is dropped only if the folder was whole when it was looked at. Level-triggered: nothing is taken from events. Must not judge
//! blobs, only tell that some came.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hotbay_api::{Entry, EntryError, EntryKey, Reason, Trouble, names};

use crate::MAX_ENTRY_BYTES;
use crate::folder::{Folder, Found, ReadError};
use crate::problem::{Problem, reason_of_entry, reason_of_read};
use crate::sighting::Sighting;
use crate::watch::{Wake, Waker, Watcher, around};

/// How often a scan starts again when the folder is swapped under it, before it keeps what it had.
const ATTEMPTS: usize = 3;

/// How a bay is read.
#[derive(Clone, Debug)]
pub struct Options {
    /// A larger entry is refused as `TooLarge`.
    pub max_entry_bytes: u64,
    /// A bay that had entries must be seen empty for this long before they are given up.
    pub empty_after: Duration,
    /// Never use inotify.
    pub poll_only: bool,
}

/// What the bay says.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// Every module. An entry that did not change is the same `Arc` as in the scan before.
    pub entries: BTreeMap<EntryKey, Arc<Entry>>,
    /// Files that could not be taken, sorted by name; where `entries` has their module, it is the last good entry.
    pub problems: Vec<Problem>,
    /// What is wrong with the bay as a whole. `entries` is then what it was before.
    pub trouble: Option<Trouble>,
    /// Rises when a blob file has come or changed: what was `Incomplete` is worth another try.
    pub blobs_version: u64,
    /// Rises when anything above differs from the scan before.
    pub version: u64,
}

/// Reads one bay. For one thread; others reach it by its [`Waker`].
pub struct Reader {
    path: PathBuf,
    options: Options,
    watcher: Watcher,
    state: State,
    empty_since: Option<Instant>,
    last: Scan,
}

/// All that is remembered about the files of the bay.
#[derive(Clone, Default)]
struct State {
    /// By file name.
    entries: BTreeMap<String, KnownEntry>,
    /// By file name.
    blobs: BTreeMap<String, Sighting>,
    blobs_version: u64,
    /// Files called like entries, whose names name no module.
    misnamed: Vec<Problem>,
}

#[derive(Clone)]
struct KnownEntry {
    key: EntryKey,
    /// `None` while the file is not a regular one.
    sighting: Option<Sighting>,
    good: Option<Arc<Entry>>,
    problem: Option<Problem>,
}

impl Default for Options {
    fn default() -> Self {
        Self { max_entry_bytes: MAX_ENTRY_BYTES, empty_after: Duration::from_secs(1), poll_only: false }
    }
}

impl Reader {
    /// A reader of the bay at `path`, which need not exist yet.
    pub fn new(path: PathBuf, options: Options) -> Self {
        Self {
            path,
            watcher: Watcher::new(options.poll_only),
            options,
            state: State::default(),
            empty_since: None,
            last: Scan::default(),
        }
    }

    /// The folder that is read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Ends a [`wait`](Self::wait) from another thread.
    pub fn waker(&self) -> Waker {
        self.watcher.waker()
    }

    /// Why changes are found by polling alone, if they are. For the log.
    pub fn degraded(&self) -> Option<&str> {
        self.watcher.degraded()
    }

    /// Blocks until a scan is worth while: something changed, somebody woke it, or at most 250 ms or `timeout` passed.
    pub fn wait(&mut self, timeout: Duration) -> Wake {
        let wake = self.watcher.wait(timeout);
        self.watcher.take_closed();
        wake
    }

    /// Looks at the whole bay. Files whose stamps did not change are not read again. `now` is the time of the call.
    pub fn scan(&mut self, now: Instant) -> Scan {
        let trouble = self.look(now).err();
        if trouble.is_some() {
            self.empty_since = None;
        }
        self.publish(trouble)
    }

    fn look(&mut self, now: Instant) -> Result<(), Trouble> {
        for _ in 0..ATTEMPTS {
            self.watcher.watch(&around(&self.path));
            let folder = Folder::open(&self.path).map_err(|error| bay_missing(&self.path, &error))?;
            match self.state.pass(&folder, self.options.max_entry_bytes, now) {
                // Whatever was found, or went wrong, in a folder that is no longer the bay says nothing about the bay.
                _ if !folder.is_current() => {}
                Ok(next) => {
                    self.take(next, now);
                    return Ok(());
                }
                Err(error) => return Err(bay_missing(&self.path, &error)),
            }
        }
        // Swapped three times within one scan: what was read before stays, and the next scan is near.
        Ok(())
    }

    /// Takes over what a whole pass found; an empty bay after a full one only the second time, `empty_after` later.
    fn take(&mut self, mut next: State, now: Instant) {
        if !next.entries.is_empty() || self.state.entries.is_empty() {
            self.empty_since = None;
        } else {
            let since = *self.empty_since.get_or_insert(now);
            if now.saturating_duration_since(since) < self.options.empty_after {
                next.entries = std::mem::take(&mut self.state.entries);
            }
        }
        self.state = next;
    }

    fn publish(&mut self, trouble: Option<Trouble>) -> Scan {
        let known = self.state.entries.values();
        let entries: BTreeMap<_, _> =
            known.clone().filter_map(|known| Some((known.key.clone(), known.good.clone()?))).collect();
        let mut problems: Vec<Problem> = known.filter_map(|known| known.problem.clone()).collect();
        problems.extend(self.state.misnamed.iter().cloned());
        problems.sort_by(|one, other| one.file.cmp(&other.file));
        let mut next = Scan {
            entries,
            problems,
            trouble,
            blobs_version: self.state.blobs_version,
            version: self.last.version,
        };
        if !next.says_what(&self.last) {
            next.version += 1;
        }
        self.last = next.clone();
        next
    }
}

impl Scan {
    /// Whether it says what `other` says. Entries are compared by identity, which the reader keeps.
    fn says_what(&self, other: &Self) -> bool {
        self.entries.len() == other.entries.len()
            && self
                .entries
                .iter()
                .zip(&other.entries)
                .all(|(one, two)| one.0 == two.0 && Arc::ptr_eq(one.1, two.1))
            && self.problems == other.problems
            && self.trouble == other.trouble
            && self.blobs_version == other.blobs_version
    }
}

impl State {
    /// Looks at every file of `folder`. First at all stamps, then into the files: a stamp is thus not older than `now` by the time
    /// that reading other files takes.
    fn pass(&self, folder: &Folder, max_entry_bytes: u64, now: Instant) -> io::Result<Self> {
        // A listing can miss what is renamed while it is taken. So known names are asked for one by one, and an entry is given up only
        // if there is nothing of that name.
        let mut names = folder.names()?;
        names.extend(self.entries.keys().cloned());
        names.sort_unstable();
        names.dedup();
        let mut found = Vec::with_capacity(names.len());
        for name in names.into_iter().filter(|name| concerns(name)) {
            if let Some(what) = folder.find(&name)? {
                found.push((name, what));
            }
        }
        let mut next = Self { blobs_version: self.blobs_version, ..Self::default() };
        for (name, what) in found {
            if let Some(key) = EntryKey::from_file_name(&name) {
                let known = self.entries.get(&name);
                next.entries.insert(
                    name.clone(),
                    look_at_entry(folder, &name, key, &what, known, max_entry_bytes, now),
                );
            } else if names::parse_blob_file(&name).is_some() {
                next.see_blob(self.blobs.get(&name), name, &what, now);
            } else {
                next.misnamed.push(misnamed(&name));
            }
        }
        Ok(next)
    }

    /// The version rises when a blob's stamp is new, and once more when it is settled: a blob that was copied in the very moment it was
    /// written is tried again.
    fn see_blob(&mut self, known: Option<&Sighting>, name: String, what: &Found, now: Instant) {
        let Found::File(stamp) = what else { return };
        let mut sighting = Sighting::next(known, *stamp, now);
        if sighting.must_read(now) {
            sighting.mark_read(now);
            self.blobs_version += 1;
        }
        self.blobs.insert(name, sighting);
    }
}

/// Whether the reader cares for a file of this name. Drop-ins and everything else are others' business.
fn concerns(name: &str) -> bool {
    name.ends_with(names::ENTRY_SUFFIX) || names::parse_blob_file(name).is_some()
}

fn look_at_entry(
    folder: &Folder,
    name: &str,
    key: EntryKey,
    what: &Found,
    known: Option<&KnownEntry>,
    max: u64,
    now: Instant,
) -> KnownEntry {
    let good = known.and_then(|known| known.good.clone());
    let stamp = match what {
        Found::File(stamp) => *stamp,
        Found::Other(what) => {
            let problem = problem_of_read(&key, name, &ReadError::NotAFile(what));
            return KnownEntry { key, sighting: None, good, problem: Some(problem) };
        }
    };
    let mut sighting = Sighting::next(known.and_then(|known| known.sighting.as_ref()), stamp, now);
    if !sighting.must_read(now) {
        let problem = known.and_then(|known| known.problem.clone());
        return KnownEntry { key, sighting: Some(sighting), good, problem };
    }
    let result = match folder.read(name, max) {
        Ok(bytes) => {
            sighting.mark_read(now);
            parse(&key, &bytes)
                .map_err(|error| Problem::new(Some(&key), name, reason_of_entry(&error), &error))
        }
        // Not marked as read: it is tried again in the next scan.
        Err(error) => Err(problem_of_read(&key, name, &error)),
    };
    let (good, problem) = match result {
        Ok(entry) => (Some(good.filter(|good| **good == entry).unwrap_or_else(|| Arc::new(entry))), None),
        Err(problem) => (good, Some(problem)),
    };
    KnownEntry { key, sighting: Some(sighting), good, problem }
}

fn parse(key: &EntryKey, bytes: &[u8]) -> Result<Entry, EntryError> {
    let entry = Entry::parse(bytes)?;
    if entry.key() == *key { Ok(entry) } else { Err(EntryError::OtherModule(entry.key().to_string())) }
}

fn problem_of_read(key: &EntryKey, name: &str, error: &ReadError) -> Problem {
    Problem::new(Some(key), name, reason_of_read(error), error)
}

fn misnamed(name: &str) -> Problem {
    let message =
        format!("{name}: call it <namespace>.<name>{}, both lower-case DNS labels", names::ENTRY_SUFFIX);
    Problem { key: None, file: name.to_owned(), reason: Reason::ManifestInvalid, message }
}

fn bay_missing(path: &Path, error: &io::Error) -> Trouble {
    let message = format!(
        "cannot read the bay {}: {error}; what was loaded serves on until it is back",
        path.display()
    );
    Trouble { reason: Reason::BayMissing, message }
}

#[cfg(test)]
mod tests;
