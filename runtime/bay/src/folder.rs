//! A folder at one moment, and files in it that others may be changing.
//!
//! Owns how a bay is opened (through `..data`, the kubelet's link to one snapshot), listed, and how a file is read without being
//! led astray: no link is followed, nothing but a regular file is read, a FIFO cannot block, and a file that changes meanwhile is
//! noticed. Keeps no state between calls.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// The kubelet's link to the snapshot in force (its AtomicWriter swaps it by rename).
pub(crate) const SNAPSHOT_LINK: &str = "..data";

/// How often a file that changes is read before that is said.
const READS: usize = 3;

/// What tells that a file is still the same one with the same content. It holds the change time too, because `cp -p` and `touch -r`
/// put the modification time back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stamp {
    /// The file system.
    pub device: u64,
    /// The file on it.
    pub inode: u64,
    /// In bytes.
    pub size: u64,
    /// Of the content, in nanoseconds since 1970.
    pub modified_ns: i64,
    /// Of content or metadata, in nanoseconds since 1970; cannot be set by hand.
    pub changed_ns: i64,
}

/// An open folder; if it has a snapshot, that one.
pub(crate) struct Folder {
    path: PathBuf,
    root: OwnedFd,
    snapshot: Option<OwnedFd>,
}

/// What a name stands for.
pub(crate) enum Found {
    /// A regular file.
    File(Stamp),
    /// Something else, in words.
    Other(&'static str),
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("the file is gone")]
    Gone,
    #[error("it is {0} and not a regular file; put the file itself there")]
    NotAFile(&'static str),
    #[error("it has {size} bytes and at most {max} are read")]
    TooLarge { size: u64, max: u64 },
    #[error("it changed while it was read; it is read again")]
    Changing,
    #[error("it cannot be read: {0}")]
    Io(#[source] io::Error),
}

impl Stamp {
    /// The stamp of an open file.
    ///
    /// # Errors
    /// When the file cannot be examined.
    pub fn of(file: &File) -> io::Result<Self> {
        Ok(Self::from_stat(&rustix::fs::fstat(file)?))
    }

    fn from_stat(stat: &Stat) -> Self {
        let nanoseconds = |seconds: i64, rest: u64| {
            seconds.saturating_mul(1_000_000_000).saturating_add(i64::try_from(rest).unwrap_or(0))
        };
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified_ns: nanoseconds(stat.st_mtime, stat.st_mtime_nsec),
            changed_ns: nanoseconds(stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

impl Folder {
    /// Opens the folder at `path`, and its snapshot if it has one.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let root = open_folder(CWD, path)?;
        let snapshot = open_snapshot(root.as_fd())?;
        Ok(Self { path: path.to_owned(), root, snapshot })
    }

    /// Whether the path still leads to what is open: if not, what was listed is history.
    pub(crate) fn is_current(&self) -> bool {
        let identity = |folder: &Self| -> io::Result<_> {
            let of = |fd: &OwnedFd| rustix::fs::fstat(fd).map(|stat| (stat.st_dev, stat.st_ino));
            Ok((of(&folder.root)?, folder.snapshot.as_ref().map(of).transpose()?))
        };
        match (Self::open(&self.path).and_then(|now| identity(&now)), identity(self)) {
            (Ok(now), Ok(then)) => now == then,
            _ => false,
        }
    }

    /// The names in it but those that begin with a dot (temporaries, the kubelet's own). Names that are not UTF-8 mean nothing here.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(self.fd())? {
            if let Ok(name) = entry?.file_name().to_str()
                && !name.starts_with('.')
            {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// What `name` stands for now; `None` if there is nothing of that name.
    pub(crate) fn find(&self, name: &str) -> io::Result<Option<Found>> {
        match rustix::fs::statat(self.fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(match kind(&stat) {
                None => Found::File(Stamp::from_stat(&stat)),
                Some(other) => Found::Other(other),
            })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the regular file `name` for reading.
    pub(crate) fn open_file(&self, name: &str) -> Result<(File, Stamp), ReadError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = match rustix::fs::openat(self.fd(), name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Err(ReadError::Gone),
            Err(Errno::LOOP) => return Err(ReadError::NotAFile("a symbolic link")),
            Err(Errno::NXIO) => return Err(ReadError::NotAFile("a socket")),
            Err(error) => return Err(ReadError::Io(error.into())),
        };
        let stat = rustix::fs::fstat(&fd).map_err(|error| ReadError::Io(error.into()))?;
        match kind(&stat) {
            None => Ok((fd.into(), Stamp::from_stat(&stat))),
            Some(other) => Err(ReadError::NotAFile(other)),
        }
    }

    /// The whole content of `name`, if it is no longer than `max` bytes and did not change meanwhile.
    ///
    /// A rename over a file changes its change time: what was read is whole then, but the name leads to another file, which is read in its place.
    pub(crate) fn read(&self, name: &str, max: u64) -> Result<Vec<u8>, ReadError> {
        let mut reads = (0..READS).map(|_| self.read_once(name, max));
        let steady = |read: &Result<_, _>| !matches!(read, Err(ReadError::Changing));
        reads.find(steady).unwrap_or(Err(ReadError::Changing))
    }

    fn read_once(&self, name: &str, max: u64) -> Result<Vec<u8>, ReadError> {
        let (file, before) = self.open_file(name)?;
        if before.size > max {
            return Err(ReadError::TooLarge { size: before.size, max });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(before.size).unwrap_or(0));
        // One byte more than it should have: a file that grows is noticed and cannot fill the memory.
        (&file).take(before.size.saturating_add(1)).read_to_end(&mut bytes).map_err(ReadError::Io)?;
        let after = Stamp::of(&file).map_err(ReadError::Io)?;
        if before == after && bytes.len() as u64 == before.size {
            Ok(bytes)
        } else {
            Err(ReadError::Changing)
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.snapshot.as_ref().unwrap_or(&self.root).as_fd()
    }
}

fn open_folder(at: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(at, path, flags, Mode::empty())?)
}

/// The folder that `..data` names, which must lie in the folder itself: the link is not followed anywhere else.
fn open_snapshot(root: BorrowedFd<'_>) -> io::Result<Option<OwnedFd>> {
    let target = match rustix::fs::readlinkat(root, SNAPSHOT_LINK, Vec::new()) {
        Ok(target) => target,
        Err(Errno::NOENT | Errno::INVAL) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if target.as_bytes().contains(&b'/') || target.as_bytes() == b".." {
        return Err(io::Error::other("its ..data leads out of the folder"));
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(Some(rustix::fs::openat(root, target, flags, Mode::empty())?))
}

/// `None` for a regular file, else what it is.
fn kind(stat: &Stat) -> Option<&'static str> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => None,
        FileType::Directory => Some("a folder"),
        FileType::Symlink => Some("a symbolic link"),
        FileType::Fifo => Some("a FIFO"),
        FileType::Socket => Some("a socket"),
        _ => Some("a device"),
    }
}
