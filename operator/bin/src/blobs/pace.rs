//! A connection whose peer must take what it is sent.
//!
//! Owns the pace that a peer has to keep, and the end of a connection that does not: the error closes it, and with it goes all that it
//! held. Time counts only while there is something to send and the peer takes none of it, so neither a slow registry nor a peer that has
//! nothing to ask is taken for one that stalls.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// How long a peer may let us wait, in all, until it has taken [`PACE_BYTES`]. That is 35 KiB a second: what 32 transfers have each if
/// they share ten megabit, and a hundredth of what the slowest network of a cluster gives one.
const PATIENCE: Duration = Duration::from_secs(30);
const PACE_BYTES: usize = 1 << 20;

/// See the module.
pub struct Paced<S> {
    stream: S,
    /// Since the last whole [`PACE_BYTES`].
    taken: usize,
    /// The same, without the wait that goes on.
    waited: Duration,
    wait: Option<Wait>,
}

struct Wait {
    since: Instant,
    over: Pin<Box<Sleep>>,
}

impl<S> Paced<S> {
    /// A connection that ends when its peer is too slow.
    pub fn new(stream: S) -> Self {
        Self { stream, taken: 0, waited: Duration::ZERO, wait: None }
    }

    /// Judges what came of an attempt to write.
    fn judge(
        &mut self,
        context: &mut Context<'_>,
        wrote: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(wrote) = wrote {
            if let Ok(bytes) = &wrote {
                self.took(*bytes);
            }
            return Poll::Ready(wrote);
        }
        let left = PATIENCE.saturating_sub(self.waited);
        let wait =
            self.wait.get_or_insert_with(|| Wait { since: Instant::now(), over: Box::pin(sleep(left)) });
        ready!(wait.over.as_mut().poll(context));
        let words = format!(
            "the peer took {} bytes while {} s were spent waiting for it",
            self.taken,
            PATIENCE.as_secs()
        );
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, words)))
    }

    fn took(&mut self, bytes: usize) {
        self.waited += self.wait.take().map_or(Duration::ZERO, |wait| wait.since.elapsed());
        self.taken += bytes;
        if self.taken >= PACE_BYTES {
            (self.taken, self.waited) = (0, Duration::ZERO);
        }
    }
}

/// Whether a connection ended because its peer was too slow.
pub fn was_slow(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|source| source.kind() == io::ErrorKind::TimedOut)
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.judge(context, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// A socket has nothing to flush, so there is nothing to wait for.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    const BUFFER: usize = 1 << 10;

    /// Sends four times [`PACE_BYTES`] to a peer that takes `bytes` every `pause`; when and how it ended.
    async fn send_to_one_who_takes(bytes: usize, pause: Duration) -> (Duration, io::Result<()>) {
        let (ours, theirs) = duplex(BUFFER);
        let peer = tokio::spawn(take(theirs, bytes, pause));
        let start = Instant::now();
        let sent = Paced::new(ours).write_all(&vec![7; 4 * PACE_BYTES]).await;
        peer.abort();
        (start.elapsed(), sent)
    }

    async fn take(mut stream: DuplexStream, bytes: usize, pause: Duration) {
        let mut buffer = vec![0; bytes];
        while stream.read_exact(&mut buffer).await.is_ok() {
            sleep(pause).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_keeps_the_pace_gets_all_however_long_it_takes() {
        let (took, sent) = send_to_one_who_takes(PACE_BYTES / 16, Duration::from_millis(1800)).await;
        sent.unwrap();
        assert!(took > 3 * PATIENCE, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_or_a_trickle_is_left() {
        for (bytes, pause) in [(1, Duration::from_secs(3600)), (64, Duration::from_millis(10))] {
            let (took, sent) = send_to_one_who_takes(bytes, pause).await;
            assert_eq!(sent.unwrap_err().kind(), io::ErrorKind::TimedOut);
            assert!(took >= PATIENCE && took < 2 * PATIENCE, "{took:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_there_is_nothing_to_send_does_not_count() {
        let (ours, theirs) = duplex(BUFFER);
        let mut ours = Paced::new(ours);
        drop(tokio::spawn(take(theirs, BUFFER, Duration::from_secs(1))));
        for _ in 0..100 {
            sleep(PATIENCE).await;
            ours.write_all(&[7; 100]).await.unwrap();
        }
    }
}
