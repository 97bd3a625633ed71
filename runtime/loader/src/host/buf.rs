//! Bytes that come from a module.
//!
//! Owns their release, once, by whoever holds them last. Must not be dropped under a slot's lock: a release is foreign code.

use bytes::Bytes;
use hotbay_abi::{Buf, Str};

use crate::marks::marked;
use crate::queue::Mark;

/// Bytes that a module lent with a release function.
struct Owned {
    buf: Buf,
    mark: Mark,
}

// SAFETY: the ABI lets the receiver release a buffer on any thread.
unsafe impl Send for Owned {}

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the module promises `len` bytes until release, which runs on drop.
        unsafe { view(&self.buf) }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if let Some(release) = self.buf.release {
            // SAFETY: `owner` belongs to `release`, and this is its one call.
            marked(self.mark, 0, || unsafe { release(self.buf.owner) });
        }
    }
}

/// The bytes of a buffer.
///
/// # Safety
/// They must be there for `'a`.
unsafe fn view<'a>(buf: &Buf) -> &'a [u8] {
    // SAFETY: the caller's promise.
    unsafe { Str { ptr: buf.ptr, len: buf.len }.get() }.unwrap_or_default()
}

/// Takes over bytes: copied if they are borrowed, otherwise to be released by the last who holds them. Runs no foreign code.
///
/// # Safety
/// `buf` must be as the header says for bytes that are, or are not, to be copied.
pub(super) unsafe fn take(buf: Buf, copied: bool, mark: impl FnOnce() -> Mark) -> Bytes {
    if copied {
        // SAFETY: the caller promises `len` bytes, for this call at least.
        return Bytes::copy_from_slice(unsafe { view(&buf) });
    }
    if buf.release.is_some() {
        return Bytes::from_owner(Owned { buf, mark: mark() });
    }
    // SAFETY: without a release function the bytes live as long as the process, as the header says.
    Bytes::from_static(unsafe { view(&buf) })
}
