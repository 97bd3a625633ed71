//! Memory that a module may look at for a while: on pages of their own, read-only, and gone when the while is over.
//!
//! Owns two reserved ranges, one for views and one for pieces of bodies, so that a fault's address says which rule was broken. Nothing is given
//! out twice: a stale pointer always faults.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use hotbay_abi::Str;

/// Address space only; one scenario uses some MiB of it.
const RESERVED: usize = 1 << 30;
const PAGE: usize = 4096;

static VIEWS: OnceLock<Arena> = OnceLock::new();
static PIECES: OnceLock<Arena> = OnceLock::new();

/// What lies in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Requests, configs, and all that lives as long.
    Views,
    /// Pieces of request bodies.
    Pieces,
}

struct Arena {
    base: usize,
    used: AtomicUsize,
}

/// Pages of one owner.
#[derive(Debug)]
pub(crate) struct Room {
    base: usize,
    length: usize,
    used: usize,
}

/// Reserves both ranges. To be called before anything else here.
pub(crate) fn reserve() -> io::Result<()> {
    for arena in [&VIEWS, &PIECES] {
        let made = Arena::reserve()?;
        let _first = arena.set(made);
    }
    Ok(())
}

/// Which range an address lies in. Safe in a signal handler.
pub(crate) fn what_is_at(address: usize) -> Option<What> {
    let within = |arena: &OnceLock<Arena>| {
        arena.get().is_some_and(|arena| (arena.base..arena.base + RESERVED).contains(&address))
    };
    if within(&VIEWS) { Some(What::Views) } else { within(&PIECES).then_some(What::Pieces) }
}

impl Arena {
    fn reserve() -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: new pages, wherever the kernel likes.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), RESERVED, libc::PROT_NONE, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { base: base as usize, used: AtomicUsize::new(0) })
    }
}

impl Room {
    /// Room for at least `bytes`, writable by the host until [`Self::freeze`].
    pub fn new(what: What, bytes: usize) -> io::Result<Self> {
        let arena = match what {
            What::Views => &VIEWS,
            What::Pieces => &PIECES,
        };
        let arena = arena.get().ok_or_else(|| io::Error::other("no memory is reserved"))?;
        let length = bytes.max(1).next_multiple_of(PAGE);
        // A page stays between two owners, so that reading beyond the end faults as well.
        let offset = arena.used.fetch_add(length + PAGE, Ordering::Relaxed);
        if offset + length > RESERVED {
            return Err(io::Error::other("the reserved memory is used up"));
        }
        let room = Self { base: arena.base + offset, length, used: 0 };
        room.protect(libc::PROT_READ | libc::PROT_WRITE)?;
        Ok(room)
    }

    /// A copy of some plain values, aligned to 16. What does not fit is a fault of this program, and answered with NULL.
    pub fn put<T: Copy>(&mut self, values: &[T]) -> *const T {
        let bytes = size_of_val(values);
        let at = self.used.next_multiple_of(16);
        if at + bytes > self.length {
            return std::ptr::null();
        }
        self.used = at + bytes;
        let place = (self.base + at) as *mut T;
        // SAFETY: the place is in our own writable pages, aligned, large enough, and given to nobody yet.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), place, values.len()) };
        place
    }

    /// A value, as [`Self::put`] has it. It is never dropped.
    pub fn put_one<T>(&mut self, value: T) -> *const T {
        let at = self.used.next_multiple_of(16);
        if at + size_of::<T>() > self.length {
            return std::ptr::null();
        }
        self.used = at + size_of::<T>();
        let place = (self.base + at) as *mut T;
        // SAFETY: as in `put`.
        unsafe { place.write(value) };
        place
    }

    /// A copy of some bytes.
    pub fn text(&mut self, bytes: &[u8]) -> Str {
        let ptr = self.put(bytes);
        Str { ptr, len: bytes.len() }
    }

    /// From now on it is read only.
    pub fn freeze(&self) -> io::Result<()> {
        self.protect(libc::PROT_READ)
    }

    /// From now on every access faults.
    pub fn seal(&self) -> io::Result<()> {
        self.protect(libc::PROT_NONE)
    }

    fn protect(&self, protection: i32) -> io::Result<()> {
        // SAFETY: whole pages of our own range.
        match unsafe { libc::mprotect(self.base as *mut libc::c_void, self.length, protection) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
