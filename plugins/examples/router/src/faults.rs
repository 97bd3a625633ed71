//! Routes that fail, so that tests see what it costs: the request, and nothing else.

#![allow(clippy::panic, reason = "that is what these are for")]

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use std::io;

pub(crate) fn routes() -> Router {
    use axum::routing::get;
    Router::new()
        .route("/panic", get(panics))
        .route("/panic/stream", get(panics_in_mid_stream))
        .route("/panic/task", get(panics_in_a_task))
        .route("/panic/drop", get(panics_in_drop))
        .route("/fail/stream", get(fails_in_mid_stream))
}

async fn panics() -> &'static str {
    panic!("the handler was asked to")
}

/// Begins well.
async fn panics_in_mid_stream() -> Body {
    Body::from_stream(stream::unfold(0, |step| async move {
        assert!(step < 3, "the stream was asked to");
        tokio::task::yield_now().await;
        Some((Ok::<_, io::Error>(Bytes::from_static(b"a piece\n")), step + 1))
    }))
}

async fn fails_in_mid_stream() -> Body {
    let end = io::Error::other("the stream was asked to fail");
    Body::from_stream(stream::iter([Ok(Bytes::from_static(b"a piece\n")), Err(end)]))
}

async fn panics_in_a_task() -> String {
    let task = tokio::spawn(async { panic!("the task was asked to") });
    format!("the task panicked: {}\n", task.await.is_err_and(|error| error.is_panic()))
}

struct PanicsInDrop;

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        panic!("the destructor was asked to");
    }
}

/// Begins well, and waits for the client to leave.
async fn panics_in_drop() -> Body {
    let last = PanicsInDrop;
    let first = stream::iter([Ok::<_, io::Error>(Bytes::from_static(b"a piece\n"))]);
    Body::from_stream(first.chain(stream::once(async move {
        let _last = last;
        std::future::pending().await
    })))
}
