//! hyper's `OnUpgrade` for a service that wants one, as axum's `WebSocketUpgrade` does.
//!
//! Only hyper can make an `OnUpgrade`, and only for a connection that its server serves. So each request that offers an upgrade gets a connection
//! of its own which is none: hyper reads a request of a few bytes from it, whose `OnUpgrade` the real request is given, and writes an answer to it
//! that goes nowhere. From then on what hyper hands out is the host's connection, by HTTP/2 one stream of it: the play is that of HTTP/1 in any case.
//!
//! Owns that play. Must not see the real request or its answer.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use tokio::sync::oneshot;

use crate::link::Link;
use crate::upgrade::Running;
use crate::{Body, Upgraded};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: a\r\n\r\n";
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// An upgrade that a request offers and nobody has accepted yet. Dropping it fails the `OnUpgrade`.
pub(super) struct Offer {
    serving: Pin<Box<dyn Future<Output = ()> + Send>>,
    connection: oneshot::Sender<Upgraded>,
    answer: oneshot::Sender<()>,
}

impl Offer {
    /// An offer, and what the request gets to accept it.
    pub fn make() -> Option<(Self, OnUpgrade)> {
        let (connection, awaited) = oneshot::channel();
        let (answer, answered) = oneshot::channel();
        let made = Arc::<Mutex<Option<OnUpgrade>>>::default();
        let mut serving = serve(Io::Play { read: 0, matched: 0, awaited }, Arc::clone(&made), answered);
        // hyper reads the request and calls the service at once: it has all the bytes.
        let polled = serving.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let on_upgrade = made.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        polled.is_pending().then_some((Self { serving, connection, answer }, on_upgrade))
    }

    /// The service has accepted, and the host has sent its answer: hyper hands out the connection. Over when that is dropped.
    pub fn accept(self, io: Upgraded, link: Arc<Link>) -> Running {
        let Self { serving, connection, answer } = self;
        Box::pin(async move {
            // Nobody waits for either if the service has dropped its end, and then nothing is upgraded.
            let _taken = (connection.send(io), answer.send(()));
            serving.await;
            poll_fn(|_| if link.is_closed() { Poll::Ready(()) } else { Poll::Pending }).await;
        })
    }
}

/// Serves the one request. Its answer waits until the real one is given.
fn serve(
    io: Io,
    made: Arc<Mutex<Option<OnUpgrade>>>,
    answered: oneshot::Receiver<()>,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    let answered = Mutex::new(Some(answered));
    let service = service_fn(move |request: http::Request<Incoming>| {
        *made.lock().unwrap_or_else(PoisonError::into_inner) = Some(hyper::upgrade::on(request));
        let answered = answered.lock().unwrap_or_else(PoisonError::into_inner).take();
        async move {
            if let Some(answered) = answered {
                let _real = answered.await;
            }
            let mut response = http::Response::new(Body::empty());
            *response.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
            response
                .headers_mut()
                .insert(http::header::CONNECTION, http::HeaderValue::from_static("upgrade"));
            Ok::<_, Infallible>(response)
        }
    });
    let connection =
        http1::Builder::new().header_read_timeout(None).serve_connection(io, service).with_upgrades();
    Box::pin(async move {
        // It can only fail if the host's connection does, and whoever has that sees it.
        let _over = connection.await;
    })
}

/// What hyper takes for a connection.
enum Io {
    /// It reads the request, and its answer goes nowhere.
    Play {
        read: usize,
        /// Bytes of the answer's end that have been seen.
        matched: usize,
        awaited: oneshot::Receiver<Upgraded>,
    },
    Real(Upgraded),
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the upgrade was never answered")
}

impl Io {
    /// The host's connection, once hyper has written its answer.
    fn poll_real(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&mut Upgraded>> {
        if let Self::Play { matched, awaited, .. } = self {
            if *matched < END_OF_HEAD.len() {
                return Poll::Pending;
            }
            let real = ready!(Pin::new(awaited).poll(cx)).map_err(|_| gone())?;
            *self = Self::Real(real);
        }
        match self {
            Self::Real(real) => Poll::Ready(Ok(real)),
            Self::Play { .. } => Poll::Ready(Err(gone())),
        }
    }
}

impl Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if let Self::Play { read, .. } = &mut *self
            && *read < REQUEST.len()
        {
            let count = buffer.remaining().min(REQUEST.len() - *read);
            buffer.put_slice(&REQUEST[*read..*read + count]);
            *read += count;
            return Poll::Ready(Ok(()));
        }
        let real = ready!(self.poll_real(cx)?);
        let there = ready!(real.poll_there(cx)?);
        let count = there.len().min(buffer.remaining());
        buffer.put_slice(&there[..count]);
        real.consume(count);
        Poll::Ready(Ok(()))
    }
}

impl Write for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if let Self::Play { matched, .. } = &mut *self
            && *matched < END_OF_HEAD.len()
        {
            let mut count = 0;
            for byte in data {
                *matched = match *byte {
                    byte if byte == END_OF_HEAD[*matched] => *matched + 1,
                    b'\r' => 1,
                    _ => 0,
                };
                count += 1;
                if *matched == END_OF_HEAD.len() {
                    break;
                }
            }
            return Poll::Ready(Ok(count));
        }
        ready!(self.poll_real(cx)?).poll_write_from(cx, data)
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Real(real) => Poll::Ready(real.finish()),
            Self::Play { .. } => Poll::Ready(Ok(())),
        }
    }
}
