//! Waiting for something to change in a few folders.
//!
//! Owns the inotify descriptor and the 250 ms after which a scan is due anyway. Events only wake: no state is taken from them (but for "this
//! file was closed by its writer", a hint for drop-ins), so a lost or overflown queue costs a delay and nothing else. Without inotify it
//! polls, and says so.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use crate::folder::SNAPSHOT_LINK;

/// A scan is due after this time even if nothing was heard: some file systems tell nothing.
pub const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// One save is often several events; waiting this long for the next spares a scan each.
const DEBOUNCE: Duration = Duration::from_millis(2);
/// Under a steady stream of events a scan starts after at most this many debounces (20 ms).
const DEBOUNCES: usize = 10;

/// Why waiting ended. Each asks for a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Something happened in a folder.
    Changed,
    /// The time has passed.
    Due,
    /// Somebody called [`Waker::wake`].
    Woken,
}

/// Ends a wait from another thread.
#[derive(Clone, Debug)]
pub struct Waker(Option<Arc<OwnedFd>>);

/// Waits for one file that others replace by rename, such as the local report. For one thread.
pub struct FileWatch {
    watcher: Watcher,
    wanted: [(PathBuf, Interest); 1],
}

/// What is of interest about a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// One name that comes or goes.
    Name(OsString),
    /// Every file that is done or gone.
    Files,
}

pub(crate) struct Watcher {
    inotify: Option<OwnedFd>,
    waker: Waker,
    watched: BTreeMap<i32, Watched>,
    closed: BTreeSet<PathBuf>,
    degraded: Option<String>,
}

struct Watched {
    folder: PathBuf,
    interests: Vec<Interest>,
}

impl Waker {
    fn new() -> Self {
        Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok().map(Arc::new))
    }

    /// Makes the wait in progress, or else the next one, return at once.
    pub fn wake(&self) {
        if let Some(event) = &self.0 {
            // Fails only if the counter is full, and then the sleeper is as good as awake.
            let _ = rustix::io::write(event, &1_u64.to_ne_bytes());
        }
    }

    fn clear(&self) {
        if let Some(event) = &self.0 {
            let _ = rustix::io::read(event, &mut [0; 8]);
        }
    }
}

impl FileWatch {
    /// Watches the file at `path`, which need not exist yet. What changes from here on is heard.
    pub fn new(path: &Path) -> Self {
        let wanted = [(parent(path), Interest::Name(path.file_name().unwrap_or_default().to_owned()))];
        let mut watcher = Watcher::new(false);
        watcher.watch(&wanted);
        Self { watcher, wanted }
    }

    /// Ends a [`wait`](Self::wait) from another thread.
    pub fn waker(&self) -> Waker {
        self.watcher.waker()
    }

    /// Why changes are found by polling alone, if they are. For the log.
    pub fn degraded(&self) -> Option<&str> {
        self.watcher.degraded()
    }

    /// Blocks until the file is worth a look: it changed, somebody woke it, or at most 250 ms or `timeout` passed.
    pub fn wait(&mut self, timeout: Duration) -> Wake {
        let wake = self.watcher.wait(timeout);
        self.watcher.take_closed();
        // Its folder may have been replaced.
        self.watcher.watch(&self.wanted);
        wake
    }
}

impl Watcher {
    /// A watcher of nothing yet. With `poll_only` it never asks for events.
    pub(crate) fn new(poll_only: bool) -> Self {
        let (inotify, degraded) = match poll_only {
            true => (None, Some("asked to poll only".to_owned())),
            false => match inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK) {
                Ok(fd) => (Some(fd), None),
                Err(error) => (None, Some(format!("no inotify: {error}; polling each {POLL_INTERVAL:?}"))),
            },
        };
        Self { inotify, waker: Waker::new(), watched: BTreeMap::new(), closed: BTreeSet::new(), degraded }
    }

    pub(crate) fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Why changes are found by polling alone, if they are.
    pub(crate) fn degraded(&self) -> Option<&str> {
        self.degraded.as_deref()
    }

    /// Watches these folders and no others. Call it *before* each scan: a folder that is replaced is another inode, and what changes after
    /// the call is heard. Folders that do not exist are passed over, their parents tell.
    pub(crate) fn watch(&mut self, wanted: &[(PathBuf, Interest)]) {
        let Some(inotify) = &self.inotify else { return };
        let mut watched: BTreeMap<i32, Watched> = BTreeMap::new();
        let mut failure = None;
        for (folder, interest) in wanted {
            match inotify::add_watch(inotify, folder.as_path(), mask()) {
                Ok(watch) => watched
                    .entry(watch)
                    .or_insert_with(|| Watched { folder: folder.clone(), interests: Vec::new() })
                    .interests
                    .push(interest.clone()),
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(error) => failure = Some((folder, error)),
            }
        }
        for watch in self.watched.keys().filter(|watch| !watched.contains_key(watch)) {
            // Gone already if its folder is.
            let _ = inotify::remove_watch(inotify, *watch);
        }
        self.watched = watched;
        self.degraded = failure.map(|(folder, error)| {
            format!("cannot watch {}: {error}; polling each {POLL_INTERVAL:?}", folder.display())
        });
    }

    /// Blocks until something of interest happens, somebody wakes it, or `timeout` or [`POLL_INTERVAL`] passes, whichever is first.
    pub(crate) fn wait(&mut self, timeout: Duration) -> Wake {
        let deadline = Instant::now() + timeout.min(POLL_INTERVAL);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let (event, woken) = self.poll(left);
            if woken {
                self.waker.clear();
                return Wake::Woken;
            }
            if event && self.drain() {
                self.debounce();
                return Wake::Changed;
            }
            if Instant::now() >= deadline {
                return Wake::Due;
            }
        }
    }

    /// The files that their writers have closed, or that were moved in, since the last call.
    pub(crate) fn take_closed(&mut self) -> BTreeSet<PathBuf> {
        std::mem::take(&mut self.closed)
    }

    fn debounce(&mut self) {
        for _ in 0..DEBOUNCES {
            // A wake in the meantime stays in the event counter for the next wait.
            let (event, woken) = self.poll(DEBOUNCE);
            if event {
                self.drain();
            }
            if !event || woken {
                return;
            }
        }
    }

    /// Whether inotify, and whether the waker, has something to read.
    fn poll(&self, timeout: Duration) -> (bool, bool) {
        let descriptors = [self.inotify.as_ref(), self.waker.0.as_deref()];
        let mut polled: Vec<PollFd<'_>> = descriptors
            .iter()
            .flatten()
            .map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN))
            .collect();
        let timeout = Timespec {
            tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        // Interrupted by a signal is as good as nothing heard: the caller looks at the time and comes again.
        let _ = poll(&mut polled, Some(&timeout));
        let mut ready = polled.iter().map(|fd| fd.revents().contains(PollFlags::IN));
        let event = self.inotify.is_some() && ready.next().unwrap_or(false);
        (event, ready.next().unwrap_or(false))
    }

    /// Takes all queued events; whether one of them is of interest.
    fn drain(&mut self) -> bool {
        let Some(inotify) = &self.inotify else { return false };
        let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
        let mut events = inotify::Reader::new(inotify, &mut buffer);
        let mut relevant = false;
        // Ends with EAGAIN when the queue is empty.
        while let Ok(event) = events.next() {
            let flags = event.events();
            // Events were lost: look at everything.
            relevant |= flags.contains(ReadFlags::QUEUE_OVERFLOW);
            // What is not watched any more is of no interest, nor is that it is not.
            let Some(watched) = self.watched.get(&event.wd()) else { continue };
            // The folder itself is gone or elsewhere.
            relevant |= flags.intersects(ReadFlags::IGNORED | ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF);
            let Some(name) = event.file_name() else { continue };
            let name = std::ffi::OsStr::from_bytes(name.to_bytes());
            if watched.interests.iter().any(|interest| interest.covers(name, flags)) {
                relevant = true;
                if flags.intersects(ReadFlags::CLOSE_WRITE | ReadFlags::MOVED_TO) {
                    self.closed.insert(watched.folder.join(name));
                }
            }
        }
        relevant
    }
}

impl Interest {
    /// Temporaries begin with a dot and are nobody's business; a file that was only just created is not worth a look before it is closed.
    fn covers(&self, name: &std::ffi::OsStr, flags: ReadFlags) -> bool {
        match self {
            Self::Name(wanted) => name == wanted,
            Self::Files if flags.contains(ReadFlags::CREATE) => false,
            Self::Files => name == SNAPSHOT_LINK || !name.as_bytes().starts_with(b"."),
        }
    }
}

/// One mask for every watch: a folder may be watched for two interests, and the kernel keeps one mask an inode.
fn mask() -> WatchFlags {
    WatchFlags::CREATE
        | WatchFlags::CLOSE_WRITE
        | WatchFlags::MOVED_TO
        | WatchFlags::MOVED_FROM
        | WatchFlags::DELETE
        | WatchFlags::DELETE_SELF
        | WatchFlags::MOVE_SELF
        | WatchFlags::ONLYDIR
}

/// What to watch for a bay at `path`: itself, its parent for when it comes and goes, and the snapshot in force.
pub(crate) fn around(path: &Path) -> Vec<(PathBuf, Interest)> {
    let mut wanted = vec![(path.to_owned(), Interest::Files), (path.join(SNAPSHOT_LINK), Interest::Files)];
    if let Some(name) = path.file_name() {
        wanted.push((parent(path), Interest::Name(name.to_owned())));
    }
    wanted
}

/// The folder that `path` lies in; the working directory for a bare name.
pub(crate) fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}
