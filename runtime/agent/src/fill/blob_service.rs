//! The operator's blob service, from the pod's side.
//!
//! Owns the request, its time limits, and the token that goes with it: read anew from its file each time, because the kubelet replaces it. What
//! arrives is hashed while it is written, and enters the bay when all of it is there and right. Each failure says what the service answered.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use hotbay_api::{Digest, Reason, Trouble, chain, names};
use hotbay_bay::{IncomingBlob, WriteError, Writer};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::client::conn::http1;
use hyper::http::uri::{Authority, Uri};
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// For a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// For the head of the answer; the service itself waits 20 s for a registry.
const ANSWER: Duration = Duration::from_secs(30);
/// Between two pieces.
const PIECE: Duration = Duration::from_secs(15);
/// Pieces on their way to the disk. hyper reads at most some 400 KiB at a time.
const PIECES: usize = 4;
/// What is read of the words of a refusal.
const MAX_WORDS: usize = 2048;

/// Where the service is: `http://HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobsUrl(Authority);

/// Why a text is no [`BlobsUrl`].
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not where a blob service is; write http://HOST:PORT")]
pub struct BlobsUrlError(String);

impl FromStr for BlobsUrl {
    type Err = BlobsUrlError;

    fn from_str(text: &str) -> Result<Self, BlobsUrlError> {
        let refuse = || BlobsUrlError(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| refuse())?;
        let authority = uri.authority().filter(|authority| authority.port_u16().is_some());
        let plain = uri.scheme_str() == Some("http") && uri.path() == "/" && uri.query().is_none();
        authority.filter(|_| plain).cloned().map(Self).ok_or_else(refuse)
    }
}

impl fmt::Display for BlobsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.0)
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct BlobService {
    /// Where it is.
    pub url: BlobsUrl,
    /// The file with the token for it.
    pub token: PathBuf,
}

/// Why a blob did not come.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the token {} cannot be read", path.display())]
    Token { path: PathBuf, source: std::io::Error },
    #[error("cannot reach it")]
    Unreachable(#[source] std::io::Error),
    #[error("it did not {what} within {} s", limit.as_secs())]
    Slow { what: &'static str, limit: Duration },
    #[error("the connection broke off")]
    Broken(#[from] hyper::Error),
    #[error("the request cannot be made")]
    Request(#[from] hyper::http::Error),
    #[error("it answered {status}{}{words}", if words.is_empty() { "" } else { ": " })]
    Refused { status: StatusCode, words: String },
    #[error("it has {got} bytes for it where the entry promises {want}")]
    OtherSize { got: u64, want: u64 },
    /// Nothing that the service did, and a report has no room for its name beside the sizes and what to do.
    #[error(transparent)]
    NoRoom(WriteError),
    #[error("what it sent cannot be kept")]
    Kept(#[source] WriteError),
    #[error("writing it panicked")]
    Panicked(#[from] tokio::task::JoinError),
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::NoRoom { .. } => Self::NoRoom(error),
            error => Self::Kept(error),
        }
    }
}

impl Failure {
    /// What the report says.
    fn reason(&self) -> Reason {
        match self {
            Self::NoRoom(error) | Self::Kept(error) => error.reason(),
            Self::OtherSize { .. } => Reason::DigestMismatch,
            _ => Reason::Incomplete,
        }
    }
}

impl BlobService {
    /// Brings a blob into the bay.
    ///
    /// # Errors
    /// When it did not come whole; the words name the service and its answer.
    pub(super) async fn fetch(&self, writer: &Writer, digest: &Digest, size: u64) -> Result<(), Trouble> {
        self.attempt(writer, digest, size).await.map_err(|failure| {
            let message = match &failure {
                Failure::NoRoom(error) => error.to_string(),
                _ => format!("blob {digest}: the blob service {}: {}", self.url, chain(&failure)),
            };
            Trouble { reason: failure.reason(), message }
        })
    }

    async fn attempt(&self, writer: &Writer, digest: &Digest, size: u64) -> Result<(), Failure> {
        let token = |source| Failure::Token { path: self.token.clone(), source };
        let text = tokio::fs::read_to_string(&self.token).await.map_err(token)?;
        let request = Request::get(names::blob_path(digest))
            .header(header::HOST, self.url.0.as_str())
            .header(header::AUTHORIZATION, format!("Bearer {}", text.trim()))
            .header(header::USER_AGENT, concat!("hotbay-agent/", env!("CARGO_PKG_VERSION")))
            .body(Empty::<Bytes>::new())?;
        let answer = self.send(request).await?;
        if answer.status() != StatusCode::OK {
            let status = answer.status();
            return Err(Failure::Refused { status, words: words(answer).await });
        }
        let announced = hyper::body::Body::size_hint(answer.body()).exact();
        if let Some(got) = announced.filter(|got| *got != size) {
            return Err(Failure::OtherSize { got, want: size });
        }
        let (writer, digest) = (writer.clone(), *digest);
        // Near its limit the whole bay is counted.
        let blob = tokio::task::spawn_blocking(move || writer.begin_blob(&digest, size)).await??;
        receive(answer, blob).await
    }

    async fn send(&self, request: Request<Empty<Bytes>>) -> Result<Response<Incoming>, Failure> {
        let connected = tokio::time::timeout(CONNECT, TcpStream::connect(self.url.0.as_str())).await;
        let stream =
            connected.map_err(|_| slow("take a connection", CONNECT))?.map_err(Failure::Unreachable)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Detached on purpose: it ends with the answer's body, and its error comes out there.
        tokio::spawn(connection);
        let answer = tokio::time::timeout(ANSWER, sender.send_request(request)).await;
        Ok(answer.map_err(|_| slow("answer", ANSWER))??)
    }
}

/// Writes the body down on a thread of its own, which also hashes it.
///
/// Comes back when that thread has ended, however the transfer went: what it leaves of a failure is gone by then, and the next try has the disk to itself.
async fn receive(answer: Response<Incoming>, blob: IncomingBlob) -> Result<(), Failure> {
    let (pieces_tx, pieces_rx) = mpsc::channel(PIECES);
    let writing = tokio::task::spawn_blocking(move || write(blob, pieces_rx));
    let forwarded = forward(answer.into_body(), pieces_tx).await;
    match (forwarded, writing.await?) {
        (_, Ok(())) => Ok(()),
        // The writer then only knows that it has too few bytes.
        (Err(failure), Err(_)) => Err(failure),
        (Ok(()), Err(error)) => Err(error.into()),
    }
}

async fn forward(mut body: Incoming, pieces: mpsc::Sender<Bytes>) -> Result<(), Failure> {
    while let Some(frame) = next(&mut body).await? {
        if let Ok(piece) = frame.into_data()
            && pieces.send(piece).await.is_err()
        {
            // The writing failed, and says why.
            break;
        }
    }
    Ok(())
}

async fn next(body: &mut Incoming) -> Result<Option<Frame<Bytes>>, Failure> {
    let frame = tokio::time::timeout(PIECE, body.frame()).await;
    let frame = frame.map_err(|_| slow("send a piece of it", PIECE))?;
    Ok(frame.transpose()?)
}

fn write(mut blob: IncomingBlob, mut pieces: mpsc::Receiver<Bytes>) -> Result<(), WriteError> {
    while let Some(piece) = pieces.blocking_recv() {
        blob.write(&piece)?;
    }
    blob.finish()
}

fn slow(what: &'static str, limit: Duration) -> Failure {
    Failure::Slow { what, limit }
}

/// The first line of a refusal.
async fn words(answer: Response<Incoming>) -> String {
    let body = Limited::new(answer.into_body(), MAX_WORDS).collect();
    let body = tokio::time::timeout(PIECE, body).await.ok().and_then(Result::ok);
    let text = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or_default().chars().take(400).collect()
}

#[cfg(test)]
mod tests;
