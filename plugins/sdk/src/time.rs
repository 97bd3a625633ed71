//! Time for async handlers, by the host's clock and timer: no thread and no runtime of the module's own.
//!
//! ```no_run
//! # async fn fetch() {}
//! # async fn example() {
//! use std::time::Duration;
//! use hotbay_sdk::time::{sleep, timeout};
//!
//! sleep(Duration::from_millis(50)).await; // the thread serves others meanwhile
//! if timeout(Duration::from_secs(1), fetch()).await.is_err() {
//!     // it took too long
//! }
//! # }
//! ```
//! They work in a handler and in an async `create` and `stop`. A task that was spawned on a tokio runtime has tokio's.

mod sleeps;

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

pub(crate) use sleeps::wake_due;

use self::sleeps::Place;

/// The host's clock: how long the machine has run. It never goes back, and has nothing to do with the time of day.
pub fn now() -> Duration {
    Duration::from_nanos(sleeps::now_ns())
}

/// Waits for so long, at least.
pub fn sleep(duration: Duration) -> Sleep {
    let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    Sleep { at: sleeps::now_ns().saturating_add(ns), place: None }
}

/// Waits for `future`, and drops it if that takes longer than `limit`.
///
/// # Errors
/// [`Elapsed`] if it took longer.
pub async fn timeout<T>(limit: Duration, future: impl Future<Output = T>) -> Result<T, Elapsed> {
    let (mut future, mut limit) = (pin!(future), sleep(limit));
    poll_fn(|cx| {
        // First what is waited for: it may be there although it is late.
        if let Poll::Ready(value) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(value));
        }
        Pin::new(&mut limit).poll(cx).map(|()| Err(Elapsed))
    })
    .await
}

/// It took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it took too long")]
pub struct Elapsed;

/// What [`sleep`] returns.
#[must_use = "a sleep does nothing unless it is awaited"]
pub struct Sleep {
    at: u64,
    /// Where its waker is, once it waits.
    place: Option<Place>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if sleeps::now_ns() >= self.at {
            self.place = None;
            return Poll::Ready(());
        }
        let at = self.at;
        match &self.place {
            Some(place) if place.renew(cx.waker()) => {}
            _ => self.place = Some(Place::take(at, cx.waker())),
        }
        Poll::Pending
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("until", &Duration::from_nanos(self.at)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::block_on;

    #[test]
    fn without_a_host_time_passes_all_the_same() {
        let began = now();
        block_on(async {
            sleep(Duration::ZERO).await;
            let elapsed = timeout(Duration::from_millis(5), sleep(Duration::from_secs(3600))).await;
            assert_eq!(elapsed, Err(Elapsed));
            assert_eq!(timeout(Duration::from_secs(3600), sleep(Duration::from_millis(1))).await, Ok(()));
        });
        assert!(now() - began >= Duration::from_millis(6));
    }
}
