//! A blob on its way to a pod.
//!
//! Owns how many go at a time; a blob is never in memory as a whole. How long one may take is its connection's (`pace`): with the connection
//! the body goes, and with the body the place.

use std::fs::File;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};

use bytes::{Bytes, BytesMut};
use futures::Stream;
use http_body_util::StreamBody;
use hyper::body::Frame;
use tokio::io::AsyncReadExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::metrics::BlobService;

/// Transfers at a time. With the pieces below they take 16 MiB at most.
const TRANSFERS: usize = 32;
/// What is read at a time, and how many of these wait for the connection.
const PIECE_BYTES: usize = 128 << 10;
const PIECES: usize = 3;

/// The bytes of a file as the body of an answer.
pub type Body = StreamBody<Pin<Box<dyn Stream<Item = io::Result<Frame<Bytes>>> + Send>>>;

/// See the module.
#[derive(Clone)]
pub struct Transfers(Arc<Semaphore>);

impl Default for Transfers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(TRANSFERS)))
    }
}

impl Transfers {
    /// The right to a transfer; `None` if there are too many.
    pub fn begin(&self) -> Option<OwnedSemaphorePermit> {
        self.0.clone().try_acquire_owned().ok()
    }

    #[cfg(test)]
    pub fn all(&self) -> Arc<Semaphore> {
        self.0.clone()
    }
}

/// The first `bytes` bytes of `file`; the right is held until the last one is handed over, or the body dropped.
pub fn body(file: File, bytes: u64, right: OwnedSemaphorePermit, metrics: BlobService) -> Body {
    let (pieces_tx, mut pieces_rx) = mpsc::channel(PIECES);
    // Detached on purpose: it ends with the body.
    tokio::spawn(async move {
        if let Err(error) = feed(tokio::fs::File::from_std(file), bytes, &pieces_tx).await {
            tracing::warn!(%error, "a transfer of a blob is cut");
            // An error in the body closes the connection, so that half a blob never looks whole.
            drop(pieces_tx.send(Err(error)).await);
        }
        drop(right);
    });
    let stream = futures::stream::poll_fn(move |context| {
        let piece = ready!(pieces_rx.poll_recv(context));
        if let Some(Ok(piece)) = &piece {
            metrics.sent(piece.data_ref().map_or(0, Bytes::len));
        }
        Poll::Ready(piece)
    });
    StreamBody::new(Box::pin(stream))
}

async fn feed(
    file: tokio::fs::File,
    bytes: u64,
    pieces: &mpsc::Sender<io::Result<Frame<Bytes>>>,
) -> io::Result<()> {
    let mut file = file.take(bytes);
    let mut left = bytes;
    while left > 0 {
        let mut piece = BytesMut::with_capacity(PIECE_BYTES);
        // Whole pieces: a file reads in pieces of its own choosing.
        while piece.len() < PIECE_BYTES && file.read_buf(&mut piece).await? > 0 {}
        if piece.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than it was"));
        }
        left -= piece.len() as u64;
        if pieces.send(Ok(Frame::data(piece.freeze()))).await.is_err() {
            // Who asked has gone.
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use http_body_util::BodyExt as _;

    use super::*;
    use crate::metrics::Metrics;

    fn file(bytes: usize) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![7; bytes]).unwrap();
        io::Seek::rewind(&mut file).unwrap();
        file
    }

    /// Of a file with so many bytes, which is said to have so many.
    fn mk_body(transfers: &Transfers, bytes: usize, said: usize) -> Body {
        let metrics = Metrics::new().blob_service;
        body(file(bytes), said as u64, transfers.begin().unwrap(), metrics)
    }

    #[tokio::test]
    async fn the_place_is_free_again_when_the_last_byte_is_handed_over() {
        let transfers = Transfers::default();
        let bytes = 3 * PIECE_BYTES + 1;
        let body = mk_body(&transfers, bytes, bytes);
        assert_eq!(body.collect().await.unwrap().to_bytes(), vec![7; bytes]);
        let all = u32::try_from(TRANSFERS).unwrap();
        drop(transfers.0.acquire_many(all).await.unwrap());
    }

    #[tokio::test]
    async fn the_place_is_free_again_when_the_body_is_dropped() {
        let transfers = Transfers::default();
        let bytes = 10 * PIECE_BYTES;
        drop(mk_body(&transfers, bytes, bytes));
        let all = u32::try_from(TRANSFERS).unwrap();
        drop(transfers.0.acquire_many(all).await.unwrap());
    }

    #[tokio::test]
    async fn a_file_that_became_shorter_cuts_the_connection() {
        let transfers = Transfers::default();
        assert!(mk_body(&transfers, 10, 11).collect().await.is_err());
    }
}
