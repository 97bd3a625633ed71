//! Waiting for a future without a host.
//!
//! Owns what stands for the runtime that a module has if it asks for one: with the feature `tokio`, what a test waits for runs inside one, too.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// Waits for a future on this thread.
///
/// With the feature `tokio`, tokio's timers and sockets work in it. In a `#[tokio::test]`, which has a runtime already, await the handler itself.
///
/// # Panics
/// Where a tokio runtime runs already.
#[cfg(feature = "tokio")]
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    runtime().block_on(future)
}

/// Waits for a future on this thread.
#[cfg(not(feature = "tokio"))]
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    use std::sync::Arc;
    use std::task::Wake;
    use std::thread::{self, Thread};

    /// Wakes the thread that waits.
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        thread::park();
    }
}

/// Calls a plain function where a handler is called: with the feature `tokio`, inside a runtime.
pub(super) fn inside<T>(body: impl FnOnce() -> T) -> T {
    #[cfg(feature = "tokio")]
    let runtime = runtime();
    #[cfg(feature = "tokio")]
    let _entered = runtime.enter();
    body()
}

#[cfg(feature = "tokio")]
#[allow(clippy::expect_used, reason = "of a test, which cannot go on without it")]
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made")
}

/// Polls an async handler that needs to wait for nothing; `None` if it would wait.
pub fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocking_waits_for_a_wake_from_elsewhere() {
        let (tell, told) = std::sync::mpsc::channel::<Waker>();
        let waker = std::thread::spawn(move || told.recv().unwrap().wake());
        let mut polls = 0;
        let value = block_on(std::future::poll_fn(|context| {
            polls += 1;
            match polls {
                1 => {
                    tell.send(context.waker().clone()).unwrap();
                    Poll::Pending
                }
                _ => Poll::Ready(polls),
            }
        }));
        waker.join().unwrap();
        assert!(value >= 2, "{value} polls");
    }

    #[cfg(feature = "tokio")]
    #[test]
    fn handlers_find_a_runtime() {
        fn plain() -> String {
            format!("{}", tokio::runtime::Handle::try_current().is_ok())
        }
        async fn later() -> String {
            tokio::spawn(async { plain() }).await.unwrap()
        }
        let request = crate::test::get("/");
        assert_eq!(crate::test::call(plain, &request).body(), b"true");
        assert_eq!(crate::test::call(later, &request).body(), b"true");
    }

    #[test]
    fn polling_once_tells_waiting_from_done() {
        assert_eq!(poll_once(async { 1 }), Some(1));
        assert_eq!(poll_once(std::future::pending::<()>()), None);
    }
}
