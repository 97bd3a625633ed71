//! What an answer's body is made of: bytes that are there, a stream of them, or another protocol's.
//!
//! Owns the type that authors fill. Must not call the host: `answer` and `outgoing` hand over what is in here.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;

use crate::Trailers;
use crate::upgrade::Accepted;

mod channel;
#[cfg(feature = "http")]
pub(crate) mod http_body;

pub use channel::{Closed, Sender};

/// The body of an answer. Most are bytes that are there ([`From`] a text, a vector, [`Bytes`]); those that are not are a
/// [`stream`](Body::stream) or a [`channel`](Body::channel).
pub struct Body(Kind);

/// How the bytes get to the host.
pub(crate) enum Kind {
    /// Part of the module's image.
    Static(&'static [u8]),
    /// Freed when the host has sent them.
    Owned(Vec<u8>),
    /// The same, and others may hold them too.
    Shared(Bytes),
    /// They come one piece after the other.
    Stream(Pin<Box<dyn Source>>),
    /// None: what follows the head is no HTTP any more.
    Upgrade(Accepted),
}

/// What ends a stream before its end.
pub(crate) type StreamError = Box<dyn Error + Send + Sync>;

/// One step of a stream.
#[derive(Debug)]
pub(crate) enum Frame {
    Data(Bytes),
    /// The last step, if it comes.
    Trailers(Trailers),
}

/// Where a streamed body comes from.
pub(crate) trait Source: Send {
    /// The next step; `None` after the last.
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, StreamError>>>;

    /// Whether it is known that nothing follows.
    fn is_over(&self) -> bool {
        false
    }
}

impl Body {
    /// No bytes.
    pub const fn empty() -> Self {
        Self(Kind::Static(b""))
    }

    /// Bytes that come one piece after the other. The stream is asked for the next one when the client has room for it. An error, or a
    /// panic, cuts the connection, so that the client sees that something is missing.
    pub fn stream<S, T, E>(stream: S) -> Self
    where
        S: Stream<Item = Result<T, E>> + Send + 'static,
        T: Into<Bytes>,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        Self::from_source(FromStream(stream))
    }

    /// A body, and the end that fills it, perhaps from another task or thread.
    pub fn channel() -> (Sender, Self) {
        let (sender, receiver) = channel::channel();
        (sender, Self::from_source(receiver))
    }

    /// The bytes, if they are there; for tests.
    pub fn bytes(&self) -> Option<&[u8]> {
        match &self.0 {
            Kind::Static(bytes) => Some(bytes),
            Kind::Owned(bytes) => Some(bytes),
            Kind::Shared(bytes) => Some(bytes),
            Kind::Stream(_) | Kind::Upgrade(_) => None,
        }
    }

    /// The next piece of a body, whatever it is made of; `None` after the last. For tests: a host does this for an answer.
    ///
    /// # Errors
    /// The stream's own.
    pub async fn next(&mut self) -> Option<Result<Bytes, Box<dyn Error + Send + Sync>>> {
        if let Kind::Stream(source) = &mut self.0 {
            return loop {
                match std::future::poll_fn(|cx| source.as_mut().poll_frame(cx)).await? {
                    Ok(Frame::Data(data)) => break Some(Ok(data)),
                    Ok(Frame::Trailers(_)) => {}
                    Err(error) => break Some(Err(error)),
                }
            };
        }
        let bytes = self.take_bytes();
        (!bytes.is_empty()).then_some(Ok(bytes))
    }

    fn take_bytes(&mut self) -> Bytes {
        match std::mem::replace(&mut self.0, Kind::Static(b"")) {
            Kind::Static(bytes) => Bytes::from_static(bytes),
            Kind::Owned(bytes) => bytes.into(),
            Kind::Shared(bytes) => bytes,
            Kind::Stream(_) | Kind::Upgrade(_) => Bytes::new(),
        }
    }

    pub(crate) fn from_source(source: impl Source + 'static) -> Self {
        Self(Kind::Stream(Box::pin(source)))
    }

    pub(crate) fn upgrade(accepted: Accepted) -> Self {
        Self(Kind::Upgrade(accepted))
    }

    pub(crate) fn into_kind(self) -> Kind {
        self.0
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Self(Kind::Static(bytes))
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self(Kind::Static(text.as_bytes()))
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Kind::Owned(bytes))
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self(Kind::Owned(text.into_bytes()))
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(Kind::Shared(bytes))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Stream(_) => f.write_str("Body(a stream)"),
            Kind::Upgrade(_) => f.write_str("Body(another protocol)"),
            _ => write!(f, "Body({} bytes)", self.bytes().map_or(0, <[u8]>::len)),
        }
    }
}

/// Any stream of what can become bytes.
struct FromStream<S>(S);

impl<S, T, E> Source for FromStream<S>
where
    S: Stream<Item = Result<T, E>> + Send,
    T: Into<Bytes>,
    E: Into<StreamError>,
{
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, StreamError>>> {
        // SAFETY: the stream is pinned with `self`, and never moved out of it.
        let stream = unsafe { self.map_unchecked_mut(|this| &mut this.0) };
        stream
            .poll_next(cx)
            .map(|step| step.map(|step| step.map(|data| Frame::Data(data.into())).map_err(Into::into)))
    }
}
