//! Requests on their way to the engine.
//!
//! Owns one connection to the engine for each of a client's, so that what one client does is one connection's business there too. Streams both ways, and
//! goes on in another protocol where both agree.

use std::io;
use std::net::SocketAddr;

use anyhow::Context as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Body;
use super::held::{self, Held};

/// A module's answer has at most 256 headers, and the engine adds its own.
const MAX_HEADERS: usize = 300;

/// See the module.
pub(super) struct Upstream {
    engine: SocketAddr,
    sender: Option<SendRequest<Held>>,
}

/// A connection to the engine.
///
/// # Errors
/// When nobody listens there.
pub(super) async fn connect(engine: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(engine).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Upstream {
    /// One that is connected when it is needed.
    pub fn new(engine: SocketAddr) -> Self {
        Self { engine, sender: None }
    }

    /// Passes a request on; the answer's head, with its body to come.
    ///
    /// # Errors
    /// When the engine is not there, or breaks off before it answers.
    pub async fn send(&mut self, mut request: Request<Incoming>) -> anyhow::Result<Response<Body>> {
        let upgrades = request.headers().contains_key(header::UPGRADE);
        let client = upgrades.then(|| hyper::upgrade::on(&mut request));
        let (mut request, waits) = held::hold(request);
        let mut answer = loop {
            let is_fresh = self.sender.is_none();
            let sent = self.sender().await?.try_send_request(request).await;
            match sent {
                Ok(answer) => break answer,
                // An engine that goes away closes idle connections: what it did not take goes to the next one.
                Err(mut error) => match error.take_message() {
                    Some(unsent) if !is_fresh => {
                        self.sender = None;
                        request = unsent;
                    }
                    _ => {
                        self.sender = None;
                        return Err(error.into_error()).context("the runtime broke off before it answered");
                    }
                },
            }
        };
        if let Some(client) = client.filter(|_| answer.status() == StatusCode::SWITCHING_PROTOCOLS) {
            let engine = hyper::upgrade::on(&mut answer);
            self.sender = None;
            tokio::spawn(async move {
                if let (Ok(client), Ok(engine)) = tokio::join!(client, engine) {
                    let (mut client, mut engine) = (TokioIo::new(client), TokioIo::new(engine));
                    // How it ends is between the two.
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut engine).await;
                }
            });
        }
        if waits {
            // Its body may never be read; the engine ends the connection then.
            self.sender = None;
        }
        Ok(answer.map(BodyExt::boxed_unsync))
    }

    async fn sender(&mut self) -> anyhow::Result<&mut SendRequest<Held>> {
        let usable = match &mut self.sender {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !usable {
            let stream = connect(self.engine).await.context("the runtime is not there (yet)")?;
            let (sender, connection) =
                Builder::new().max_headers(MAX_HEADERS).handshake(TokioIo::new(stream)).await?;
            tokio::spawn(async move {
                if let Err(error) = connection.with_upgrades().await {
                    tracing::debug!(%error, "a connection to the engine has broken");
                }
            });
            self.sender = Some(sender);
        }
        self.sender.as_mut().context("there is no connection to the runtime")
    }
}
