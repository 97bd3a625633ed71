//! Bodies that are longer than anybody wants to hold: events, uploads, downloads, echoes.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{DefaultBodyLimit, Query, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post};
use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use http_body_util::BodyExt as _;
use serde::Deserialize;

pub(crate) fn routes() -> Router {
    Router::new()
        .route("/events", get(events))
        .route("/upload", post(upload))
        .route("/echo", post(echo))
        .route("/download", get(download))
        .route("/ws", any(websocket))
        .layer(DefaultBodyLimit::disable())
        .route("/trailers", post(trailers))
}

#[derive(Deserialize)]
struct Events {
    count: u64,
    /// Between two of them.
    #[serde(default)]
    millis: u64,
}

/// One event after the other, each when its time has come.
async fn events(
    Query(Events { count, millis }): Query<Events>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let events = stream::iter(1..=count).then(move |number| async move {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        Ok(Event::default().data(number.to_string()))
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

/// How many bytes came; none of them is kept.
async fn upload(request: Request) -> Result<String, StatusCode> {
    let mut pieces = request.into_body().into_data_stream();
    let mut total = 0;
    while let Some(piece) = pieces.next().await {
        total += piece.map_err(|_| StatusCode::BAD_REQUEST)?.len();
    }
    Ok(format!("{total}\n"))
}

/// The same bytes, while they come.
async fn echo(request: Request) -> Body {
    request.into_body()
}

#[derive(Deserialize)]
struct Download {
    mib: usize,
}

/// So many MiB, made while they are read.
async fn download(Query(Download { mib }): Query<Download>) -> Body {
    static PIECE: [u8; 64 * 1024] = [b'x'; 64 * 1024];
    let pieces = stream::iter(0..mib * 16).map(|_| Ok::<_, Infallible>(Bytes::from_static(&PIECE)));
    Body::from_stream(pieces)
}

/// The same bytes, and after them how many they were, and the `x-sum` that came after them.
async fn trailers(request: Request) -> Result<Response, StatusCode> {
    let body = request.into_body().collect().await.map_err(|_| StatusCode::BAD_REQUEST)?;
    let sum = body.trailers().and_then(|trailers| trailers.get("x-sum")).cloned();
    let bytes = body.to_bytes();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-length", bytes.len().into());
    trailers.insert("x-sum", sum.unwrap_or(HeaderValue::from_static("none")));
    // By HTTP/1.1, trailers follow a body of which no length is told, and have been announced.
    let body = Body::from_stream(stream::iter([Ok::<_, Infallible>(bytes)]));
    let body = body.with_trailers(async { Some(Ok(trailers)) });
    let announced = [(header::TRAILER, "x-length, x-sum")];
    Ok((announced, Body::new(body)).into_response())
}

/// Every message comes back.
async fn websocket(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket: WebSocket| {
        while let Some(Ok(message)) = socket.recv().await {
            // A close is answered by the socket itself, when it is asked for what follows.
            let closes = matches!(message, Message::Close(_));
            if !closes && socket.send(message).await.is_err() {
                return;
            }
        }
    })
}
