//! `GET /{{name}}/{who}` greets whoever is named, and `POST /{{name}}/sum` adds numbers up: an axum app, as it would be written for a server of its own.

use axum::extract::Path;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

/// What is asked of `/sum`.
#[derive(Deserialize)]
struct Numbers {
    numbers: Vec<i64>,
}

/// What it answers.
#[derive(Serialize)]
struct Sum {
    sum: i64,
}

async fn greet(Path(who): Path<String>) -> String {
    format!("Hello, {who}!\n")
}

async fn sum(Json(asked): Json<Numbers>) -> Json<Sum> {
    Json(Sum { sum: asked.numbers.iter().fold(0, |sum, number| sum.wrapping_add(*number)) })
}

/// The app; it sees paths without `/{{name}}`.
fn app() -> Router {
    Router::new().route("/{who}", get(greet)).route("/sum", post(sum))
}

hotbay_sdk::service!(app, at: "/{{name}}");

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt as _;

    use super::*;

    async fn answered(request: Request<Body>) -> String {
        let answer = app().oneshot(request).await.unwrap();
        let body = to_bytes(answer.into_body(), 1024).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn who_is_named_is_greeted() {
        let request = Request::get("/ada").body(Body::empty()).unwrap();
        assert_eq!(answered(request).await, "Hello, ada!\n");
    }

    #[tokio::test]
    async fn numbers_are_added_up() {
        let request = Request::post("/sum").header("content-type", "application/json");
        let request = request.body(Body::from(r#"{"numbers": [1, 2, 3]}"#)).unwrap();
        assert_eq!(answered(request).await, r#"{"sum":6}"#);
    }
}
