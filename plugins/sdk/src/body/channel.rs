//! A body that is filled from elsewhere: one piece waits at a time, so whoever fills it goes no faster than the client reads.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::{Frame, Source, StreamError};
use crate::Trailers;

/// Fills a body. Dropping it before [`finish`](Sender::finish) cuts the connection: a task that panics or is cancelled in mid-stream must not
/// look like a whole answer.
#[derive(Debug)]
pub struct Sender(Arc<Mutex<Channel>>);

/// Nobody reads the body any more: the client left, or the call is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody reads this body any more")]
pub struct Closed;

/// The sender went before it had finished.
#[derive(Debug, thiserror::Error)]
#[error("the sender of the body was dropped before it called finish")]
struct Unfinished;

#[derive(Debug, Default)]
struct Channel {
    waiting: Option<Bytes>,
    end: Option<Result<Option<Trailers>, StreamError>>,
    /// The body is gone.
    closed: bool,
    sender: Option<Waker>,
    receiver: Option<Waker>,
}

/// The end that the host drains.
pub(super) struct Receiver(Arc<Mutex<Channel>>);

pub(super) fn channel() -> (Sender, Receiver) {
    let channel = Arc::<Mutex<Channel>>::default();
    (Sender(Arc::clone(&channel)), Receiver(channel))
}

/// Nothing panics while it is held, so a poisoned lock has nothing wrong behind it.
fn lock(channel: &Mutex<Channel>) -> MutexGuard<'_, Channel> {
    channel.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sender {
    /// Hands over the next piece, after waiting until the one before it was taken.
    ///
    /// # Errors
    /// [`Closed`] when nobody reads any more: stop producing.
    pub async fn send(&mut self, piece: impl Into<Bytes>) -> Result<(), Closed> {
        let mut piece = Some(piece.into());
        std::future::poll_fn(|cx| self.poll_send(&mut piece, cx)).await
    }

    fn poll_send(&mut self, piece: &mut Option<Bytes>, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        let mut channel = lock(&self.0);
        if channel.closed {
            return Poll::Ready(Err(Closed));
        }
        if channel.waiting.is_some() {
            channel.sender = Some(cx.waker().clone());
            return Poll::Pending;
        }
        channel.waiting = piece.take();
        wake(channel, |channel| channel.receiver.take());
        Poll::Ready(Ok(()))
    }

    /// Waits until nobody reads any more: for producers that would otherwise only notice when they next have something to say.
    pub async fn closed(&mut self) {
        std::future::poll_fn(|cx| {
            let mut channel = lock(&self.0);
            if channel.closed {
                return Poll::Ready(());
            }
            channel.sender = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// The body is whole.
    pub fn finish(self) {
        self.end(Ok(None));
    }

    /// The body is whole, and these follow it. What trailers may not carry (as content-length) is left out.
    pub fn finish_with(self, trailers: Trailers) {
        self.end(Ok(Some(trailers)));
    }

    /// Cuts the connection; the words reach the log.
    pub fn fail(self, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) {
        self.end(Err(error.into()));
    }

    fn end(&self, end: Result<Option<Trailers>, StreamError>) {
        let mut channel = lock(&self.0);
        channel.end.get_or_insert(end);
        wake(channel, |channel| channel.receiver.take());
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.end(Err(Box::new(Unfinished)));
    }
}

impl Source for Receiver {
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, StreamError>>> {
        let mut channel = lock(&self.0);
        if let Some(piece) = channel.waiting.take() {
            wake(channel, |channel| channel.sender.take());
            return Poll::Ready(Some(Ok(Frame::Data(piece))));
        }
        match channel.end.take() {
            None => {
                channel.receiver = Some(cx.waker().clone());
                Poll::Pending
            }
            Some(end) => {
                // Polled once more, it has ended.
                channel.end = Some(Ok(None));
                Poll::Ready(end.map(|trailers| trailers.map(Frame::Trailers)).transpose())
            }
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut channel = lock(&self.0);
        channel.closed = true;
        let waiting = channel.waiting.take();
        wake(channel, |channel| channel.sender.take());
        drop(waiting);
    }
}

/// Wakes after the lock is left: a waker may run anything.
fn wake(mut channel: MutexGuard<'_, Channel>, whom: impl FnOnce(&mut Channel) -> Option<Waker>) {
    let waker = whom(&mut channel);
    drop(channel);
    if let Some(waker) = waker {
        waker.wake();
    }
}
