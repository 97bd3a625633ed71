//! A small HTTP client that hides nothing: one connection, no pool, no retries of its own.
//!
//! Owns how failures are told apart: not connected, not taken by the server (safe to send again), or broken in between.

use std::convert::Infallible;
use std::error::Error as _;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

/// A request's body.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 with keep-alive.
    H1,
    /// HTTP/2 without TLS, by prior knowledge.
    H2c,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// All of the body.
    pub body: Bytes,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header as text; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Trouble {
    /// The connection was refused or reset before it stood.
    Connect(std::io::Error),
    /// The server has not begun with the request, and says so: it may be sent again.
    Unprocessed(String),
    /// Anything else.
    Broken(String),
}

/// A connection to a server.
pub enum Connection {
    /// HTTP/1.1.
    H1(http1::SendRequest<Body>),
    /// HTTP/2.
    H2c(http2::SendRequest<Body>),
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When the server does not accept.
    pub async fn open(address: SocketAddr, protocol: Protocol) -> Result<Self, Trouble> {
        let stream = TcpStream::connect(address).await.map_err(Trouble::Connect)?;
        stream.set_nodelay(true).map_err(Trouble::Connect)?;
        let io = TokioIo::new(stream);
        let broken = |error: hyper::Error| Trouble::Broken(format!("handshake: {error:?}"));
        Ok(match protocol {
            Protocol::H1 => {
                let (sender, connection) = http1::handshake(io).await.map_err(broken)?;
                tokio::spawn(connection.with_upgrades());
                Self::H1(sender)
            }
            Protocol::H2c => {
                let (sender, connection) =
                    http2::handshake(TokioExecutor::new(), io).await.map_err(broken)?;
                tokio::spawn(connection);
                Self::H2c(sender)
            }
        })
    }

    /// Sends a request and reads the whole answer. An HTTP/2 connection may be cloned and do so many times at once.
    ///
    /// # Errors
    /// When there is no whole answer.
    pub async fn send(&mut self, request: Request<Body>) -> Result<Answer, Trouble> {
        read(self.begin(request).await?).await
    }

    /// Sends a request and reads the answer's head; the rest comes as the body is read.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn begin(&mut self, request: Request<Body>) -> Result<Response<Incoming>, Trouble> {
        match self {
            Self::H1(sender) => {
                sender.ready().await.map_err(trouble)?;
                sender.send_request(request).await.map_err(trouble)
            }
            Self::H2c(sender) => {
                sender.ready().await.map_err(trouble)?;
                sender.send_request(request).await.map_err(trouble)
            }
        }
    }

    /// Whether the next request needs another connection.
    pub fn is_closed(&self) -> bool {
        match self {
            Self::H1(sender) => sender.is_closed(),
            Self::H2c(sender) => sender.is_closed(),
        }
    }

    /// Another handle on an HTTP/2 connection.
    ///
    /// # Panics
    /// For HTTP/1.1, which has one request at a time.
    pub fn share(&self) -> Self {
        match self {
            Self::H1(_) => panic!("an HTTP/1.1 connection cannot be shared"),
            Self::H2c(sender) => Self::H2c(sender.clone()),
        }
    }
}

async fn read(response: Response<Incoming>) -> Result<Answer, Trouble> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(|error| Trouble::Broken(format!("body: {error:?}")))?;
    Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body: body.to_bytes() })
}

fn trouble(error: hyper::Error) -> Trouble {
    let story = format!("{error:?}");
    // RFC 9113, 6.8: streams above GOAWAY's last id were not processed; the graceful one says NO_ERROR. 8.7: nor were refused ones.
    let by_h2 = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    let unprocessed = by_h2.is_some_and(|error| match error.reason() {
        Some(h2::Reason::NO_ERROR) => error.is_go_away() && error.is_remote(),
        Some(reason) => error.is_reset() && reason == h2::Reason::REFUSED_STREAM,
        None => false,
    });
    // Canceled: it never left this process. Closed: `ready` found the connection ended before the request was given to it.
    if unprocessed || error.is_canceled() || error.is_closed() {
        Trouble::Unprocessed(story)
    } else {
        Trouble::Broken(story)
    }
}

/// A body in one piece, with a length.
pub fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

/// A body in pieces of at most `piece` bytes, without a length.
pub fn pieces(bytes: impl Into<Bytes>, piece: usize) -> Body {
    let mut rest = bytes.into();
    let mut frames = Vec::new();
    while !rest.is_empty() {
        frames.push(Ok(Frame::data(rest.split_to(piece.min(rest.len())))));
    }
    Frames(frames.into()).boxed_unsync()
}

struct Frames(std::collections::VecDeque<Result<Frame<Bytes>, Infallible>>);

impl hyper::body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        std::task::Poll::Ready(self.0.pop_front())
    }
}

/// A request as `protocol` wants it.
///
/// # Panics
/// When the path is no path.
pub fn request(protocol: Protocol, method: Method, host: &str, path: &str, body: Body) -> Request<Body> {
    let target = match protocol {
        Protocol::H1 => path.to_owned(),
        Protocol::H2c => format!("http://{host}{path}"),
    };
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = target.parse::<Uri>().expect("the path is valid");
    if protocol == Protocol::H1 {
        request.headers_mut().insert(header::HOST, HeaderValue::from_str(host).expect("the host is valid"));
    }
    request
}

/// A GET over a connection of its own.
///
/// # Errors
/// When there is no whole answer.
pub async fn get(address: SocketAddr, path: &str) -> Result<Answer, Trouble> {
    let request = request(Protocol::H1, Method::GET, &address.to_string(), path, whole(""));
    Connection::open(address, Protocol::H1).await?.send(request).await
}
