//! A blob that arrives in pieces, from somewhere that may break off or lie.
//!
//! Owns the check that what is put into the bay is what its digest names, done while the pieces are written: no more bytes than promised
//! are ever written, and until the last one fits nobody sees any of them.

use std::io::Write as _;

use hotbay_api::{Digest, names};
use sha2::{Digest as _, Sha256};

use super::temporary::Temporary;
use super::{WriteError, Writer};
use crate::room::{Reservation, Share};

/// A blob of which some bytes are there. Dropping it leaves nothing behind.
#[derive(Debug)]
pub struct IncomingBlob {
    writer: Writer,
    digest: Digest,
    size: u64,
    temporary: Temporary,
    hasher: Sha256,
    got: u64,
    reservation: Reservation,
}

impl Writer {
    /// Begins a blob of `size` uncompressed bytes.
    ///
    /// # Errors
    /// When the bay has no room for it, or takes no file.
    pub fn begin_blob(&self, digest: &Digest, size: u64) -> Result<IncomingBlob, WriteError> {
        let reservation = self.reserve(&names::blob_file(digest), size, Share::Blobs)?;
        let temporary = Temporary::create(self.path());
        let temporary = temporary.map_err(|source| self.failed(&names::blob_file(digest), size, source))?;
        let (writer, hasher) = (self.clone(), Sha256::new());
        Ok(IncomingBlob { writer, digest: *digest, size, temporary, hasher, got: 0, reservation })
    }
}

impl IncomingBlob {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// When they are more than promised, or cannot be written.
    pub fn write(&mut self, piece: &[u8]) -> Result<(), WriteError> {
        self.got += piece.len() as u64;
        if self.got > self.size {
            return Err(WriteError::TooLong { digest: self.digest, want: self.size });
        }
        self.hasher.update(piece);
        self.temporary.file().write_all(piece).map_err(|source| self.failed(source))
    }

    /// Puts the whole blob into its place.
    ///
    /// # Errors
    /// When bytes are missing, they are not the digest's, or the bay does not take them.
    pub fn finish(self) -> Result<(), WriteError> {
        let Self { writer, digest, size, temporary, hasher, got, reservation } = self;
        if got < size {
            return Err(WriteError::TooShort { digest, want: size, got });
        }
        let got = Digest::from_bytes(hasher.finalize().into());
        if got != digest {
            return Err(WriteError::DigestMismatch { want: digest, got });
        }
        let name = names::blob_file(&digest);
        let placed = reservation.place(|| temporary.rename_to(&name));
        placed.map_err(|source| writer.failed(&name, size, source))
    }

    fn failed(&self, source: std::io::Error) -> WriteError {
        self.writer.failed(&names::blob_file(&self.digest), self.size, source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of these pieces, and how many files the bay has then.
    fn sent(pieces: &[&[u8]], digest: &Digest, size: u64) -> (Result<(), WriteError>, usize) {
        let bay = tempfile::tempdir().unwrap();
        let writer = Writer::new(bay.path()).unwrap();
        let mut blob = writer.begin_blob(digest, size).unwrap();
        let written = pieces.iter().try_for_each(|piece| blob.write(piece));
        let result = written.and_then(|()| blob.finish());
        assert_eq!(writer.holds_blob(digest, size), result.is_ok());
        (result, std::fs::read_dir(bay.path()).unwrap().count())
    }

    #[test]
    fn only_the_promised_bytes_enter_the_bay() {
        let digest = Digest::of(b"abcdef");
        assert!(matches!(sent(&[b"abc", b"", b"def"], &digest, 6), (Ok(()), 1)));
        assert!(matches!(sent(&[b"abc", b"de"], &digest, 6), (Err(WriteError::TooShort { got: 5, .. }), 0)));
        assert!(matches!(
            sent(&[b"abc", b"defg"], &digest, 6),
            (Err(WriteError::TooLong { want: 6, .. }), 0)
        ));
        assert!(matches!(sent(&[b"abcdeg"], &digest, 6), (Err(WriteError::DigestMismatch { .. }), 0)));
    }
}
