//! Why a bay could not be changed.
//!
//! Owns the words, and which [`Reason`] each has in reports.

use std::io;
use std::path::PathBuf;

use hotbay_api::{Digest, EntryKey, Reason};

use crate::MAX_ENTRY_BYTES;
use crate::room::NoRoom;

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
    /// The volume of the bay has a size, and with this it would be nearly full.
    #[error("{file} does not fit into the bay: {no_room}; raise volumes.bay, or remove modules")]
    NoRoom {
        /// Which file, cut short: the sizes and what to do are to fit into a report.
        file: String,
        /// The sizes.
        no_room: NoRoom,
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
            Self::NoSpace { .. } | Self::NoRoom { .. } => Reason::NoSpace,
            Self::TooLarge { .. } => Reason::TooLarge,
            Self::DigestMismatch { .. } | Self::TooLong { .. } => Reason::DigestMismatch,
            Self::TooShort { .. } => Reason::Incomplete,
            Self::Name(_) | Self::Json { .. } => Reason::ManifestInvalid,
            Self::Io { .. } => Reason::BayMissing,
        }
    }
}
