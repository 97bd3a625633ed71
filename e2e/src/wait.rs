//! Waiting for events.
//!
//! Owns the one deadline of all tests. Nothing else may sleep.

use std::time::Duration;

use tokio::time::Instant;

/// How long a test waits for anything.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(10);

/// Waits for `event`.
///
/// # Panics
/// When it does not come within [`DEADLINE`].
pub async fn in_time<T>(what: &str, event: impl Future<Output = T>) -> T {
    let came = tokio::time::timeout(DEADLINE, event).await;
    came.unwrap_or_else(|_elapsed| panic!("{what}: not within {DEADLINE:?}"))
}

/// Looks until `condition` is true, and returns what it gives.
///
/// # Panics
/// When it is not true within [`DEADLINE`], with the last look's story.
pub async fn wait_for<T>(what: &str, mut condition: impl AsyncFnMut() -> Result<T, String>) -> T {
    let until = Instant::now() + DEADLINE;
    let mut story = "there was no look".to_owned();
    loop {
        match tokio::time::timeout_at(until, condition()).await {
            Ok(Ok(value)) => return value,
            Ok(Err(last)) => story = last,
            // The look before this one says more than that this one did not end.
            Err(_elapsed) => story.push_str("; then a look that did not end"),
        }
        assert!(Instant::now() < until, "{what}: not within {DEADLINE:?}; at last: {story}");
        tokio::time::sleep(INTERVAL).await;
    }
}
