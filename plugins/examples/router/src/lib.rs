//! An axum application as a Hotbay module: the last line makes it one, and nothing else in here knows Hotbay.
//!
//! ```console
//! $ curl http://127.0.0.1:8880/users/7
//! {"id":7,"name":"user 7"}
//! $ curl -N http://127.0.0.1:8880/events?count=3
//! data: 1
//! …
//! ```
//! It shows JSON, path parameters, server-sent events, uploads, downloads, trailers, timers, tasks, sockets and files, each with what tokio and axum have for it.

use std::net::SocketAddr;

use axum::Json;
use axum::Router;
use axum::extract::{ConnectInfo, Path};
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};

mod faults;
mod streams;
mod tasks;

/// A user, in and out.
#[derive(Debug, Deserialize, PartialEq, Eq, Serialize)]
struct User {
    id: u64,
    name: String,
}

async fn user(Path(id): Path<u64>) -> Json<User> {
    Json(User { id, name: format!("user {id}") })
}

async fn add_user(Json(user): Json<User>) -> (StatusCode, Json<User>) {
    (StatusCode::CREATED, Json(user))
}

async fn peer(ConnectInfo(peer): ConnectInfo<SocketAddr>) -> String {
    peer.to_string()
}

/// The application, as `axum::serve` would take it.
fn app() -> Router {
    Router::new()
        .route("/hello", get(async || "Hello from axum\n"))
        .route("/users", post(add_user))
        .route("/users/{id}", get(user))
        .route("/peer", get(peer))
        .merge(streams::routes())
        .merge(tasks::routes())
        .merge(faults::routes())
}

hotbay_sdk::service!(app, connect_info: true);

#[cfg(test)]
mod tests;
