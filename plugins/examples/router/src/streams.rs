//! Bodies that are longer than anybody wants to hold: events, uploads, downloads, echoes.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{DefaultBodyLimit, Query, Request};
use axum::http::StatusCode;
use axum::response::Response;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::{any, get, post};
use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use serde::Deserialize;

pub(crate) fn routes() -> Router {
    Router::new()
        .route("/events", get(events))
        .route("/upload", post(upload))
        .route("/echo", post(echo))
        .route("/download", get(download))
        .route("/ws", any(websocket))
        .layer(DefaultBodyLimit::disable())
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
