//! A timer that may be off.
//!
//! Owns nothing; it is the one place where the plain clock of the pure parts meets tokio's.

use std::time::Instant;

/// Now, by the clock of [`sleep_until`], which a test can hold and turn on.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Waits until `at`, or for ever.
pub(crate) async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
