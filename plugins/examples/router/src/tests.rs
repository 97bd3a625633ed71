//! The application by itself, as any axum application is tested.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::json;
use tower_service::Service as _;

async fn ask(request: Request<Body>) -> (StatusCode, String) {
    let answer = super::app().as_service().call(request).await.unwrap();
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn users_come_and_go_as_json() {
    let (status, body) = ask(Request::get("/users/7").body(Body::empty()).unwrap()).await;
    assert_eq!((status.as_u16(), body), (200, json!({"id": 7, "name": "user 7"}).to_string()));
    let user = json!({"id": 8, "name": "eve"}).to_string();
    let request = Request::post("/users").header("content-type", "application/json");
    let (status, body) = ask(request.body(Body::from(user.clone())).unwrap()).await;
    assert_eq!((status.as_u16(), body), (201, user));
}

#[tokio::test]
async fn uploads_are_counted() {
    let request = Request::post("/upload").body(Body::from(vec![0; 100_000])).unwrap();
    assert_eq!(ask(request).await, (StatusCode::OK, "100000\n".to_owned()));
}
