//! A client's body that waits to be asked for.
//!
//! Owns whose `100 Continue` it is: a client that expects one gets it when the engine has sent one, which is when the module reads. An answer without one,
//! such as a refusal, is the client's word to keep its body.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::{Request, StatusCode, Version, header};
use tokio::sync::oneshot;

/// See the module.
pub(super) struct Held {
    body: Incoming,
    asked: Asked,
}

/// Whether the body has to be asked for before it is read.
enum Asked {
    /// It need not be, or was.
    No,
    /// Hears of it, or that the answer came without.
    Waits(oneshot::Receiver<()>),
    /// The answer came without. The receiver has said so once, and must not be polled again; hyper goes on polling while the answer comes.
    Never,
}

/// The request with its body held, if its client waits to be asked; whether it does.
pub(super) fn hold(request: Request<Incoming>) -> (Request<Held>, bool) {
    if !waits(&request) {
        return (request.map(|body| Held { body, asked: Asked::No }), false);
    }
    let (asks, asked) = oneshot::channel();
    let mut request = request.map(|body| Held { body, asked: Asked::Waits(asked) });
    let asks = std::sync::Mutex::new(Some(asks));
    hyper::ext::on_informational(&mut request, move |answer| {
        let mut asks = asks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if answer.status() == StatusCode::CONTINUE
            && let Some(asks) = asks.take()
        {
            // A body that is gone is asked for in vain.
            let _ = asks.send(());
        }
    });
    (request, true)
}

/// Whether the client sends its body only when it is told to go on. As hyper reads it, here and in the engine.
fn waits(request: &Request<Incoming>) -> bool {
    let expects = request.headers().get_all(header::EXPECT).iter().next_back();
    request.version() == Version::HTTP_11
        && !request.body().is_end_stream()
        && expects.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

impl Body for Held {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Asked::Waits(asked) = &mut self.asked {
            let is_asked = ready!(Pin::new(asked).poll(context)).is_ok();
            self.asked = if is_asked { Asked::No } else { Asked::Never };
        }
        if matches!(self.asked, Asked::Never) {
            // The body is not read any more, and goes when the connection does.
            return Poll::Pending;
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
