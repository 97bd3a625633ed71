//! Waiting for a future without a host.
//!
//! Owns what stands for the runtime that a module has if it asks for one: with the feature `tokio`, what a test waits for runs inside one, too. It is
//! the thread's, and so the test's: a state that was made in it can be used in the calls that follow.

use std::error::Error;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use crate::Response;

/// Waits for a future on this thread.
///
/// With the feature `tokio`, tokio's timers and sockets work in it, and so do they in a plain function: `block_on(async { create(config) })`. What was
/// spawned goes on whenever the test's thread waits again. In a `#[tokio::test]`, which has a runtime already, await the handler itself.
///
/// # Panics
/// Where a tokio runtime runs already.
#[cfg(feature = "tokio")]
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.with(|runtime| runtime.block_on(future))
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
    return RUNTIME.with(|runtime| {
        let _entered = runtime.enter();
        body()
    });
    #[cfg(not(feature = "tokio"))]
    body()
}

#[cfg(feature = "tokio")]
thread_local! {
    #[allow(clippy::expect_used, reason = "of a test, which cannot go on without it")]
    static RUNTIME: tokio::runtime::Runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
}

/// Reads the body of an answer to its end, also one that is a stream.
///
/// ```
/// use hotbay_sdk::{Response, handler, sse, test};
///
/// #[handler(GET, "/count")]
/// fn count() -> Response {
///     let (mut sender, answer) = sse::channel();
///     std::thread::spawn(move || {
///         test::block_on(sender.send(sse::Event::data("1"))).ok();
///         sender.finish();
///     });
///     answer
/// }
///
/// let answer = test::call(count, &test::get("/count"));
/// assert_eq!(test::collect(answer).unwrap(), b"data: 1\n\n");
/// ```
///
/// # Errors
/// What cuts the connection: the stream's error, or a sender that was dropped before its end.
pub fn collect(answer: Response) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
    let mut body = answer.into_body();
    block_on(async {
        let mut bytes = Vec::new();
        while let Some(piece) = body.next().await {
            bytes.extend_from_slice(&piece?);
        }
        Ok(bytes)
    })
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

    #[cfg(feature = "tokio")]
    #[test]
    fn arguments_are_made_inside_a_runtime() {
        /// Whether tokio was there when it was made.
        struct Made(bool);

        impl<'r> crate::FromRequest<'r> for Made {
            type Rejection = crate::Rejection;

            fn from_request(_: &crate::Request<'r>) -> Result<Self, crate::Rejection> {
                Ok(Self(tokio::runtime::Handle::try_current().is_ok()))
            }
        }

        fn plain(made: Made) -> String {
            made.0.to_string()
        }
        async fn later(made: Made) -> String {
            made.0.to_string()
        }
        let request = crate::test::get("/");
        assert_eq!(crate::test::call(plain, &request).body(), b"true");
        assert_eq!(crate::test::call(later, &request).body(), b"true");
    }

    #[cfg(feature = "tokio")]
    #[test]
    fn a_state_that_was_made_before_works_on_in_calls() {
        use tokio::sync::{mpsc, oneshot};

        /// A task that doubles numbers.
        type Doubler = mpsc::UnboundedSender<(u32, oneshot::Sender<u32>)>;

        fn create() -> Doubler {
            let (doubler, mut asked) = mpsc::unbounded_channel();
            tokio::spawn(async move {
                while let Some((number, answer)) = asked.recv().await {
                    let _gone = oneshot::Sender::send(answer, number * 2);
                }
            });
            doubler
        }
        async fn double(doubler: &Doubler) -> String {
            let (answer, answered) = oneshot::channel();
            doubler.send((21, answer)).unwrap();
            answered.await.unwrap().to_string()
        }
        let doubler = block_on(async { create() });
        assert_eq!(crate::test::call(double, &crate::test::get("/").state(doubler)).body(), b"42");
    }

    #[test]
    fn a_body_is_read_to_its_end_or_to_what_cuts_it() {
        let (mut sender, body) = crate::Body::channel();
        let sending = std::thread::spawn(move || {
            block_on(sender.send("one ")).unwrap();
            block_on(sender.send("two")).unwrap();
            sender.finish();
        });
        assert_eq!(collect(Response::status(200).with_body(body)).unwrap(), b"one two");
        sending.join().unwrap();
        let (sender, body) = crate::Body::channel();
        drop(sender);
        assert!(collect(Response::status(200).with_body(body)).is_err(), "it was not finished");
        assert_eq!(collect(Response::text("whole")).unwrap(), b"whole");
    }

    #[test]
    fn polling_once_tells_waiting_from_done() {
        assert_eq!(poll_once(async { 1 }), Some(1));
        assert_eq!(poll_once(std::future::pending::<()>()), None);
    }
}
