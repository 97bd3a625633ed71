//! The private folder from which code is mapped.
//!
//! Owns where it is and how much may lie in it. What comes into it is [`copy_blob`](crate::copy_blob)'s, what goes is its user's.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::blob::BlobError;
use crate::room::Room;
use crate::writer::temporary;

/// See the module.
#[derive(Clone, Debug)]
pub struct Stage {
    path: PathBuf,
    pub(crate) room: Arc<Room>,
}

impl Stage {
    /// The stage at `path`, which is created if need be. What copiers that were killed have left is removed, and nothing that a living one holds.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, BlobError> {
        let path = path.into();
        match std::fs::create_dir_all(&path).and_then(|()| temporary::clean(&path)) {
            Ok(()) => Ok(Self { room: Room::new(&path, None), path }),
            Err(source) => Err(BlobError::Stage { stage: path, source }),
        }
    }

    /// The same stage in a volume of so many bytes, whose root is `volume`, which must not fill up. Without a size the disk is the limit.
    #[must_use]
    pub fn in_volume(self, volume: &Path, size: Option<u64>) -> Self {
        Self { room: Room::new(volume, size), ..self }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
