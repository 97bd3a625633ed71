//! The writer: fills a bay so that no reader ever sees half of anything.
//!
//! Owns the write-aside-and-rename and the full list of what a bay holds. The caller keeps the order: blobs before the entries
//! that name them, entries removed before their blobs. Must not decide what belongs in the bay.

mod error;
mod incoming;
pub(crate) mod temporary;

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hotbay_api::{Digest, Entry, EntryKey, names};

use crate::room::{Reservation, Room, RoomError, Share};
use crate::{MAX_ENTRY_BYTES, blob};
pub use error::WriteError;
pub use incoming::IncomingBlob;
use temporary::Temporary;

/// Writes one bay.
#[derive(Clone, Debug)]
pub struct Writer {
    path: PathBuf,
    room: Arc<Room>,
}

/// What a bay holds, by the names of its files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The entries.
    pub entries: BTreeSet<EntryKey>,
    /// The blobs, plain or compressed.
    pub blobs: BTreeSet<Digest>,
}

/// How much a sweep removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Entries.
    pub entries: usize,
    /// Blobs.
    pub blobs: usize,
}

impl Writer {
    /// A writer of the bay at `path`, which is created if need be and cleaned of what a killed writer left.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn new(path: impl Into<PathBuf>) -> Result<Self, WriteError> {
        let path = path.into();
        let writer = Self { room: Room::new(&path, None), path };
        std::fs::create_dir_all(&writer.path)
            .and_then(|()| temporary::clean(&writer.path))
            .map_err(|source| writer.io("prepare", ".", source))?;
        Ok(writer)
    }

    /// The same writer of a bay that has a volume of so many bytes to itself, which must not fill up. Without a size the disk is the limit.
    #[must_use]
    pub fn with_size(self, size: Option<u64>) -> Self {
        Self { room: Room::new(&self.path, size), ..self }
    }

    /// The folder that is written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts a blob's bytes there.
    ///
    /// # Errors
    /// When they are not the digest's, or cannot be written.
    pub fn put_blob(&self, digest: &Digest, bytes: &[u8]) -> Result<(), WriteError> {
        let got = Digest::of(bytes);
        if got != *digest {
            return Err(WriteError::DigestMismatch { want: *digest, got });
        }
        self.put(&names::blob_file(digest), bytes, Share::Blobs)
    }

    /// Puts a zstd-compressed blob there. The caller has checked it ([`crate::check_compressed`]); readers check it again.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put_blob_compressed(&self, digest: &Digest, zst: &[u8]) -> Result<(), WriteError> {
        self.put(&(names::blob_file(digest) + names::COMPRESSED_SUFFIX), zst, Share::Blobs)
    }

    /// Puts an entry there, if it is not there already; whether it changed. Put the blobs that it names first.
    ///
    /// # Errors
    /// When it is too large or cannot be written.
    pub fn put_entry(&self, entry: &Entry) -> Result<bool, WriteError> {
        let key = EntryKey::new(&entry.id.namespace, &entry.id.name)?;
        let json = serde_json::to_vec_pretty(entry)
            .map_err(|source| WriteError::Json { key: key.clone(), source })?;
        if json.len() as u64 > MAX_ENTRY_BYTES {
            return Err(WriteError::TooLarge { key, bytes: json.len() });
        }
        let name = key.file_name();
        // Rewritten without need it would only make every reader read it again.
        if std::fs::read(self.path.join(&name)).is_ok_and(|there| there == json) {
            return Ok(false);
        }
        self.put(&name, &json, Share::Entries)?;
        Ok(true)
    }

    /// Removes an entry; whether it was there.
    ///
    /// # Errors
    /// When it is there and cannot be removed.
    pub fn remove_entry(&self, key: &EntryKey) -> Result<bool, WriteError> {
        self.remove(&key.file_name())
    }

    /// Removes both forms of a blob; whether either was there. Remove the entries that name it first.
    ///
    /// # Errors
    /// When one is there and cannot be removed.
    pub fn remove_blob(&self, digest: &Digest) -> Result<bool, WriteError> {
        let plain = names::blob_file(digest);
        let compressed = self.remove(&format!("{plain}{}", names::COMPRESSED_SUFFIX))?;
        Ok(self.remove(&plain)? || compressed)
    }

    /// Whether the bay holds all `size` bytes of this blob. Reads and hashes them.
    pub fn holds_blob(&self, digest: &Digest, size: u64) -> bool {
        blob::is_in_bay(&self.path, digest, size)
    }

    /// What the bay holds.
    ///
    /// # Errors
    /// When the folder cannot be read to its end.
    pub fn list(&self) -> Result<Contents, WriteError> {
        let failed = |source| self.io("list", ".", source);
        let mut contents = Contents::default();
        for entry in std::fs::read_dir(&self.path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let Some(name) = name.to_str() else { continue };
            if let Some(key) = EntryKey::from_file_name(name) {
                contents.entries.insert(key);
            } else if let Some((digest, _)) = names::parse_blob_file(name) {
                contents.blobs.insert(digest);
            }
        }
        Ok(contents)
    }

    /// Removes every entry and blob that is in neither set, entries first. Call it only with what a *complete* listing of the source says.
    ///
    /// # Errors
    /// When the folder cannot be listed, or something in it not removed.
    pub fn sweep(
        &self,
        keep_entries: &BTreeSet<EntryKey>,
        keep_blobs: &BTreeSet<Digest>,
    ) -> Result<Swept, WriteError> {
        let there = self.list()?;
        let mut swept = Swept::default();
        for key in there.entries.difference(keep_entries) {
            swept.entries += usize::from(self.remove_entry(key)?);
        }
        for digest in there.blobs.difference(keep_blobs) {
            swept.blobs += usize::from(self.remove_blob(digest)?);
        }
        Ok(swept)
    }

    /// Whether there is room for a blob of `size` bytes now. Spares whoever would send it the sending.
    ///
    /// # Errors
    /// When there is none.
    pub fn check_room(&self, digest: &Digest, size: u64) -> Result<(), WriteError> {
        self.reserve(&names::blob_file(digest), size, Share::Blobs).map(drop)
    }

    fn reserve(&self, name: &str, bytes: u64, share: Share) -> Result<Reservation, WriteError> {
        self.room.reserve(bytes, share).map_err(|error| match error {
            RoomError::Full(no_room) => WriteError::NoRoom { file: shortened(name), no_room },
            RoomError::Uncounted(source) => self.io("count", ".", source),
        })
    }

    fn put(&self, name: &str, bytes: &[u8], share: Share) -> Result<(), WriteError> {
        let reservation = self.reserve(name, bytes.len() as u64, share)?;
        let write = || {
            let mut temporary = Temporary::create(&self.path)?;
            temporary.file().write_all(bytes)?;
            reservation.place(|| temporary.rename_to(name))
        };
        write().map_err(|source| self.failed(name, bytes.len() as u64, source))
    }

    /// Why a file of so many bytes could not be written.
    fn failed(&self, name: &str, bytes: u64, source: io::Error) -> WriteError {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                WriteError::NoSpace { bay: self.path.clone(), file: name.to_owned(), bytes }
            }
            _ => self.io("write", name, source),
        }
    }

    fn remove(&self, name: &str) -> Result<bool, WriteError> {
        match std::fs::remove_file(self.path.join(name)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(self.io("remove", name, source)),
        }
    }

    fn io(&self, what: &'static str, file: &str, source: io::Error) -> WriteError {
        WriteError::Io { what, file: file.to_owned(), bay: self.path.clone(), source }
    }
}

/// A blob's name with as much of its digest as people compare; another name as it is.
fn shortened(name: &str) -> String {
    names::parse_blob_file(name)
        .map_or_else(|| name.to_owned(), |(digest, _)| format!("sha256:{}", digest.short()))
}

#[cfg(test)]
mod tests;
