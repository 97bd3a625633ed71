//! What a client sees where HTTP knows no body, and which requests name their host.

use http_body_util::{BodyExt as _, Full};

use super::*;

fn answered(status: u16, is_head: bool) -> (Option<String>, usize) {
    let (mut headers, mut body) = (HeaderMap::new(), Bytes::from_static(b"four"));
    fit(is_head, StatusCode::from_u16(status).unwrap(), &mut headers, &mut body);
    let length = headers.get(header::CONTENT_LENGTH);
    (length.map(|value| value.to_str().unwrap().to_owned()), body.len())
}

#[test]
fn where_http_knows_no_body_none_is_sent() {
    assert_eq!(answered(200, false), (None, 4), "hyper adds the length");
    assert_eq!(answered(200, true), (Some("4".into()), 0));
    assert_eq!(answered(204, false), (None, 0));
    assert_eq!(answered(304, true), (None, 0));
}

#[test]
fn http_1_1_names_exactly_one_host() {
    let names = |version, hosts: &[&str]| {
        let request = Request::builder().version(version);
        let request = hosts.iter().fold(request, |request, host| request.header(header::HOST, *host));
        names_a_host(&request.body(()).unwrap())
    };
    assert!(names(Version::HTTP_11, &["a"]));
    assert!(!names(Version::HTTP_11, &[]));
    assert!(!names(Version::HTTP_11, &["a", "b"]));
    assert!(names(Version::HTTP_10, &[]) && names(Version::HTTP_2, &[]));
}

/// Status, length and body of the answer to a HEAD of what has four bytes.
async fn head<S>(mut send: S) -> (StatusCode, Option<HeaderValue>, Bytes)
where
    S: FnMut(Request<Full<Bytes>>) -> Pin<Box<dyn Future<Output = hyper::Result<Response<RequestBody>>>>>,
{
    let request =
        Request::builder().method(Method::HEAD).uri("http://localhost/").header(header::HOST, "localhost");
    let (parts, body) = send(request.body(Full::default()).unwrap()).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status, parts.headers.get(header::CONTENT_LENGTH).cloned(), body)
}

async fn four_bytes(request: Request<RequestBody>) -> Result<Response<Full<Bytes>>, Cut> {
    let (mut headers, mut body) = (HeaderMap::new(), Bytes::from_static(b"four"));
    fit(*request.method() == Method::HEAD, StatusCode::OK, &mut headers, &mut body);
    Ok(headed(StatusCode::OK, headers, Full::new(body)))
}

#[tokio::test]
async fn head_has_the_length_and_no_body_by_both_protocols() {
    use hyper::service::service_fn;
    use hyper_util::rt::{TokioExecutor, TokioIo};

    let expected = (StatusCode::OK, Some(HeaderValue::from_static("4")), Bytes::new());
    let (client, server) = tokio::io::duplex(1 << 16);
    let builder = hyper::server::conn::http1::Builder::new();
    tokio::spawn(builder.serve_connection(TokioIo::new(server), service_fn(four_bytes)));
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(client)).await.unwrap();
    tokio::spawn(connection);
    assert_eq!(head(|request| Box::pin(sender.send_request(request))).await, expected);

    let (client, server) = tokio::io::duplex(1 << 16);
    let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    tokio::spawn(builder.serve_connection(TokioIo::new(server), service_fn(four_bytes)));
    let executor = TokioExecutor::new();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(executor, TokioIo::new(client)).await.unwrap();
    tokio::spawn(connection);
    assert_eq!(head(|request| Box::pin(sender.send_request(request))).await, expected);
}
