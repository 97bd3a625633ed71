//! Bytes that the host lends until they are released.

use std::ops::Deref;
use std::{fmt, ptr};

use bytes::Bytes;
use hotbay_abi::{Buf, Str};

/// A piece of a request's body: the host's own memory, given back when this is dropped, on whatever thread and however late.
pub struct Piece(Memory);

enum Memory {
    Host(Buf),
    /// Of a body that was there when the call began.
    Own(Bytes),
}

// SAFETY: the ABI lets the receiver of a buffer read and release it on any thread.
unsafe impl Send for Piece {}
// SAFETY: the bytes are only read.
unsafe impl Sync for Piece {}

impl Piece {
    /// # Safety
    /// The host must have handed `buf` over just now.
    pub(crate) unsafe fn new(buf: Buf) -> Self {
        Self(Memory::Host(buf))
    }

    /// A place for the host to write to.
    pub(crate) const fn place() -> Buf {
        Buf { ptr: ptr::null(), len: 0, owner: ptr::null_mut(), release: None }
    }
}

impl Deref for Piece {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            // SAFETY: `new` got the promise that the bytes are ours to read until they are released, which is when `self` goes.
            Memory::Host(buf) => unsafe { Str { ptr: buf.ptr, len: buf.len }.get() }.unwrap_or_default(),
            Memory::Own(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if let Memory::Host(Buf { owner, release: Some(release), .. }) = self.0 {
            // SAFETY: released exactly once, here.
            unsafe { release(owner) };
        }
    }
}

impl From<Piece> for Bytes {
    /// Without copying.
    fn from(mut piece: Piece) -> Self {
        match &mut piece.0 {
            Memory::Own(bytes) => std::mem::take(bytes),
            Memory::Host(_) => Self::from_owner(piece),
        }
    }
}

impl From<Bytes> for Piece {
    fn from(bytes: Bytes) -> Self {
        Self(Memory::Own(bytes))
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Piece({} bytes)", self.len())
    }
}
