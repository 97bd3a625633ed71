//! A `tower::Service` written by hand as a Hotbay module, with neither axum nor tower: a turnstile that lets one visitor in at a time.
//!
//! ```console
//! $ curl http://127.0.0.1:8880/look
//! you are in
//! $ curl -N http://127.0.0.1:8880/stay
//! you are in
//! ```
//! While somebody stays, all others wait in `poll_ready`: they are let in when the answer's body, which holds the permit, is dropped. A visitor to
//! any other path is an error of the service.

use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hotbay_sdk::RequestBody;
use http::{Request, Response};
use http_body::{Body, Frame};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_service::Service;

type Entry = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, Trouble>> + Send + Sync>>;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("nobody may go to {0}")]
    NoSuchPlace(String),
    #[error("the turnstile is closed")]
    Closed(#[from] tokio::sync::AcquireError),
    #[error("called before it was ready")]
    NotReady,
}

/// One visitor's place at the turnstile.
struct Turnstile {
    room: Arc<Semaphore>,
    entry: Option<Entry>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Turnstile {
    fn new(room: Arc<Semaphore>) -> Self {
        Self { room, entry: None, permit: None }
    }

    fn visit(&mut self, request: &Request<RequestBody>) -> Result<Response<Visit>, Trouble> {
        let permit = self.permit.take().ok_or(Trouble::NotReady)?;
        let stays = match request.uri().path() {
            "/look" => false,
            "/stay" => true,
            other => return Err(Trouble::NoSuchPlace(other.to_owned())),
        };
        let words = Some(Bytes::from_static(b"you are in\n"));
        Ok(Response::new(Visit { words, stays, _permit: permit }))
    }
}

/// Whoever is cloned from it stands at the end of the queue.
impl Clone for Turnstile {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.room))
    }
}

impl Service<Request<RequestBody>> for Turnstile {
    type Response = Response<Visit>;
    type Error = Trouble;
    type Future = Ready<Result<Self::Response, Trouble>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Trouble>> {
        if self.permit.is_some() {
            return Poll::Ready(Ok(()));
        }
        let is_new = self.entry.is_none();
        let room = &self.room;
        let entry = self.entry.get_or_insert_with(|| {
            let room = Arc::clone(room);
            Box::pin(async move { Ok(room.acquire_owned().await?) })
        });
        let Poll::Ready(permit) = entry.as_mut().poll(cx) else {
            if is_new {
                log::info!("a visitor waits");
            }
            return Poll::Pending;
        };
        self.entry = None;
        self.permit = Some(permit?);
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        ready(self.visit(&request))
    }
}

/// An answer's body. Whoever stays does so until the client leaves.
struct Visit {
    words: Option<Bytes>,
    stays: bool,
    _permit: OwnedSemaphorePermit,
}

impl Body for Visit {
    type Data = Bytes;
    type Error = Trouble;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Trouble>>> {
        match self.words.take() {
            Some(words) => Poll::Ready(Some(Ok(Frame::data(words)))),
            // Nothing wakes it: the call is dropped when the client has left.
            None if self.stays => Poll::Pending,
            None => Poll::Ready(None),
        }
    }
}

fn turnstile() -> Turnstile {
    Turnstile::new(Arc::new(Semaphore::new(1)))
}

hotbay_sdk::service!(turnstile);
