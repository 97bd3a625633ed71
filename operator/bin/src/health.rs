//! /healthz and /readyz.
//!
//! Owns what they say. Alive means that it answers, because a task that dies ends the process; ready means that the index has seen every
//! module, pool, namespace and report once.

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use tokio::sync::watch;

use crate::serve::text;

/// What answers a probe, by whether the index is complete.
pub fn answers(
    ready: watch::Receiver<bool>,
) -> impl Fn(&Request<Incoming>) -> Response<Full<Bytes>> + Send + Sync + 'static {
    move |request| match (request.uri().path(), *ready.borrow()) {
        ("/healthz", _) | ("/readyz", true) => text(StatusCode::OK, "ok\n"),
        ("/readyz", false) => text(StatusCode::SERVICE_UNAVAILABLE, "the index is not complete yet\n"),
        _ => text(StatusCode::NOT_FOUND, "there are /healthz and /readyz\n"),
    }
}
