//! /metrics.
//!
//! Owns the answer to a scrape.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};

use super::Metrics;
use crate::serve::text;

const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// What answers a scrape.
pub fn answers(
    metrics: Arc<Metrics>,
) -> impl Fn(&Request<Incoming>) -> Response<Full<Bytes>> + Send + Sync + 'static {
    move |request| match request.uri().path() {
        "/metrics" => {
            let mut response = text(StatusCode::OK, metrics.text());
            response.headers_mut().insert(CONTENT_TYPE, OPEN_METRICS);
            response
        }
        _ => text(StatusCode::NOT_FOUND, "there is /metrics\n"),
    }
}
