//! The clock of those who serve, on a thread of its own.
//!
//! Owns every time limit that a connection or a request has. The workers' own runtime has no timers: with them it would look at the clock and at its wheel
//! each time that a worker goes to sleep and wakes, 600 instructions a request where one connection is busy, and nearly no request ever needs
//! one. Must not run anything that blocks, nor module code.

use std::future::{Future, pending};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Sleep, Timeout};

/// The clock. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Timers {
    runtime: Handle,
}

impl Timers {
    /// Starts the thread, which lives as long as the process.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn start() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let handle = runtime.handle().clone();
        std::thread::Builder::new()
            .name("timers".to_owned())
            .spawn(move || runtime.block_on(pending::<()>()))?;
        Ok(Self { runtime: handle })
    }

    /// `future`, for so long at most. May be awaited on any runtime.
    pub fn timeout<F: Future>(&self, limit: Duration, future: F) -> Timeout<F> {
        let _here = self.runtime.enter();
        tokio::time::timeout(limit, future)
    }

    /// So much time. May be awaited on any runtime.
    pub fn sleep(&self, time: Duration) -> Sleep {
        let _here = self.runtime.enter();
        tokio::time::sleep(time)
    }

    /// Runs `task` on the clock's own thread, where it may use tokio's timers itself.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.runtime.spawn(task));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_on_a_runtime_without_timers() {
        let timers = Timers::start().unwrap();
        let workers =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_io().build().unwrap();
        let task = async move {
            timers.sleep(Duration::from_millis(1)).await;
            let over = timers.timeout(Duration::from_millis(1), pending::<()>()).await.is_err();
            (over, timers.timeout(Duration::from_secs(60), async { 7 }).await)
        };
        assert!(matches!(workers.block_on(workers.spawn(task)).unwrap(), (true, Ok(7))));
    }
}
