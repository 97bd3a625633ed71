//! One request and its answer.
//!
//! Owns the order of the questions: is it a blob, is it a pod, may that pod's namespace have it, is it there, is there a place. Each no has its
//! status and one line that says what is wrong and, if it passes, when to come again.

use bytes::Bytes;
use hotbay_api::{Digest, chain, names};
use hotbay_pipeline::Source;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use super::places::NoPlace;
use super::refills::Refill;
use super::tokens::{Denial, Reviewer};
use super::transfer::{self, body};
use super::{Blobs, Catalog};
use crate::index::Standing;

/// What goes back: a line of words, or a blob.
pub type Answer = Response<Either<Full<Bytes>, transfer::Body>>;

/// Seconds until something that takes a moment is worth another try.
const SOON: u32 = 1;
/// The same for what takes longer: a registry that is down.
const LATER: u32 = 5;

/// A no.
#[derive(Debug)]
struct Refused {
    status: StatusCode,
    words: String,
    retry_after: Option<u32>,
}

impl Refused {
    fn new(status: StatusCode, words: impl Into<String>) -> Self {
        Self { status, words: words.into(), retry_after: None }
    }

    fn busy(status: StatusCode, words: impl Into<String>, retry_after: u32) -> Self {
        Self { status, words: words.into(), retry_after: Some(retry_after) }
    }
}

impl From<Denial> for Refused {
    fn from(denial: Denial) -> Self {
        let words = denial.to_string();
        match denial {
            Denial::Invalid(_) => Self::new(StatusCode::UNAUTHORIZED, words),
            Denial::NotAPod(_) => Self::new(StatusCode::FORBIDDEN, words),
            Denial::Unknown(_) => Self::busy(StatusCode::SERVICE_UNAVAILABLE, words, SOON),
        }
    }
}

impl<C, R, S> Blobs<C, R, S>
where
    C: Catalog,
    R: Reviewer,
    S: Source + Send + Sync + 'static,
{
    /// Answers.
    pub async fn answer(&self, request: &Request<Incoming>) -> Answer {
        let answer = match self.attempt(request).await {
            Ok(answer) => answer,
            Err(refused) => {
                let Refused { status, words, retry_after } = &refused;
                let path = request.uri().path();
                tracing::info!(%status, retry_after, path, "a blob is refused: {words}");
                refuse(refused)
            }
        };
        self.metrics.answered(answer.status().as_u16());
        answer
    }

    async fn attempt(&self, request: &Request<Incoming>) -> Result<Answer, Refused> {
        let digest = names::parse_blob_path(request.uri().path()).ok_or_else(|| {
            Refused::new(StatusCode::NOT_FOUND, "there are blobs only: GET /blobs/sha256-<64 hex digits>")
        })?;
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            return Err(Refused::new(StatusCode::METHOD_NOT_ALLOWED, "a blob can be read with GET or HEAD"));
        }
        let namespace = self.tokens.namespace_of(token(request)?).await?;
        let (origins, max_build_bytes) = match self.catalog.standing(&namespace, &digest).await {
            Standing::Named { origins, max_build_bytes } => (origins, max_build_bytes),
            other => return Err(not_for(&namespace, &digest, &other)),
        };
        let found = self.look(digest).await?;
        self.metrics.looked(found.is_some());
        let found = match found {
            Some(found) => found,
            None => {
                match self.refills.refill(&digest, origins, max_build_bytes).await {
                    Refill::Done => {}
                    Refill::UnderWay => {
                        let words = format!("{digest} is being fetched from its registry");
                        return Err(Refused::busy(StatusCode::SERVICE_UNAVAILABLE, words, SOON));
                    }
                    Refill::Failed(why) => {
                        let words = format!("{digest} cannot be fetched from its registry: {why}");
                        return Err(Refused::busy(StatusCode::BAD_GATEWAY, words, LATER));
                    }
                }
                let words = format!("{digest} was fetched, and has left the operator's cache again already");
                let gone = || Refused::busy(StatusCode::SERVICE_UNAVAILABLE, words, LATER);
                self.look(digest).await?.ok_or_else(gone)?
            }
        };
        self.hand_over(request, digest, found)
    }

    /// The blob in the cache; looking may mean hashing all of it.
    async fn look(&self, digest: Digest) -> Result<Option<(std::fs::File, u64)>, Refused> {
        let cache = self.cache.clone();
        let found = tokio::task::spawn_blocking(move || cache.blob(&digest)).await;
        let words = match found {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(error)) => chain(&error),
            Err(panic) => panic.to_string(),
        };
        Err(Refused::busy(StatusCode::SERVICE_UNAVAILABLE, words, LATER))
    }

    fn hand_over(
        &self,
        request: &Request<Incoming>,
        digest: Digest,
        (file, bytes): (std::fs::File, u64),
    ) -> Result<Answer, Refused> {
        let mut answer = if *request.method() == Method::HEAD {
            Response::new(Either::Left(Full::default()))
        } else {
            let busy = || {
                let words = "as many blobs as may be are on their way already";
                Refused::busy(StatusCode::SERVICE_UNAVAILABLE, words, SOON)
            };
            let right = self.transfers.begin().ok_or_else(busy)?;
            tracing::info!(%digest, bytes, "a blob is served");
            Response::new(Either::Right(body(file, bytes, right, self.metrics.clone())))
        };
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_LENGTH, bytes.into());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        Ok(answer)
    }
}

/// What a connection is told for which there is no place.
pub fn no_place(why: NoPlace) -> Answer {
    refuse(Refused::busy(StatusCode::SERVICE_UNAVAILABLE, why.to_string(), SOON))
}

fn token(request: &Request<Incoming>) -> Result<&str, Refused> {
    let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|value| value.strip_prefix("Bearer "));
    token.filter(|token| !token.is_empty()).ok_or_else(|| {
        let words =
            format!("send a pod's token for the audience {} as Authorization: Bearer", names::BLOBS_AUDIENCE);
        Refused::new(StatusCode::UNAUTHORIZED, words)
    })
}

fn not_for(namespace: &str, digest: &Digest, standing: &Standing) -> Refused {
    match standing {
        Standing::NoPool => Refused::new(
            StatusCode::FORBIDDEN,
            format!("namespace {namespace} has no RuntimePool; blobs are for the pods of a pool"),
        ),
        Standing::Unnamed => Refused::new(
            StatusCode::NOT_FOUND,
            format!("no module of the pools in namespace {namespace} names {digest}"),
        ),
        Standing::Unknown | Standing::Named { .. } => {
            Refused::busy(StatusCode::SERVICE_UNAVAILABLE, "the operator has not seen every object yet", SOON)
        }
    }
}

fn refuse(refused: Refused) -> Answer {
    let mut answer = Response::new(Either::Left(Full::new(Bytes::from(refused.words + "\n"))));
    *answer.status_mut() = refused.status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if let Some(seconds) = refused.retry_after {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    match refused.status {
        StatusCode::UNAUTHORIZED => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        _ => {}
    }
    answer
}
