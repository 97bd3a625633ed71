//! The writer: fills a bay so that no reader ever sees half of anything.
//!
//! Owns the write-aside-and-rename and the full list of what a bay holds. The caller keeps the order: blobs before the entries
//! that name them, entries removed before their blobs. Must not decide what belongs in the bay.

mod incoming;
pub(crate) mod temporary;

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use hotbay_api::{Digest, Entry, EntryKey, Reason, names};

use crate::{MAX_ENTRY_BYTES, blob};
pub use incoming::IncomingBlob;
use temporary::Temporary;

/// Writes one bay.
#[derive(Clone, Debug)]
pub struct Writer {
    path: PathBuf,
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

/// Why the bay could not be changed. What was there before is still there.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The disk is full.
    #[error("no space left for {} bytes of {file} in the bay {}", bytes, bay.display())]
    NoSpace {
        /// The bay.
        bay: PathBuf,
        /// Which file.
        file: String,
        /// How many bytes it has.
        bytes: u64,
    },
    /// The entry is larger than readers take.
    #[error("the entry {key} has {bytes} bytes and at most {MAX_ENTRY_BYTES} are read; shorten its config")]
    TooLarge {
        /// The module.
        key: EntryKey,
        /// How large its entry is.
        bytes: usize,
    },
    /// The entry's own names would make no file name that readers know.
    #[error("the entry cannot be written")]
    Name(#[from] hotbay_api::NameError),
    /// The entry cannot be put in JSON.
    #[error("the entry {key} cannot be written as JSON")]
    Json {
        /// The module.
        key: EntryKey,
        /// Why.
        source: serde_json::Error,
    },
    /// The bytes are not those of the digest.
    #[error("the bytes to be written as {want} are {got}")]
    DigestMismatch {
        /// What they were said to be.
        want: Digest,
        /// What they are.
        got: Digest,
    },
    /// Bytes are missing.
    #[error("{digest} ended after {got} of {want} bytes")]
    TooShort {
        /// The blob.
        digest: Digest,
        /// How many the entry promises.
        want: u64,
        /// How many came.
        got: u64,
    },
    /// There are more bytes than promised.
    #[error("{digest} has more than the {want} bytes that the entry promises")]
    TooLong {
        /// The blob.
        digest: Digest,
        /// How many the entry promises.
        want: u64,
    },
    /// Anything else.
    #[error("cannot {what} {file} in the bay {}", bay.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        file: String,
        /// The bay.
        bay: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl WriteError {
    /// What reports and logs say.
    pub fn reason(&self) -> Reason {
        match self {
            Self::NoSpace { .. } => Reason::NoSpace,
            Self::TooLarge { .. } => Reason::TooLarge,
            Self::DigestMismatch { .. } | Self::TooLong { .. } => Reason::DigestMismatch,
            Self::TooShort { .. } => Reason::Incomplete,
            Self::Name(_) | Self::Json { .. } => Reason::ManifestInvalid,
            Self::Io { .. } => Reason::BayMissing,
        }
    }
}

impl Writer {
    /// A writer of the bay at `path`, which is created if need be and cleaned of what a killed writer left.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn new(path: impl Into<PathBuf>) -> Result<Self, WriteError> {
        let writer = Self { path: path.into() };
        std::fs::create_dir_all(&writer.path)
            .and_then(|()| temporary::clean(&writer.path))
            .map_err(|source| writer.io("prepare", ".", source))?;
        Ok(writer)
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
        self.put(&names::blob_file(digest), bytes)
    }

    /// Puts a zstd-compressed blob there. The caller has checked it ([`crate::check_compressed`]); readers check it again.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put_blob_compressed(&self, digest: &Digest, zst: &[u8]) -> Result<(), WriteError> {
        self.put(&(names::blob_file(digest) + names::COMPRESSED_SUFFIX), zst)
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
        self.put(&name, &json)?;
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

    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), WriteError> {
        let write = || {
            let mut temporary = Temporary::create(&self.path)?;
            temporary.file().write_all(bytes)?;
            temporary.rename_to(name)
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

#[cfg(test)]
mod tests;
