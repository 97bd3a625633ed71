//! How much may be put into a volume that has a size.
//!
//! The kubelet evicts a pod when one of its volumes passes its limit, and all that the pod serves goes with it: so what would come near the limit
//! is refused before its first byte is written. Owns the count of what lies in the volume and of what is on its way there. Must not remove
//! anything: who knows what is needed makes room. A volume without a size takes whatever its disk takes.

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::writer::temporary;

/// Disks give space in blocks of this size, most of them.
const BLOCK_BYTES: u64 = 4096;

/// Up to which part of the volume something is taken. What is left above both is for what is counted differently by the kubelet, and for
/// small files that others put there, such as the keeper's journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// Blobs are what fills a volume.
    Blobs,
    /// Entries are small, and must still be changed when blobs have filled their part: a change may be what makes room.
    Entries,
}

impl Share {
    fn percent(self) -> u64 {
        match self {
            Self::Blobs => 90,
            Self::Entries => 95,
        }
    }
}

/// One volume. Shared by all who write there in this process.
#[derive(Debug)]
pub(crate) struct Room {
    volume: PathBuf,
    /// In bytes.
    size: Option<u64>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What lies there, in bytes: counted once, then added up. What was removed since is noticed when it is counted again, which is before anything
    /// is refused.
    used: Option<u64>,
    /// What is being written, in bytes.
    reserved: u64,
}

/// Bytes that are on their way into the volume. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    room: Arc<Room>,
    bytes: u64,
}

/// What does not fit, and how full the volume is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom {
    /// What was to be put there, in bytes.
    pub bytes: u64,
    /// What lies there or is on its way, in bytes.
    pub used: u64,
    /// Of the volume, in bytes.
    pub size: u64,
    /// How much of it may be filled.
    pub percent: u64,
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, used, size, percent } = *self;
        let [bytes, used, size] = [bytes, used, size].map(Readable);
        write!(f, "it has {bytes}, {used} of {size} are used, and {percent} % is the most")
    }
}

/// Why nothing could be reserved.
#[derive(Debug)]
pub(crate) enum RoomError {
    /// It does not fit.
    Full(NoRoom),
    /// The volume cannot be counted.
    Uncounted(io::Error),
}

impl Room {
    /// The volume that `path` is the root of; 0 is no size, as in Kubernetes.
    pub(crate) fn new(path: &Path, size: Option<u64>) -> Arc<Self> {
        let size = size.filter(|size| *size > 0);
        Arc::new(Self { volume: path.to_owned(), size, state: Mutex::default() })
    }

    /// Takes `bytes` of the room for something that is about to be written.
    pub(crate) fn reserve(self: &Arc<Self>, bytes: u64, share: Share) -> Result<Reservation, RoomError> {
        let charged = bytes.checked_next_multiple_of(BLOCK_BYTES).unwrap_or(bytes);
        let mut state = self.lock();
        if let Some(size) = self.size {
            let limit = size.saturating_mul(share.percent()) / 100;
            let after = |state: &State| state.after(charged);
            if after(&state).is_none_or(|after| after > limit) {
                state.used = Some(count(&self.volume).map_err(RoomError::Uncounted)?);
            }
            if after(&state).is_none_or(|after| after > limit) {
                let used = state.used.unwrap_or_default().saturating_add(state.reserved);
                return Err(RoomError::Full(NoRoom { bytes, used, size, percent: share.percent() }));
            }
        }
        state.reserved = state.reserved.saturating_add(charged);
        Ok(Reservation { room: Arc::clone(self), bytes: charged })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves a count that is a little wrong until the next one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// How much is used when so many bytes have come; `None` before the first count.
    fn after(&self, bytes: u64) -> Option<u64> {
        Some(self.used?.saturating_add(self.reserved).saturating_add(bytes))
    }
}

impl Reservation {
    /// Puts into place what was written, and counts it as lying there from that moment on.
    pub(crate) fn place(mut self, place: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        // Under the lock, so that no count sees it twice, or not at all.
        let mut state = self.room.lock();
        place()?;
        state.reserved = state.reserved.saturating_sub(self.bytes);
        state.used = state.used.map(|used| used.saturating_add(self.bytes));
        self.bytes = 0;
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut state = self.room.lock();
        state.reserved = state.reserved.saturating_sub(self.bytes);
    }
}

/// The bytes of all that lies in the volume, but for what this process is writing: that is reserved.
fn count(volume: &Path) -> io::Result<u64> {
    let (mut total, mut folders) = (0_u64, vec![volume.to_owned()]);
    while let Some(folder) = folders.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && folder != volume => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if temporary::is_own(&entry.file_name()) {
                continue;
            }
            let meta = match entry.metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                meta => meta?,
            };
            // Some file systems tell the blocks of what was just written only seconds later.
            total = total.saturating_add(meta.len().max(meta.blocks().saturating_mul(512)));
            if meta.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(total)
}

/// A number of bytes, to be read by people.
struct Readable(u64);

impl fmt::Display for Readable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1_u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        match units.into_iter().find(|(unit, _)| self.0 >= *unit) {
            Some((unit, name)) => write!(f, "{:.1} {name}", self.0 as f64 / unit as f64),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

#[cfg(test)]
mod tests;
