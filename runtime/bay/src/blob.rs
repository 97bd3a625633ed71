//! Blobs: from the bay, which others write, into the private stage, from which code is mapped.
//!
//! Owns the check that bytes are those their digest names, done while they are copied and never on the file in the bay: it could change
//! after the check. Inflation is bounded by the size that the entry promises. The stage is content-addressed, so two copiers of
//! one blob do no harm. Must not load anything.

mod error;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use hotbay_api::{Digest, names};
use sha2::Digest as _;

use crate::folder::{Folder, ReadError, Stamp};
use crate::room::{RoomError, Share};
use crate::stage::Stage;
use crate::writer::temporary::Temporary;
pub use error::BlobError;

/// The largest window that a compressed blob may ask for (64 MiB, the default limit of an artifact): it is memory of ours.
const MAX_WINDOW_LOG: u32 = 26;

/// Copies the blob `digest` of `size` uncompressed bytes from the bay to `stage/sha256-<hex>` and returns that path. If it is staged
/// already it is read and hashed again, and kept if it is whole; see [`VerifiedBlobs`] to spare that.
///
/// # Errors
/// When the bay has no such bytes, or the stage cannot take them.
pub fn copy_blob(bay: &Path, digest: &Digest, size: u64, stage: &Stage) -> Result<PathBuf, BlobError> {
    let staged = stage.path().join(names::blob_file(digest));
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
        stage: &Stage,
    ) -> Result<PathBuf, BlobError> {
        let staged = stage.path().join(names::blob_file(digest));
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
fn copy_file(
    folder: &Folder,
    name: &str,
    digest: &Digest,
    size: u64,
    stage: &Stage,
) -> Result<(), BlobError> {
    let (file, _) = folder.open_file(name).map_err(|error| match error {
        ReadError::Gone => BlobError::Absent { digest: *digest },
        other => BlobError::Unreadable { file: name.to_owned(), why: other.to_string() },
    })?;
    let reservation = stage.room.reserve(size, Share::Blobs).map_err(|error| match error {
        RoomError::Full(no_room) => {
            BlobError::NoRoom { digest: format!("sha256:{}", digest.short()), no_room }
        }
        RoomError::Uncounted(source) => BlobError::Stage { stage: stage.path().to_owned(), source },
    })?;
    let path = stage.path();
    let failed = |error| stage_error(path, size, error);
    let mut temporary = Temporary::create(path).map_err(failed)?;
    transfer(file, temporary.file(), name, digest, size, path)?;
    // Read-only for its owner too: what is mapped must not change.
    temporary.file().set_permissions(std::fs::Permissions::from_mode(0o444)).map_err(failed)?;
    reservation.place(|| temporary.rename_to(&names::blob_file(digest))).map_err(failed)
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
