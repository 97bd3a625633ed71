//! What handlers take and return, as a client sees it: the example `guestbook` over real HTTP, each argument and each refusal.

use hotbay_e2e::http::{Answer, Body, Connection, Protocol, pieces, request, whole};
use hotbay_e2e::laptop::{Laptop, Role};
use hotbay_e2e::modules;
use http::{HeaderName, HeaderValue, Method};
use rustix::process::Signal;
use serde_json::json;

use crate::workshop::{Workshop, yaml};

const JSON: (&str, &str) = ("content-type", "application/json");
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A guest book with this config.
async fn guestbook(shop: &Workshop, config: &str) -> Laptop {
    shop.push(&modules::guestbook(), "guestbook:1.0").await;
    shop.save("guestbook.yaml", &spec(config));
    let laptop = shop.run().await;
    laptop.active("default/guestbook").await;
    laptop
}

fn spec(config: &str) -> String {
    yaml("guestbook", "guestbook:1.0", &format!("config: {config}"))
}

/// A request on a connection of its own; `target` is `METHOD /path`.
async fn ask(
    laptop: &Laptop,
    protocol: Protocol,
    target: &str,
    headers: &[(&'static str, &'static str)],
    body: Body,
) -> Answer {
    let (method, path) = target.split_once(' ').unwrap();
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = request(protocol, method, "localhost", path, body);
    for (name, value) in headers {
        request.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    Connection::open(laptop.address, protocol).await.unwrap().send(request).await.unwrap()
}

async fn h1(
    laptop: &Laptop,
    target: &str,
    headers: &[(&'static str, &'static str)],
    body: &'static str,
) -> Answer {
    ask(laptop, Protocol::H1, target, headers, whole(body)).await
}

/// What a request is refused with.
async fn refused(
    laptop: &Laptop,
    target: &str,
    headers: &[(&'static str, &'static str)],
    body: &'static str,
    status: u16,
    words: &str,
) {
    for protocol in [Protocol::H1, Protocol::H2c] {
        let answer = ask(laptop, protocol, target, headers, whole(body)).await;
        assert_eq!(answer.status, status, "{protocol:?} {target} {body}: {}", answer.text());
        assert!(answer.text().starts_with(words), "{protocol:?} {target} {body}: {}", answer.text());
        assert!(answer.text().ends_with('\n') && answer.header("content-type").starts_with("text/plain"));
    }
}

#[tokio::test]
async fn each_argument_is_made_of_its_request() {
    let shop = Workshop::new();
    let laptop = guestbook(&shop, "{title: \"<Us>\", token: t0ken}").await;

    let answer = h1(&laptop, "POST /guests", &[JSON], r#"{"name": "Ada", "text": "a & b"}"#).await;
    assert_eq!((answer.status, answer.header("location")), (201, "/guests/0"));
    assert_eq!(answer.json(), json!({"id": 0, "name": "Ada", "text": "a & b"}));
    let answer = h1(&laptop, "POST /guests/form", &[FORM], "name=Gr%C3%A4ce&text=a+b").await;
    assert_eq!((answer.status, answer.header("location")), (303, "/guests/1"));

    let list = h1(&laptop, "GET /guests?id=1&id=7&prefix=Gr%C3%A4", &[], "").await;
    assert_eq!(list.json(), json!([{"id": 1, "name": "Gräce", "text": "a b"}]));
    assert_eq!(h1(&laptop, "GET /guests", &[], "").await.json().as_array().unwrap().len(), 2);
    assert_eq!(h1(&laptop, "GET /guests/1", &[], "").await.json()["name"], "Gräce");
    let part = h1(&laptop, "GET /guests/0/%74ext", &[], "").await;
    assert_eq!((part.status, part.text().as_str()), (200, "a & b"));

    // Not on the engine's threads.
    let page = h1(&laptop, "GET /", &[], "").await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(page.text().contains("<h1>&lt;Us&gt;</h1>") && page.text().contains("<li>Ada: a &amp; b</li>"));

    let removed = h1(&laptop, "DELETE /guests/0", &[("authorization", "Bearer t0ken")], "").await;
    assert_eq!((removed.status, removed.text().as_str()), (204, ""));

    let shout = h1(&laptop, "POST /shout", &[], "hey").await;
    assert_eq!(shout.text(), "HEY");
    assert_eq!(h1(&laptop, "PUT /mood", &[JSON], "false").await.text(), "that will pass");
}

#[tokio::test]
async fn a_request_says_where_it_comes_from() {
    let shop = Workshop::new();
    let laptop = guestbook(&shop, "{}").await;
    for protocol in [Protocol::H1, Protocol::H2c] {
        let headers = [("user-agent", "test/1"), ("x-request-id", "r-1"), ("traceparent", TRACE)];
        let who = ask(&laptop, protocol, "PATCH /whoami?a=b", &headers, whole("")).await.json();
        assert_eq!(
            json!([who["method"], who["uri"], who["host"], who["agent"], who["request_id"], who["trace"]]),
            json!(["PATCH", "/whoami?a=b", "localhost", "test/1", "r-1", "4bf92f3577b34da6a3ce929d0e0e4736"]),
            "{protocol:?}"
        );
        assert!(who["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{protocol:?}: {who}");
    }
    let who = h1(&laptop, "GET /whoami", &[], "").await.json();
    assert!(who["request_id"].as_str().is_some_and(|id| !id.is_empty()), "the host makes one up: {who}");
    assert_eq!((&who["agent"], &who["trace"]), (&json!(null), &json!(null)));
}

#[tokio::test]
async fn a_body_may_come_in_pieces_whether_it_is_taken_whole_or_not() {
    let shop = Workshop::new();
    let laptop = guestbook(&shop, "{}").await;
    for protocol in [Protocol::H1, Protocol::H2c] {
        let body = pieces("0123456789".repeat(50_000), 10_000);
        assert_eq!(ask(&laptop, protocol, "POST /count", &[], body).await.text(), "500000");
        assert_eq!(ask(&laptop, protocol, "POST /count", &[], whole("")).await.text(), "0");
        let entry = format!("{{\"name\": \"{}\"}}", "a".repeat(300_000));
        let answer = ask(&laptop, protocol, "POST /guests", &[JSON], pieces(entry, 10_000)).await;
        assert_eq!((answer.status, answer.json()["name"].as_str().unwrap().len()), (201, 300_000));
        // The runtime's limit is 1 MiB; the handler is not called.
        let large = pieces("a".repeat(1024 * 1024 + 1), 10_000);
        assert_eq!(ask(&laptop, protocol, "POST /guests", &[JSON], large).await.status, 413, "{protocol:?}");
        let large = pieces("a".repeat(1024 * 1024 + 1), 10_000);
        let answer = ask(&laptop, protocol, "POST /count", &[], large).await;
        assert_eq!(answer.status, 413, "{protocol:?}: a handler that reads it itself learns of it by `?`");
    }
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_words_that_say_where() {
    let shop = Workshop::new();
    let laptop = guestbook(&shop, "{maxGuests: 1, token: t0ken}").await;
    let no = async |target, headers: &[_], body, status, words| {
        refused(&laptop, target, headers, body, status, words).await;
    };
    no("GET /guests/x", &[], "", 400, "the path does not fit: {id} is \"x\", and must be a whole number")
        .await;
    no("GET /guests/0/age", &[], "", 400, "the path does not fit: {part}: unknown variant `age`").await;
    no("GET /guests/%FF/text", &[], "", 400, "the path does not fit: {id} is not UTF-8").await;
    no("GET /guests?id=x", &[], "", 400, "the query does not fit: id").await;
    no("POST /guests", &[JSON], "{\"name\":", 400, "the body is not JSON: EOF").await;
    no("POST /guests", &[JSON], "{\"name\": 5}", 422, "the JSON does not fit: name: invalid type").await;
    no("POST /guests", &[JSON], "{}", 422, "the JSON does not fit: missing field `name`").await;
    no("POST /guests", &[("content-type", "text/plain")], "{}", 415, "the body is text/plain; send JSON")
        .await;
    no("POST /guests", &[], "{}", 415, "the body's type is not said").await;
    no("POST /guests/form", &[JSON], "{}", 415, "the body's type is application/json; send a form").await;
    no("POST /guests/form", &[FORM], "text=a", 422, "the form does not fit: missing field `name`").await;
    no("POST /guests", &[JSON], "{\"name\": \"\"}", 422, "a guest has a name").await;
    no("GET /guests/9", &[], "", 404, "there is no guest 9").await;
    no("POST /shout", &[], "", 404, "not found").await;
    no("DELETE /guests/0", &[], "", 401, "send authorization: Bearer").await;
    no("DELETE /guests/0", &[("authorization", "Bearer no")], "", 403, "this token may not delete").await;

    // Nothing of what was refused stands in the book, so there is room for one.
    assert_eq!(h1(&laptop, "POST /guests", &[JSON], "{\"name\": \"Ada\"}").await.status, 201);
    no("POST /guests", &[JSON], "{\"name\": \"Grace\"}", 409, "the book is full: it has room for 1").await;

    let answer = h1(&laptop, "DELETE /guests/0", &[], "").await;
    assert_eq!(answer.header("www-authenticate"), "Bearer");
    let answer = h1(&laptop, "PUT /mood", &[JSON], "5").await;
    assert_eq!(answer.status, 200, "a handler may take the refusal and answer itself");
    assert!(
        answer.text().starts_with("1 bytes that are no mood: the JSON does not fit: "),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn an_error_of_the_modules_own_is_told_to_the_log_and_not_to_the_client() {
    let shop = Workshop::new();
    let laptop = guestbook(&shop, "{}").await;
    refused(&laptop, "GET /motd", &[], "", 500, "internal server error\n").await;
    let line = laptop.says(&["a handler failed at", "about.rs"]).await;
    assert!(line.contains("No such file or directory"), "{line}");
    assert!(line.contains("guestbook"), "the module is named: {line}");
}

#[tokio::test]
async fn each_config_has_its_instance_and_the_old_one_is_stopped() {
    let shop = Workshop::new();
    let mut laptop = guestbook(&shop, "{title: One}").await;
    assert_eq!(h1(&laptop, "POST /guests", &[JSON], "{\"name\": \"Ada\"}").await.status, 201);
    shop.save("guestbook.yaml", &spec("{title: Two}"));
    laptop.says(&["the book closes with 1 guests"]).await;
    let page = h1(&laptop, "GET /", &[], "").await.text();
    assert!(page.contains("<h1>Two</h1><ul></ul>"), "{page}");

    // What only `create` can say is refused by it, and the last good config serves on.
    shop.save("guestbook.yaml", &spec("{title: Three, maxGuests: 0}"));
    laptop.says(&["spec.config.maxGuests: must be at least 1"]).await;
    assert!(h1(&laptop, "GET /", &[], "").await.text().contains("<h1>Two</h1>"));

    laptop.signal(Role::Run, Signal::INT).await;
    assert!(laptop.ended().await.success());
}
