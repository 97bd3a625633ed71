//! What a project is built from, at one moment.
//!
//! Owns the look at the disk, and what two looks have not in common. A file's content is read only when something was done to the file, so that a project
//! with large files costs no more than a list of its folders.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirEntry, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hotbay_api::Digest;

use super::watch::Scope;
use super::{is_hidden, is_output};

/// A larger file's content counts as another whenever something was done to the file.
const READ: u64 = 4 * 1024 * 1024;
/// The clock of a file system may stand still for so long: two changes of a file can have one time.
const TICK: Duration = Duration::from_millis(20);

/// Cargo marks the folder that it writes to by this file.
const MARK: &str = "CACHEDIR.TAG";

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Sources {
    files: BTreeMap<PathBuf, File>,
    /// When it was looked; `None`: never.
    looked: Option<SystemTime>,
}

#[derive(Debug)]
struct File {
    stamp: Stamp,
    /// What changed its content or its name last.
    changed: SystemTime,
    /// `None`: nobody has read it, or it is too large.
    content: Option<Digest>,
}

/// Whatever is done to a file, this is another then, if its time is.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    /// When its content was written last.
    written: (i64, i64),
    /// When anything was done to it last: its rights have changed, or its name.
    changed: (i64, i64),
}

impl Sources {
    /// All files of `roots` that may be sources, and `others`. `before`, an earlier look, saves the reading of what is as it was. `follow` hears of all folders
    /// and of what counts in each before any file is looked at.
    pub fn look(
        roots: &BTreeSet<PathBuf>,
        others: &BTreeSet<PathBuf>,
        before: &Self,
        follow: impl FnOnce(&BTreeMap<PathBuf, Scope>),
    ) -> Self {
        let roots: BTreeSet<&Path> = roots.iter().map(PathBuf::as_path).collect();
        let mut found = BTreeMap::new();
        for root in &roots {
            // A root in another may have been found already.
            found.entry(PathBuf::from(root)).or_insert(false);
            folders(root, &roots, &mut found);
        }
        follow(&scopes(&found, others));
        let looked = SystemTime::now();
        let inside = found.keys().flat_map(|folder| visible(folder, &roots)).map(|entry| entry.path());
        let files = inside.chain(others.iter().cloned()).filter_map(|path| {
            // A link to a file is followed.
            let about = path.metadata().ok().filter(Metadata::is_file)?;
            let file = File::look(&path, &about, before.files.get(&path), before.looked);
            Some((path, file))
        });
        Self { files: files.collect(), looked: Some(looked) }
    }

    /// Takes in the files of another look that were as they are now when this one was made.
    pub fn adopt(&mut self, others: Self) {
        let looked = self.looked.unwrap_or(UNIX_EPOCH);
        let older = others.files.into_iter().filter(|(_, file)| file.changed + TICK < looked);
        for (path, file) in older {
            self.files.entry(path).or_insert(file);
        }
    }

    /// Is as if these had never been looked at.
    pub fn forget<'a>(&mut self, files: impl Iterator<Item = &'a PathBuf>) {
        for file in files {
            self.files.remove(file);
        }
    }

    /// The files to which something was done since `before`.
    pub fn touched(&self, before: &Self) -> BTreeSet<PathBuf> {
        self.different(before, |now, then| {
            let is_other_content = now.content.zip(then.content).is_some_and(|(now, then)| now != then);
            now.stamp == then.stamp && !is_other_content
        })
    }

    /// The files whose content is another than it was `before`, as far as is known.
    pub fn changed(&self, before: &Self) -> BTreeSet<PathBuf> {
        self.different(before, |now, then| match (now.content, then.content) {
            (Some(now), Some(then)) => now == then,
            _ => now.stamp == then.stamp,
        })
    }

    /// The files that were written since `before` and have the same content now: who wrote them twice may have written something else first.
    pub fn rewritten(&self, before: &Self) -> BTreeSet<PathBuf> {
        let is_rewritten = |(path, now): &(&PathBuf, &File)| {
            let then =
                before.files.get(*path).filter(|then| now.content.is_some() && now.content == then.content);
            then.is_some_and(|then| now.written() != then.written())
        };
        self.files.iter().filter(is_rewritten).map(|(path, _)| path.clone()).collect()
    }

    fn different(&self, before: &Self, is_same: impl Fn(&File, &File) -> bool) -> BTreeSet<PathBuf> {
        let is_other =
            |(path, now): &(&PathBuf, &File)| before.files.get(*path).is_none_or(|then| !is_same(now, then));
        let there = self.files.iter().filter(is_other).map(|(path, _)| path);
        let gone = before.files.keys().filter(|path| !self.files.contains_key(*path));
        there.chain(gone).cloned().collect()
    }

    /// When the last of these was changed.
    pub fn newest(&self, paths: &BTreeSet<PathBuf>) -> Option<SystemTime> {
        paths.iter().filter_map(|path| self.files.get(path)).map(|file| file.changed).max()
    }
}

impl File {
    fn look(path: &Path, about: &Metadata, before: Option<&Self>, looked: Option<SystemTime>) -> Self {
        let stamp = Stamp {
            device: about.dev(),
            inode: about.ino(),
            size: about.size(),
            written: (about.mtime(), about.mtime_nsec()),
            changed: (about.ctime(), about.ctime_nsec()),
        };
        let seconds = u64::try_from(about.ctime()).unwrap_or_default();
        let nanos = u32::try_from(about.ctime_nsec()).unwrap_or_default();
        let changed = UNIX_EPOCH + Duration::new(seconds, nanos);
        // What was written within a tick of the look may have been written again since.
        let is_as_it_was = before
            .filter(|before| before.stamp == stamp && looked.is_some_and(|looked| changed + TICK < looked));
        let content = match is_as_it_was {
            Some(before) => before.content,
            None if looked.is_none() || stamp.size > READ => None,
            None => std::fs::read(path).ok().map(|bytes| Digest::of(&bytes)),
        };
        Self { stamp, changed, content }
    }

    /// Which writing of which file it is.
    fn written(&self) -> (u64, u64, (i64, i64)) {
        (self.stamp.device, self.stamp.inode, self.stamp.written)
    }
}

/// What counts in which folder: all that may be a source in those that were `found`, and the `others` by name.
fn scopes(found: &BTreeMap<PathBuf, bool>, others: &BTreeSet<PathBuf>) -> BTreeMap<PathBuf, Scope> {
    let all = |(folder, is_folder): (&PathBuf, &bool)| {
        (folder.clone(), Scope { is_folder: *is_folder, has_sources: true, names: BTreeSet::new() })
    };
    let mut scopes: BTreeMap<PathBuf, Scope> = found.iter().map(all).collect();
    for (folder, name) in others.iter().filter_map(|path| Some((path.parent()?, path.file_name()?))) {
        let alone = || Scope { is_folder: folder.is_dir(), ..Scope::default() };
        scopes.entry(folder.to_owned()).or_insert_with(alone).names.insert(name.to_owned());
    }
    scopes
}

/// Whether a look at `roots` finds the file, if it is there.
pub(super) fn is_found(file: &Path, roots: &BTreeSet<PathBuf>) -> bool {
    let is_found_in = |root: &PathBuf| {
        let Ok(inside) = file.strip_prefix(root) else { return false };
        let mut folder = root.clone();
        inside.iter().all(|name| {
            let is_visible = is_visible(&name.to_string_lossy(), roots.contains(&folder));
            folder.push(name);
            is_visible
        })
    };
    roots.iter().any(is_found_in)
}

/// Whether a file is one that cargo writes.
pub(super) fn is_marked(file: &Path) -> bool {
    file.ancestors().skip(1).any(|folder| folder.join(MARK).exists())
}

/// `folder` and all folders in it that may hold sources; true: it is one.
fn folders(folder: &Path, roots: &BTreeSet<&Path>, found: &mut BTreeMap<PathBuf, bool>) {
    // A link may lead anywhere, and round.
    let is_folder = folder.symlink_metadata().is_ok_and(|about| about.is_dir());
    if !is_folder || folder.join(MARK).exists() {
        return;
    }
    found.insert(folder.to_owned(), true);
    for entry in visible(folder, roots) {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            folders(&entry.path(), roots, found);
        }
    }
}

/// What in a folder may be a source, or hold some.
fn visible(folder: &Path, roots: &BTreeSet<&Path>) -> impl Iterator<Item = DirEntry> + use<> {
    let is_root = roots.contains(folder);
    folder
        .read_dir()
        .into_iter()
        .flatten()
        .flatten()
        .filter(move |entry| is_visible(&entry.file_name().to_string_lossy(), is_root))
}

/// Whether what has this name may be a source, or hold some. `is_root`: it lies directly in a package's folder.
fn is_visible(name: &str, is_root: bool) -> bool {
    !(is_hidden(name) || is_root && is_output(name))
}
