//! Runs the tasks that hyper makes for an HTTP/2 connection.
//!
//! Owns one piece of knowledge that hyper does not give: which of them sends what an upgraded stream says. Dropping the stream has that task end it
//! cleanly; only without the task is it reset, as a failure has to be. Must not know what is said.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use hyper::rt::Executor;
use tokio::task::JoinHandle;

/// The task that sends for an upgraded stream. hyper lets the stream be used before it makes the task, so that another thread may be here first.
#[derive(Clone, Debug, Default)]
pub(crate) struct SendingTask(Arc<Mutex<State>>);

#[derive(Debug, Default)]
enum State {
    /// HTTP/1 has none; or it was ended.
    #[default]
    None,
    /// hyper is about to make it; who waits for that.
    Awaited(Option<Waker>),
    There(JoinHandle<()>),
}

thread_local! {
    /// Whose sending task hyper makes next: it does so in the same poll of the same task in which our service has answered with an upgrade.
    static NEXT: RefCell<Option<SendingTask>> = const { RefCell::new(None) };
}

impl SendingTask {
    /// To be called in the poll in which the upgrade is answered.
    pub fn is_next(&self) {
        *self.state() = State::Awaited(None);
        NEXT.replace(Some(self.clone())).iter().for_each(Self::never_made);
    }

    /// Nobody is to wait for it any longer.
    fn never_made(&self) {
        let before = std::mem::take(&mut *self.state());
        if let State::Awaited(Some(waker)) = before {
            waker.wake();
        }
    }

    fn made(&self, task: JoinHandle<()>) {
        let before = std::mem::replace(&mut *self.state(), State::There(task));
        if let State::Awaited(Some(waker)) = before {
            waker.wake();
        }
    }

    /// Ends it, to be called before the stream is dropped, which is reset then.
    pub async fn cut(&self) {
        let task = poll_fn(|cx| match &mut *self.state() {
            State::Awaited(waker) => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
            state => Poll::Ready(std::mem::take(state)),
        });
        if let State::There(task) = task.await {
            task.abort();
            let _aborted = task.await;
        }
    }

    /// Ready when it has ended, and then no more.
    pub fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        match &mut *state {
            State::None => return Poll::Pending,
            State::Awaited(waker) => {
                *waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            State::There(task) => {
                let _ended = ready!(Pin::new(task).poll(cx));
            }
        }
        *state = State::None;
        Poll::Ready(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
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
                NEXT.take().iter().for_each(SendingTask::never_made);
                polled
            })
            .await;
        });
        if let Some(sending) = NEXT.take() {
            sending.made(task);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Wake;

    use tokio::sync::oneshot;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn who_waits_for_a_task_that_is_never_made_is_told() {
        let tasks = [SendingTask::default(), SendingTask::default()];
        let woken = [Arc::<Woken>::default(), Arc::<Woken>::default()];
        let (next, wakes) = (tasks.clone(), woken.clone());
        let (sent, polled) = oneshot::channel();
        TokioTasks.execute(async move {
            // Two in one poll, and for neither is a task made in it.
            for (task, wake) in next.iter().zip(wakes) {
                task.is_next();
                let waker = Waker::from(wake);
                let mut cut = pin!(task.cut());
                assert!(cut.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            }
            sent.send(()).unwrap();
        });
        polled.await.unwrap();
        assert_eq!(woken.map(|woken| woken.0.load(Ordering::Relaxed)), [true; 2]);
        for task in tasks {
            task.cut().await;
        }
    }
}
