//! A request's body, piece by piece as it comes.
//!
//! Owns how a reader waits and when it lets others go first. Must not hold a request's views: it may outlive the call, and then says so.

use std::error::Error as StdError;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use hotbay_abi::{EOF, ERR, GONE, LIMIT, PENDING, Rc};

use crate::link::{Link, Side};
use crate::{Piece, Request, Trailers, host};

/// So many pieces in a row are read before other calls of the thread get their turn. Nobody else sees to that: outside of its own tasks,
/// tokio has no budget.
const PIECES_A_TURN: u32 = 64;

/// The body of a request, as it comes. A handler that takes it is called when the head has come; what it does not read is
/// the host's business. It may be moved into a task: when the call is over, reading says [`BodyError::Gone`].
#[derive(Debug)]
pub struct RequestBody {
    from: From,
    /// Pieces since the last wait.
    run: u32,
    /// What is known to come, in bytes.
    left: Option<u64>,
}

#[derive(Debug)]
enum From {
    /// All of it was there.
    Whole(Bytes),
    Host(Arc<Link>),
    /// It has ended; what it was read from may have trailers.
    Over(Option<Arc<Link>>),
}

/// Why a body ends before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// More than the HandlerModule's `limits.maxRequestBodySize`; answer 413.
    #[error("the request's body is larger than limits.maxRequestBodySize allows")]
    TooLarge,
    /// It is malformed, the client left, or the call is over; answer 400.
    #[error("the request's body ended early: it is malformed, the client left, or the call is over")]
    Gone,
}

impl BodyError {
    /// The one that an error comes from, however deep.
    pub(crate) fn among(error: &(dyn StdError + 'static)) -> Option<Self> {
        chain(error).find_map(|error| error.downcast_ref().copied())
    }

    /// What a call ends with that `error` keeps from answering. The host knows from the code whether its client's body is behind it, and looks whether that is so.
    pub(crate) fn code(error: &(dyn StdError + 'static)) -> Rc {
        match Self::among(error) {
            Some(Self::TooLarge) => LIMIT,
            Some(Self::Gone) => GONE,
            // In the words of others, see `body::http_body`.
            #[cfg(feature = "http")]
            None if chain(error).any(|error| error.is::<http_body_util::LengthLimitError>()) => LIMIT,
            None => ERR,
        }
    }
}

/// An error and its sources.
fn chain<'e>(error: &'e (dyn StdError + 'static)) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| {
        // It passes over the error that it holds.
        let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        held.map(|held| held as &(dyn StdError + 'static)).or_else(|| error.source())
    })
}

impl RequestBody {
    /// The body of a request. Take it once: two readers of one body each get a part of it.
    pub fn of(request: &Request<'_>) -> Self {
        if let Some(body) = request.whole() {
            return Self::whole(Bytes::copy_from_slice(body));
        }
        // SAFETY: the request's call holds the link, and the request lives no longer than the call.
        let from = unsafe { Link::of(request.link) }.map_or(From::Over(None), From::Host);
        let declared = request.header("content-length").and_then(|length| length.parse().ok());
        Self { from, run: 0, left: declared }
    }

    /// One that has ended.
    #[cfg(feature = "tower")]
    pub(crate) const fn none() -> Self {
        Self { from: From::Over(None), run: 0, left: None }
    }

    /// A body that is there; for tests.
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { left: Some(bytes.len() as u64), from: From::Whole(bytes), run: 0 }
    }

    /// The next piece, never empty, at most some 64 KiB; `None` when the body has ended. While nobody asks, the client waits.
    ///
    /// # Errors
    /// [`BodyError`], once; afterwards the body has ended.
    pub async fn next(&mut self) -> Option<Result<Piece, BodyError>> {
        std::future::poll_fn(|cx| self.poll_piece(cx)).await
    }

    /// The headers that followed the body, when [`next`](Self::next) has said `None`.
    pub fn trailers(&self) -> Option<Trailers> {
        let From::Over(Some(link)) = &self.from else { return None };
        // SAFETY: `while_alive` keeps the request's views for that long.
        link.while_alive(|| unsafe { host::trailers(link.call) }).filter(|trailers| !trailers.is_empty())
    }

    #[cfg(feature = "http")]
    pub(crate) fn take_trailers(&mut self) -> Option<Trailers> {
        let trailers = self.trailers();
        self.from = From::Over(None);
        trailers
    }

    #[cfg(feature = "http")]
    pub(crate) fn is_over(&self) -> bool {
        match &self.from {
            From::Over(link) => link.is_none(),
            From::Whole(bytes) => bytes.is_empty(),
            From::Host(_) => false,
        }
    }

    /// How many bytes are still to come, if the client has said.
    pub fn remaining(&self) -> Option<u64> {
        match self.from {
            From::Over(_) => Some(0),
            _ => self.left,
        }
    }

    /// As [`next`](Self::next), for those who poll.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, BodyError>>> {
        let link = match &mut self.from {
            From::Over(_) => return Poll::Ready(None),
            From::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                self.from = From::Over(None);
                return Poll::Ready((!bytes.is_empty()).then(|| Ok(Piece::from(bytes))));
            }
            From::Host(link) => link,
        };
        if self.run >= PIECES_A_TURN {
            self.run = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        link.wait(Side::Reader, cx.waker());
        let error = match host::read(link.call) {
            Ok(piece) => {
                self.run += 1;
                self.left = self.left.map(|left| left.saturating_sub(piece.len() as u64));
                return Poll::Ready(Some(Ok(piece)));
            }
            Err(PENDING) => {
                self.run = 0;
                return Poll::Pending;
            }
            Err(EOF) => {
                self.from = From::Over(Some(Arc::clone(link)));
                return Poll::Ready(None);
            }
            Err(LIMIT) => BodyError::TooLarge,
            Err(_) => BodyError::Gone,
        };
        self.from = From::Over(None);
        Poll::Ready(Some(Err(error)))
    }
}

impl Stream for RequestBody {
    type Item = Result<Piece, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_piece(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the order")]
    struct Reading(#[source] io::Error);

    #[test]
    fn the_code_of_an_error_tells_a_clients_body_from_a_failure() {
        let behind = |error: BodyError| BodyError::code(&Reading(io::Error::other(error)));
        assert_eq!((behind(BodyError::Gone), behind(BodyError::TooLarge)), (GONE, LIMIT));
        assert_eq!(BodyError::code(&BodyError::Gone), GONE);
        assert_eq!(BodyError::code(&Reading(io::ErrorKind::NotFound.into())), ERR);
    }

    #[cfg(feature = "http")]
    #[test]
    fn what_the_http_crates_call_too_large_is_so() {
        let mut body = http_body_util::Limited::new(RequestBody::whole("two"), 1);
        let read = std::future::poll_fn(|cx| http_body::Body::poll_frame(Pin::new(&mut body), cx));
        let error = crate::test::block_on(read).unwrap().unwrap_err();
        assert_eq!(BodyError::code(&*error), LIMIT);
    }
}
