//! A Hotbay module that answers with what it was asked: any method on `/echo/{name}`.
//!
//! ```console
//! $ curl -d hi 'http://127.0.0.1:8880/echo/ada?x=1'
//! {"method":"POST","path":"/echo/ada","name":"ada","query":"x=1","headers":[["host","127.0.0.1:8880"],…],"body":"hi"}
//! ```
//! Header values and bodies that are not UTF-8 come back as `{"base64": "…"}`. It has no config, and its handler is async.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hotbay_sdk::{Request, Response, handler, log, module};
use serde::Serialize;

/// The answer.
#[derive(Serialize)]
struct Echo<'a> {
    method: &'a str,
    path: &'a str,
    /// The path parameter, with its percent-encoding.
    name: Option<&'a str>,
    /// `null` if there was no `?`.
    query: Option<&'a str>,
    /// In order; a name may come twice.
    headers: Vec<(&'a str, Bytes<'a>)>,
    body: Bytes<'a>,
}

/// Any bytes, in JSON.
#[derive(Serialize)]
#[serde(untagged)]
enum Bytes<'a> {
    Text(&'a str),
    Binary { base64: String },
}

impl<'a> From<&'a [u8]> for Bytes<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        match str::from_utf8(bytes) {
            Ok(text) => Self::Text(text),
            Err(_) => Self::Binary { base64: STANDARD.encode(bytes) },
        }
    }
}

/// Says what was asked.
#[handler(ANY, "/echo/{name}")]
async fn echo(request: Request<'_>) -> Response {
    log::debug(format_args!("echo of {} bytes", request.body().len()));
    Response::json(&Echo {
        method: request.method(),
        path: request.path(),
        name: request.param("name"),
        query: request.query(),
        headers: request.headers().map(|(name, value)| (name, value.into())).collect(),
        body: request.body().into(),
    })
}

module!(echo);

#[cfg(test)]
mod tests {
    use super::*;
    use hotbay_sdk::test::{self, TestRequest};
    use serde_json::{Value, json};

    fn answer(request: &TestRequest) -> Value {
        let response = test::poll_once(echo(request.view())).unwrap();
        assert_eq!(response.header("content-type"), Some("application/json"));
        serde_json::from_slice(response.body()).unwrap()
    }

    #[test]
    fn everything_that_was_asked_comes_back() {
        let request = test::request("POST", "/echo/ada?x=1").param("name", "ada");
        let request = request.header("x-twice", "1").header("x-twice", "2").body("hi");
        let expected = json!({
            "method": "POST", "path": "/echo/ada", "name": "ada", "query": "x=1",
            "headers": [["x-twice", "1"], ["x-twice", "2"]], "body": "hi",
        });
        assert_eq!(answer(&request), expected);
    }

    #[test]
    fn bytes_that_are_no_text_come_back_as_base64() {
        let request = test::get("/echo/x").header("x-raw", b"\xff").body(*b"\x00\xff");
        let answer = answer(&request);
        assert_eq!(answer["headers"], json!([["x-raw", {"base64": "/w=="}]]));
        assert_eq!(answer["body"], json!({"base64": "AP8="}));
        assert_eq!(answer["query"], Value::Null);
    }
}
