//! Runs the tasks that hyper makes for an HTTP/2 connection.
//!
//! Owns one piece of knowledge that hyper does not give: which of them sends what an upgraded stream says. Dropping the stream has that task end it
//! cleanly; only without the task is it reset, as a failure has to be. Must not know what is said.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::rt::Executor;
use tokio::task::JoinHandle;

/// The task that sends for an upgraded stream, as soon as there is one.
#[derive(Clone, Debug, Default)]
pub(crate) struct SendingTask(Arc<Mutex<Option<JoinHandle<()>>>>);

thread_local! {
    /// Whose sending task hyper makes next: it does so in the same poll of the same task in which our service has answered with an upgrade.
    static NEXT: RefCell<Option<SendingTask>> = const { RefCell::new(None) };
}

impl SendingTask {
    /// To be called in the poll in which the upgrade is answered.
    pub fn is_next(&self) {
        NEXT.set(Some(self.clone()));
    }

    /// Ends it, to be called before the stream is dropped, which is reset then.
    pub async fn cut(&self) {
        let task = self.task().take();
        if let Some(task) = task {
            task.abort();
            let _aborted = task.await;
        }
    }

    fn task(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Spawns on tokio.
#[derive(Clone, Debug)]
pub(super) struct TokioTasks;

impl<F> Executor<F> for TokioTasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        let task = tokio::spawn(async move {
            let mut future = pin!(future);
            poll_fn(|cx| {
                let polled = future.as_mut().poll(cx);
                // What was not made in this poll is never made, and another task must not be taken for it.
                NEXT.take();
                polled
            })
            .await;
        });
        if let Some(sending) = NEXT.take() {
            *sending.task() = Some(task);
        }
    }
}
