//! Why a blob cannot be staged.
//!
//! Owns the words, and which [`Reason`] each has in reports.

use std::io;
use std::path::PathBuf;

use hotbay_api::{Digest, Reason};

use crate::room::NoRoom;

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
    /// The volume of the stage has a size, and with this it would be nearly full.
    #[error("{digest} does not fit into the stage: {no_room}; raise volumes.state, or remove modules")]
    NoRoom {
        /// The blob, cut short: the sizes and what to do are to fit into a report.
        digest: String,
        /// The sizes.
        no_room: NoRoom,
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
            Self::NoSpace { .. } | Self::NoRoom { .. } => Reason::NoSpace,
        }
    }
}
