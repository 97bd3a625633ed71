//! Being woken when something in a folder changes.
//!
//! Owns the watches, by inotify, which names count in which folder, and says where there can be none and what to do then. The kernel knows which folders
//! are watched: all are named again at every look, so that one that was removed and made again is watched again, and so is one for which there was no room.
//! Must not know what has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use super::{LOOK, is_hidden};

/// Events are at most 16 bytes and a name of 255.
const BUFFER: usize = 16 * 1024;

/// See the module.
#[derive(Debug)]
pub(super) struct Watch {
    /// How it is begun.
    begin: fn() -> rustix::io::Result<OwnedFd>,
    /// `None`: the system has no more.
    inotify: Option<OwnedFd>,
    /// What counts in which folder, by the kernel's number of its watch.
    scopes: BTreeMap<i32, Scope>,
    /// Whether all that is to be watched is.
    is_whole: bool,
    /// Whether it was said that it is not.
    has_complained: bool,
}

/// What counts in a folder.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    /// Whether it is one: it may be none now.
    pub is_folder: bool,
    /// Whether all counts that is not hidden.
    pub has_sources: bool,
    /// What counts besides, whatever it is called.
    pub names: BTreeSet<OsString>,
}

impl Scope {
    fn counts(&self, name: &OsStr) -> bool {
        self.has_sources && !is_hidden(&name.to_string_lossy()) || self.names.contains(name)
    }

    /// With what counts in the same folder by another path.
    fn join(&mut self, other: &Self) {
        self.has_sources |= other.has_sources;
        self.names.extend(other.names.iter().cloned());
    }
}

impl Watch {
    /// One that watches nothing yet.
    pub fn new() -> Self {
        Self::begun_by(|| inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK))
    }

    /// The same, with an inotify that tests choose.
    pub fn begun_by(begin: fn() -> rustix::io::Result<OwnedFd>) -> Self {
        Self { begin, inotify: None, scopes: BTreeMap::new(), is_whole: false, has_complained: false }
    }

    /// Watches these folders, as far as the system lets it.
    pub fn follow(&mut self, folders: &BTreeMap<PathBuf, Scope>) {
        self.is_whole = folders.values().all(|scope| scope.is_folder);
        if let Err((errno, what)) = self.try_follow(folders) {
            self.is_whole = false;
            // What is removed meanwhile is looked for, and wants no words.
            if errno != Errno::NOENT && !std::mem::replace(&mut self.has_complained, true) {
                tracing::warn!("{what} cannot be watched for saves: {}", words(errno));
            }
        } else if std::mem::take(&mut self.has_complained) {
            tracing::info!("all folders are watched for saves again");
        }
    }

    fn try_follow(&mut self, folders: &BTreeMap<PathBuf, Scope>) -> Result<(), (Errno, String)> {
        let inotify = match &mut self.inotify {
            Some(inotify) => inotify,
            none => {
                let new = (self.begin)();
                none.insert(new.map_err(|errno| (errno, "the project".to_owned()))?)
            }
        };
        let changes = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVE
            | WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ATTRIB
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        let mut result = Ok(());
        self.scopes.clear();
        for (folder, scope) in folders.iter().filter(|(_, scope)| scope.is_folder) {
            match inotify::add_watch(&*inotify, folder, changes) {
                Ok(number) => self.scopes.entry(number).or_default().join(scope),
                // The others are watched all the same.
                Err(errno) => result = Err((errno, folder.display().to_string())),
            }
        }
        result
    }

    /// Whether whatever happens wakes.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Waits until something has happened to what counts, without end if there is no `limit`. False: nothing did.
    pub fn wait(&self, limit: Option<Duration>) -> bool {
        let Some(inotify) = &self.inotify else {
            std::thread::sleep(limit.unwrap_or(LOOK));
            return false;
        };
        let end = limit.map(|limit| Instant::now() + limit);
        loop {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            // So long a time that it has no form is without end.
            let left_time = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(&mut [PollFd::new(inotify, PollFlags::IN)], left_time.as_ref()) {
                Ok(0) => return false,
                Ok(_) if self.drain() => return true,
                // A signal, or what nobody wants to know.
                _ => {}
            }
        }
    }

    /// Forgets what has happened; whether something has to what counts.
    pub fn drain(&self) -> bool {
        let Some(inotify) = &self.inotify else { return false };
        let mut buffer = [const { MaybeUninit::uninit() }; BUFFER];
        let mut events = Reader::new(inotify, &mut buffer);
        let mut any = false;
        // The last one says that there are no more.
        while let Ok(event) = events.next() {
            let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
            let is_lost = event.events().contains(ReadFlags::QUEUE_OVERFLOW);
            // A folder that counts no more may be watched still.
            let counts = |name| self.scopes.get(&event.wd()).is_some_and(|scope| scope.counts(name));
            any |= is_lost || name.is_none_or(counts);
        }
        any
    }
}

/// Why folders cannot be watched, and what to do.
fn words(errno: Errno) -> String {
    // By its own words the first one would be the disk's.
    let (why, setting) = match errno {
        Errno::NOSPC => ("the system has no more watches", "max_user_watches"),
        Errno::MFILE => ("the system has no more instances of inotify", "max_user_instances"),
        other => return format!("{other}; saves are looked for every {LOOK:?} instead"),
    };
    let now = std::fs::read_to_string(Path::new("/proc/sys/fs/inotify").join(setting)).unwrap_or_default();
    format!(
        "{why}; saves are looked for every {LOOK:?} instead; raise fs.inotify.{setting} (now {}) with `sysctl`, or have other programs watch less",
        now.trim()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_room_for_watches_is_told_which_setting_makes_some() {
        let said = words(Errno::NOSPC);
        assert!(
            said.contains("no more watches") && said.contains("raise fs.inotify.max_user_watches (now "),
            "{said}"
        );
        assert!(words(Errno::MFILE).contains("raise fs.inotify.max_user_instances (now "));
        assert!(!words(Errno::ACCESS).contains("sysctl"));
    }
}
