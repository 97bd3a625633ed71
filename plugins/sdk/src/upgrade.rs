//! Leaving HTTP for another protocol.
//!
//! Owns the offer, the answer that accepts it, and the connection that follows. Must not know the other protocol.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::link::Link;
use crate::{Body, FromRequest, Rejection, Request, Response};

mod io_traits;
mod upgraded;

pub use upgraded::Upgraded;

/// A client's offer to leave HTTP for another protocol, a WebSocket for example.
///
/// ```
/// use hotbay_sdk::{Request, Response, Upgrade, Upgraded, handler};
///
/// async fn echo(mut io: Upgraded) {
///     let mut buffer = [0; 1024];
///     while let Ok(count @ 1..) = io.read(&mut buffer).await {
///         if io.write_all(&buffer[..count]).await.is_err() {
///             return;
///         }
///     }
/// }
///
/// #[handler(GET, "/echo")]
/// fn start(request: Request) -> Response {
///     match Upgrade::of(&request).filter(|upgrade| upgrade.protocol() == "echo") {
///         Some(upgrade) => upgrade.accept(echo),
///         None => Response::status(426).with_header("upgrade", "echo"),
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Upgrade {
    link: Arc<Link>,
    protocol: String,
}

/// What follows the head of an accepted upgrade.
pub(crate) struct Accepted {
    pub link: Arc<Link>,
    pub run: Box<dyn FnOnce(Upgraded) -> Running + Send>,
}

/// The other protocol, under way.
pub(crate) type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Upgrade {
    /// The offer that a request makes; `None` if it makes none.
    pub fn of(request: &Request<'_>) -> Option<Self> {
        let protocol = request.protocol()?.to_owned();
        // SAFETY: the request's call holds the link, and the request lives no longer than the call.
        Some(Self { link: unsafe { Link::of(request.link) }?, protocol })
    }

    /// What the client wants to speak, in lower case: `websocket`.
    pub fn protocol(&self) -> &str {
        &self.protocol
    }

    /// The answer that accepts: status 101 (200 for HTTP/2), to which headers may be added. When it has been sent, `run` gets the connection;
    /// it is driven by the call, in need of no task, and the call is over when it ends.
    pub fn accept<F, R>(self, run: F) -> Response
    where
        F: FnOnce(Upgraded) -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let switching = self.link.http < 20;
        let run = Box::new(|io: Upgraded| -> Running { Box::pin(run(io)) });
        let body = Body::upgrade(Accepted { link: self.link, run });
        match switching {
            true => Response::status(101).with_header("upgrade", self.protocol).with_body(body),
            false => Response::status(200).with_body(body),
        }
    }

    /// The same, for code that wants to spawn a task which awaits the connection. The call is over when the connection is dropped.
    pub fn accept_later(self) -> (Response, OnUpgraded) {
        let later = Arc::<Mutex<Later>>::default();
        let (ours, link) = (Promise(Arc::clone(&later)), Arc::clone(&self.link));
        let response = self.accept(move |io| {
            ours.keep(Some(io));
            poll_fn(move |_| if link.is_closed() { Poll::Ready(()) } else { Poll::Pending })
        });
        (response, OnUpgraded(later))
    }
}

impl<'r> FromRequest<'r> for Upgrade {
    type Rejection = Rejection;

    fn from_request(request: &Request<'r>) -> Result<Self, Rejection> {
        Self::of(request)
            .ok_or_else(|| Rejection::new(426, "this speaks another protocol; ask for it with Upgrade"))
    }

    fn optional(request: &Request<'r>) -> Result<Option<Self>, Rejection> {
        Ok(Self::of(request))
    }
}

/// The connection, once the answer has been sent.
#[derive(Debug)]
pub struct OnUpgraded(Arc<Mutex<Later>>);

#[derive(Debug, Default)]
struct Later {
    io: Option<Upgraded>,
    over: bool,
    waker: Option<Waker>,
}

/// Held by the answer: if that is never sent, there will be no connection.
struct Promise(Arc<Mutex<Later>>);

impl Promise {
    fn keep(&self, io: Option<Upgraded>) {
        let mut later = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        later.over = io.is_none();
        later.io = io.or_else(|| later.io.take());
        let waker = later.waker.take();
        drop(later);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.keep(None);
    }
}

impl Future for OnUpgraded {
    /// An error if the answer was never sent, or the client left first.
    type Output = io::Result<Upgraded>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut later = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(io) = later.io.take() {
            return Poll::Ready(Ok(io));
        }
        if later.over {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::NotConnected,
                "the upgrade was never answered",
            )));
        }
        later.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}
