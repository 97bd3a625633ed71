//! Memory of 64-bit words that processes share through a descriptor.
//!
//! Owns its making (sealed, so that no holder of the descriptor can pull it away under a reader) and its mapping. The words are atomics, so
//! that whatever another process writes is at worst a wrong number.

use std::fmt;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};

/// A mapping of shared words; clones share it, and the last one to go unmaps it.
#[derive(Clone)]
pub struct SharedWords {
    mapping: Arc<Mapping>,
}

struct Mapping {
    words: NonNull<AtomicU64>,
    count: usize,
}

/// New memory of `words` zeros. It can neither shrink nor grow, and is close-on-exec.
///
/// # Errors
/// When the kernel has no memory or no descriptor for it.
pub fn create(name: &str, words: usize) -> io::Result<OwnedFd> {
    let bytes = words
        .checked_mul(size_of::<AtomicU64>())
        .and_then(|bytes| u64::try_from(bytes).ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the shared memory is too large"))?;
    let fd = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    rustix::fs::ftruncate(&fd, bytes)?;
    rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(fd)
}

impl SharedWords {
    /// Maps what [`create`] made, here or in another process.
    ///
    /// # Errors
    /// When `fd` is no such memory (a shrinkable one would raise SIGBUS later), is empty, or there is no room.
    pub fn map(fd: &impl AsFd) -> io::Result<Self> {
        let refuse = |why| io::Error::new(io::ErrorKind::InvalidData, why);
        let seals =
            rustix::fs::fcntl_get_seals(fd).map_err(|_| refuse("the descriptor is no shared memory"))?;
        if !seals.contains(SealFlags::SHRINK) {
            return Err(refuse("the shared memory is not sealed against shrinking"));
        }
        let bytes =
            usize::try_from(rustix::fs::fstat(fd)?.st_size).map_err(|_| refuse("the size is nonsense"))?;
        let count = bytes / size_of::<AtomicU64>();
        if count == 0 {
            return Err(refuse("the shared memory is empty"));
        }
        // SAFETY: a new mapping at an address of the kernel's choice aliases nothing of Rust's.
        let start = unsafe {
            let protection = ProtFlags::READ | ProtFlags::WRITE;
            rustix::mm::mmap(std::ptr::null_mut(), bytes, protection, MapFlags::SHARED, fd, 0)
        }?;
        let words = NonNull::new(start.cast()).ok_or_else(|| refuse("the kernel mapped address 0"))?;
        Ok(Self { mapping: Arc::new(Mapping { words, count }) })
    }
}

impl Deref for SharedWords {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        let Mapping { words, count } = *self.mapping;
        // SAFETY: `map` mapped `count` words there, page-aligned and zeroed; they stay while `self` does, since the mapping is unmapped with
        // its last owner and the seal forbids to shrink the file. All access, here and in other processes, is to atomics.
        unsafe { std::slice::from_raw_parts(words.as_ptr(), count) }
    }
}

impl fmt::Debug for SharedWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedWords({} words)", self.mapping.count)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `map` made, and its last owner is going: no slice of it can be left. A failure leaves it mapped.
        let _ =
            unsafe { rustix::mm::munmap(self.words.as_ptr().cast(), self.count * size_of::<AtomicU64>()) };
    }
}

// SAFETY: a mapping belongs to no thread; what it gives out are atomics.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn two_mappings_see_one_memory_and_a_clone_outlives_its_origin() {
        let fd = create("test", 1000).unwrap();
        let one = SharedWords::map(&fd).unwrap();
        let other = SharedWords::map(&fd).unwrap();
        drop(fd);
        one[999].store(7, Ordering::Release);
        let clone = other.clone();
        drop(other);
        assert_eq!(
            (clone.len(), clone[999].load(Ordering::Acquire), clone[0].load(Ordering::Acquire)),
            (1000, 7, 0)
        );
    }

    #[test]
    fn it_can_neither_shrink_nor_grow() {
        let fd = create("test", 10).unwrap();
        assert!(rustix::fs::ftruncate(&fd, 0).is_err());
        assert!(rustix::fs::ftruncate(&fd, 800).is_err());
    }

    #[test]
    fn what_could_be_pulled_away_is_refused() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(80).unwrap();
        assert!(SharedWords::map(&file).is_err(), "a plain file must be refused");
        let open = rustix::fs::memfd_create("open", MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::fs::ftruncate(&open, 80).unwrap();
        assert!(SharedWords::map(&open).is_err(), "an unsealed memory must be refused");
        assert!(SharedWords::map(&create("empty", 0).unwrap()).is_err(), "an empty memory must be refused");
    }
}
