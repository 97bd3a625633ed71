//! A Hotbay module whose bodies come and go in pieces: none is held as a whole, whatever its length.
//!
//! ```console
//! $ curl -T - -X POST http://127.0.0.1:8880/up < /dev/zero | head
//! $ curl http://127.0.0.1:8880/down/1073741824 | wc -c
//! 1073741824
//! $ curl -i --raw http://127.0.0.1:8880/sum
//! …
//! x-sum: 3
//! ```

use std::convert::Infallible;
use std::fmt::Write as _;

use bytes::Bytes;
use futures::stream;
use hotbay_sdk::{Body, Path, RequestBody, Response, Result, Trailers, handler, module};

/// So much is sent in one go.
const PIECE: usize = 64 * 1024;

/// Counts the bytes that come, and names the trailers that follow them.
#[handler(POST, "/up")]
async fn up(mut body: RequestBody) -> Result<String> {
    let mut total = 0;
    while let Some(piece) = body.next().await {
        total += piece?.len();
    }
    let mut told = total.to_string();
    for (name, value) in body.trailers().unwrap_or_default().iter() {
        write!(told, " {name}={}", value.escape_ascii())?;
    }
    Ok(told)
}

/// So many bytes, made while they are read.
#[handler(GET, "/down/{bytes}")]
fn down(Path(bytes): Path<usize>) -> Response {
    static ZEROS: [u8; PIECE] = [0; PIECE];
    let pieces = stream::unfold(bytes, async |left| {
        let next = left.min(PIECE);
        (next > 0).then(|| (Ok::<_, Infallible>(Bytes::from_static(&ZEROS[..next])), left - next))
    });
    Response::status(200).with_body(Body::stream(pieces))
}

/// What comes, goes back while more comes.
#[handler(POST, "/echo")]
fn echo(body: RequestBody) -> Response {
    Response::status(200).with_body(Body::stream(body))
}

/// A body that its sum follows. By HTTP/1.1 it does because a header announces it.
#[handler(GET, "/sum")]
async fn sum() -> Result<Response> {
    let (mut sender, body) = Body::channel();
    let text = "one";
    sender.send(text).await?;
    // What frames a body cannot follow it: the host leaves the length out.
    let trailers = Trailers::new().with("x-sum", text.len().to_string()).with("content-length", "9");
    sender.finish_with(trailers);
    Ok(Response::status(200).with_header("trailer", "x-sum").with_body(body))
}

module!(up, down, echo, sum);
