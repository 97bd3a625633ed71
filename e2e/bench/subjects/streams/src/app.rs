//! A Router with large bodies both ways. `hotbay-bench-compiled-in` has this very file compiled in.

use std::convert::Infallible;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::StatusCode;
use axum::routing::{get, post};
use bytes::Bytes;
use futures::{StreamExt as _, stream};

static PIECE: [u8; 64 * 1024] = [b'x'; 64 * 1024];
/// Of a gibibyte.
const PIECES: usize = (1 << 30) / PIECE.len();

/// A gibibyte, made while it is read.
async fn down() -> Body {
    Body::from_stream(stream::iter(0..PIECES).map(|_| Ok::<_, Infallible>(Bytes::from_static(&PIECE))))
}

/// How many bytes came; none of them is kept.
async fn up(request: Request) -> Result<String, StatusCode> {
    let mut pieces = request.into_body().into_data_stream();
    let mut total = 0;
    while let Some(piece) = pieces.next().await {
        total += piece.map_err(|_| StatusCode::BAD_REQUEST)?.len();
    }
    Ok(total.to_string())
}

pub(crate) fn app() -> Router {
    Router::new().route("/down", get(down)).route("/up", post(up)).layer(DefaultBodyLimit::disable())
}
