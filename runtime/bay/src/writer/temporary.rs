//! Files that are written aside and then renamed into place.
//!
//! Owns the names of temporaries (a leading dot, which every reader passes over) and their end: renamed, removed when dropped, or,
//! after a kill, removed by [`clean`]. A living writer holds a lock on its temporary, so that [`clean`] can tell.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FlockOperation, OFlags, flock};

const PREFIX: &str = ".hotbay-";
const SUFFIX: &str = ".tmp";

/// A new file in the folder where it is to stay, under a name that nobody reads.
#[derive(Debug)]
pub(crate) struct Temporary {
    folder: PathBuf,
    path: PathBuf,
    file: File,
    placed: bool,
}

impl Temporary {
    /// Creates an empty one, readable by all, since the runtime may have another user than the bay's writer.
    pub(crate) fn create(folder: &Path) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        loop {
            // Containers that share a bay may share process ids, so the name may be taken: then the next number.
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!("{}{number}{SUFFIX}", own_prefix()));
            let mut options = OpenOptions::new();
            options.write(true).create_new(true).mode(0o644);
            match options.open(&path) {
                // A clean-up may have come between the creation and the lock: then the file is gone, and another is made. Once locked it stays.
                Ok(file) if is_locked_and_there(&file)? => {
                    return Ok(Self { folder: folder.to_owned(), path, file, placed: false });
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Puts it into place as `name`, over what is there.
    pub(crate) fn rename_to(mut self, name: &str) -> io::Result<()> {
        std::fs::rename(&self.path, self.folder.join(name))?;
        self.placed = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.placed {
            // Nothing more can be done here; the next start cleans.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Whether `name` is that of a temporary of this process.
pub(crate) fn is_own(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with(&own_prefix()) && name.ends_with(SUFFIX))
}

fn own_prefix() -> String {
    format!("{PREFIX}{}-", std::process::id())
}

/// Removes the temporaries in `folder` that no living writer holds.
pub(crate) fn clean(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX)) {
            remove_abandoned(&entry.path())?;
        }
    }
    Ok(())
}

/// Waits for a clean-up that looks at the file, then holds it against the next one. Where the file system knows no locks, nothing can be told.
fn is_locked_and_there(file: &File) -> io::Result<bool> {
    let _ = flock(file, FlockOperation::LockExclusive);
    Ok(rustix::fs::fstat(file)?.st_nlink > 0)
}

fn remove_abandoned(path: &Path) -> io::Result<()> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let opened = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path);
    // The lock is held until the name is gone, else a writer could take the file in between.
    let removed = match &opened {
        Ok(file) if flock(file, FlockOperation::NonBlockingLockExclusive).is_err() => return Ok(()),
        _ => std::fs::remove_file(path),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
