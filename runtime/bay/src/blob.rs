//! Blobs: from the bay, which others write, into the private stage, from which code is mapped.
//!
//! Owns the check that bytes are those their digest names, done while they are copied and never on the file in the bay: it could change
//! after the check. Inflation is bounded by the size that the entry promises. The stage is content-addressed, so two copiers of
//! one blob do no harm. Must not load anything.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use hotbay_api::{Digest, Reason, names};
use sha2::Digest as _;

use crate::folder::{Folder, ReadError, Stamp};
use crate::writer::temporary::{self, Temporary};

/// The largest window that a compressed blob may ask for (64 MiB, the default limit of an artifact): it is memory of ours.
const MAX_WINDOW_LOG: u32 = 26;

/// Why a blob cannot be staged.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The bay's folder cannot be opened.
    #[error("cannot open the bay {}", path.display())]
    Bay {
        /// The bay.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Neither the plain nor the compressed file is there.
    #[error("{digest} is not in the bay (yet)")]
    Absent {
        /// The blob.
        digest: Digest,
    },
    /// The file cannot be read, or is no regular file.
    #[error("cannot read {file}: {why}")]
    Unreadable {
        /// Its name.
        file: String,
        /// Why.
        why: String,
    },
    /// Fewer bytes than promised: most likely still being written.
    #[error("{file} holds {got} bytes of {want}; it is tried again when the file changes")]
    Short {
        /// Its name.
        file: String,
        /// How many there are, uncompressed.
        got: u64,
        /// How many the entry promises.
        want: u64,
    },
    /// As many bytes as promised, but others.
    #[error("{file} holds {got}, which is not what its name says; it is tried again when the file changes")]
    Differs {
        /// Its name.
        file: String,
        /// What the bytes are.
        got: Digest,
    },
    /// The compressed file cannot be inflated.
    #[error("{file} is not (all of) a zstd file: {why}; it is tried again when the file changes")]
    Inflate {
        /// Its name.
        file: String,
        /// What the decoder says.
        why: String,
    },
    /// More bytes than promised.
    #[error("{file} holds more than the {want} bytes that the entry promises")]
    TooLarge {
        /// Its name.
        file: String,
        /// How many the entry promises.
        want: u64,
    },
    /// The disk of the stage is full.
    #[error("no space left for {} bytes in the stage {}", want, stage.display())]
    NoSpace {
        /// The stage.
        stage: PathBuf,
        /// How many bytes the blob has.
        want: u64,
    },
    /// The stage cannot be written.
    #[error("cannot write to the stage {}", stage.display())]
    Stage {
        /// The stage.
        stage: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl BlobError {
    /// What reports say. `Incomplete` is worth another try when the bay changes.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Bay { .. } => Reason::BayMissing,
            Self::Absent { .. }
            | Self::Unreadable { .. }
            | Self::Short { .. }
            | Self::Differs { .. }
            | Self::Inflate { .. } => Reason::Incomplete,
            Self::Stage { .. } => Reason::StartFailed,
            Self::TooLarge { .. } => Reason::TooLarge,
            Self::NoSpace { .. } => Reason::NoSpace,
        }
    }
}

/// Copies the blob `digest` of `size` uncompressed bytes from the bay to `stage/sha256-<hex>` and returns that path. If it is staged
/// already it is read and hashed again, and kept if it is whole; see [`VerifiedBlobs`] to spare that.
///
/// # Errors
/// When the bay has no such bytes, or the stage cannot take them.
pub fn copy_blob(bay: &Path, digest: &Digest, size: u64, stage: &Path) -> Result<PathBuf, BlobError> {
    let staged = stage.join(names::blob_file(digest));
    if is_whole(&staged, digest, size) {
        return Ok(staged);
    }
    let folder = Folder::open(bay).map_err(|source| BlobError::Bay { path: bay.to_owned(), source })?;
    let plain = names::blob_file(digest);
    let compressed = format!("{plain}{}", names::COMPRESSED_SUFFIX);
    // The plain one first: it costs less. If it is not whole, the compressed one may be; its error is the one worth telling, unless it is absent.
    let first = match copy_file(&folder, &plain, digest, size, stage) {
        Ok(()) => return Ok(staged),
        Err(error) => error,
    };
    match (first, copy_file(&folder, &compressed, digest, size, stage)) {
        (_, Ok(())) => Ok(staged),
        (first, Err(BlobError::Absent { .. })) => Err(first),
        (_, Err(second)) => Err(second),
    }
}

/// Checks that `zst` inflates to exactly the `size` bytes that `digest` names, without keeping them.
///
/// # Errors
/// When it does not. The message names the blob.
pub fn check_compressed(digest: &Digest, size: u64, zst: &[u8]) -> Result<(), BlobError> {
    let file = names::blob_file(digest) + names::COMPRESSED_SUFFIX;
    transfer(zst, &mut io::sink(), &file, digest, size, Path::new("memory"))
}

/// Whether either form of the blob is whole in the bay.
pub(crate) fn is_in_bay(bay: &Path, digest: &Digest, size: u64) -> bool {
    let plain = names::blob_file(digest);
    let compressed = format!("{plain}{}", names::COMPRESSED_SUFFIX);
    Folder::open(bay).is_ok_and(|folder| {
        [compressed, plain].iter().any(|name| {
            let file = folder.open_file(name).ok();
            file.is_some_and(|(file, _)| transfer(file, &mut io::sink(), name, digest, size, bay).is_ok())
        })
    })
}

/// Removes what copiers that were killed have left in `stage`, and nothing that a living one holds. A stage that is not there is created.
///
/// # Errors
/// When the folder cannot be made or read.
pub fn clean_stage(stage: &Path) -> Result<(), BlobError> {
    let clean = || {
        std::fs::create_dir_all(stage)?;
        temporary::clean(stage)
    };
    clean().map_err(|source| BlobError::Stage { stage: stage.to_owned(), source })
}

/// Remembers which staged files were verified, so that they are not hashed again. May be handed to the next engine.
#[derive(Debug, Default)]
pub struct VerifiedBlobs(Mutex<BTreeMap<Digest, Stamp>>);

impl VerifiedBlobs {
    /// Starts from what another process verified.
    pub fn new(verified: impl IntoIterator<Item = (Digest, Stamp)>) -> Self {
        Self(Mutex::new(verified.into_iter().collect()))
    }

    /// As [`copy_blob`], but a staged file whose stamp was verified is not read again.
    ///
    /// # Errors
    /// As [`copy_blob`].
    pub fn copy_blob(
        &self,
        bay: &Path,
        digest: &Digest,
        size: u64,
        stage: &Path,
    ) -> Result<PathBuf, BlobError> {
        let staged = stage.join(names::blob_file(digest));
        let known = self.lock().get(digest).copied();
        if known.is_some() && known == stamp_of(&staged) {
            return Ok(staged);
        }
        // The stamp is taken after the check. Nobody else writes the stage, but for another copier of the same bytes.
        let staged = copy_blob(bay, digest, size, stage)?;
        if let Some(stamp) = stamp_of(&staged) {
            self.lock().insert(*digest, stamp);
        }
        Ok(staged)
    }

    /// All that was verified, to hand on.
    pub fn all(&self) -> Vec<(Digest, Stamp)> {
        self.lock().iter().map(|(digest, stamp)| (*digest, *stamp)).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Digest, Stamp>> {
        // Each change is one insert, so a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Copies one file of the bay into the stage, if it is what it must be.
fn copy_file(folder: &Folder, name: &str, digest: &Digest, size: u64, stage: &Path) -> Result<(), BlobError> {
    let (file, _) = folder.open_file(name).map_err(|error| match error {
        ReadError::Gone => BlobError::Absent { digest: *digest },
        other => BlobError::Unreadable { file: name.to_owned(), why: other.to_string() },
    })?;
    let failed = |error| stage_error(stage, size, error);
    let mut temporary = Temporary::create(stage).map_err(failed)?;
    transfer(file, temporary.file(), name, digest, size, stage)?;
    // Read-only for its owner too: what is mapped must not change.
    temporary.file().set_permissions(std::fs::Permissions::from_mode(0o444)).map_err(failed)?;
    temporary.rename_to(&names::blob_file(digest)).map_err(failed)
}

/// Copies from `source` (compressed if `name` says so) to `sink` and checks size and digest.
fn transfer(
    source: impl Read,
    sink: &mut impl Write,
    name: &str,
    digest: &Digest,
    size: u64,
    stage: &Path,
) -> Result<(), BlobError> {
    let file = || name.to_owned();
    let copied = if name.ends_with(names::COMPRESSED_SUFFIX) {
        zstd::Decoder::new(source)
            .and_then(|mut inflating| inflating.window_log_max(MAX_WINDOW_LOG).map(|()| inflating))
            .map_err(CopyError::Read)
            .and_then(|inflating| copy(inflating, sink, size))
            .map_err(|error| match error {
                CopyError::Read(error) => BlobError::Inflate { file: file(), why: error.to_string() },
                other => other.at(name, size, stage),
            })
    } else {
        copy(source, sink, size).map_err(|error| error.at(name, size, stage))
    };
    match copied? {
        (got, _) if got < size => Err(BlobError::Short { file: file(), got, want: size }),
        (_, got) if got != *digest => Err(BlobError::Differs { file: file(), got }),
        _ => Ok(()),
    }
}

enum CopyError {
    Read(io::Error),
    Write(io::Error),
    TooLong,
}

impl CopyError {
    fn at(self, name: &str, size: u64, stage: &Path) -> BlobError {
        let file = name.to_owned();
        match self {
            Self::Read(error) => BlobError::Unreadable { file, why: error.to_string() },
            Self::Write(error) => stage_error(stage, size, error),
            Self::TooLong => BlobError::TooLarge { file, want: size },
        }
    }
}

/// Copies at most `max` bytes; how many, and their digest.
fn copy(mut source: impl Read, sink: &mut impl Write, max: u64) -> Result<(u64, Digest), CopyError> {
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut total = 0;
    loop {
        let count = match source.read(&mut buffer) {
            Ok(0) => return Ok((total, Digest::from_bytes(hasher.finalize().into()))),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(CopyError::Read(error)),
        };
        total += count as u64;
        if total > max {
            return Err(CopyError::TooLong);
        }
        hasher.update(&buffer[..count]);
        sink.write_all(&buffer[..count]).map_err(CopyError::Write)?;
    }
}

fn is_whole(path: &Path, digest: &Digest, size: u64) -> bool {
    let is_file = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() == size);
    is_file
        && File::open(path)
            .ok()
            .and_then(|file| copy(file, &mut io::sink(), size).ok())
            .is_some_and(|(_, got)| got == *digest)
}

fn stamp_of(path: &Path) -> Option<Stamp> {
    File::open(path).and_then(|file| Stamp::of(&file)).ok()
}

fn stage_error(stage: &Path, want: u64, source: io::Error) -> BlobError {
    let stage = stage.to_owned();
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => BlobError::NoSpace { stage, want },
        _ => BlobError::Stage { stage, source },
    }
}

#[cfg(test)]
mod tests;
