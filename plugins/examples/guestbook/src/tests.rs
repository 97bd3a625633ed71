//! The handlers without a host: requests in, responses out.

use hotbay_sdk::Response;
use hotbay_sdk::test::{self, TestRequest};
use serde_json::{Value, json};

use super::*;
use crate::about::{count, mood, motd, shout, whoami};

/// A book with room for two, in which Ada stands.
fn book() -> Book {
    let book = Book::new(2);
    book.sign(Entry { name: "Ada".to_owned(), text: "<hello>".to_owned() }).unwrap();
    book
}

fn rules() -> Rules {
    Rules { title: "Guests".to_owned(), max_guests: 2, token: Some("t".to_owned()) }
}

fn text(response: &Response) -> (u16, &str) {
    (response.status_code(), str::from_utf8(response.body()).unwrap())
}

fn value(response: &Response) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

fn by_id(method: &str, id: &str) -> TestRequest {
    test::request(method, &format!("/guests/{id}")).param("id", id).state(book()).settings(rules())
}

#[test]
fn who_signs_is_told_where_and_stands_in_the_list() {
    let request = test::post("/guests").json(r#"{"name": "Grace"}"#).state(book());
    let response = test::call(sign, &request);
    assert_eq!((response.status_code(), response.header("location")), (201, Some("/guests/1")));
    assert_eq!(value(&response), json!({"id": 1, "name": "Grace", "text": ""}));
    assert_eq!(text(&test::call(sign, &request)), (409, "the book is full: it has room for 2\n"));

    let request = test::post("/guests/form").form("name=Gr%C3%A4ce&text=a+b").state(book());
    let response = test::call(sign_form, &request);
    assert_eq!((response.status_code(), response.header("location")), (303, Some("/guests/1")));
}

#[test]
fn the_list_is_filtered_by_its_query() {
    let listed = |query: &str| value(&test::call(list, &test::get(query).state(book())));
    let ada = json!([{"id": 0, "name": "Ada", "text": "<hello>"}]);
    assert_eq!((listed("/guests"), listed("/guests?prefix=Ad&id=7&id=0")), (ada.clone(), ada));
    assert_eq!((listed("/guests?prefix=b"), listed("/guests?id=1")), (json!([]), json!([])));
}

#[test]
fn a_guest_is_shown_whole_or_in_part() {
    assert_eq!(value(&test::call(show, &by_id("GET", "0")))["name"], "Ada");
    assert_eq!(text(&test::call(show, &by_id("GET", "1"))), (404, "there is no guest 1\n"));
    assert_eq!(test::call(show, &by_id("GET", "x")).status_code(), 400);
    assert_eq!(text(&test::call(show_part, &by_id("GET", "0").param("part", "text"))), (200, "<hello>"));
    assert_eq!(test::call(show_part, &by_id("GET", "0").param("part", "age")).status_code(), 400);
}

#[test]
fn only_the_token_takes_a_guest_out() {
    let with = |token: &str| by_id("DELETE", "0").header("authorization", format!("Bearer {token}"));
    assert_eq!(test::call(remove, &by_id("DELETE", "0")).status_code(), 401);
    assert_eq!(test::call(remove, &with("other")).status_code(), 403);
    let request = with("t");
    assert_eq!(test::call(remove, &request).status_code(), 204);
    assert_eq!(test::call(remove, &request).status_code(), 404, "it is gone");
}

#[test]
fn what_a_guest_wrote_is_no_part_of_the_page() {
    let response = test::call(page, &test::get("/").state(book()).settings(rules()));
    assert_eq!(response.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(text(&response).1.contains("<li>Ada: &lt;hello&gt;</li>"), "{response:?}");
}

#[test]
fn a_request_is_told_what_it_says_of_itself() {
    let request = test::request("PUT", "/whoami?a=b").authority("example.com").header("user-agent", "curl");
    let request = request.peer("10.0.0.1:99".parse().unwrap()).request_id("r");
    let expected = json!({
        "method": "PUT", "uri": "/whoami?a=b", "host": "example.com", "peer": "10.0.0.1:99", "agent": "curl",
        "request_id": "r", "trace": null, "headers": 1,
    });
    assert_eq!(value(&test::call(whoami, &request)), expected);
}

#[test]
fn bodies_of_all_kinds() {
    assert_eq!(text(&test::call(count, &test::post("/count").body("12345"))), (200, "5"));
    assert_eq!(text(&test::call(shout, &test::post("/shout").body("hey"))), (200, "HEY"));
    assert_eq!(test::call(shout, &test::post("/shout")).status_code(), 404);
    assert_eq!(text(&test::call(mood, &test::post("/mood").json("true"))), (200, "glad to hear it"));
    let answer = test::call(mood, &test::post("/mood").json("5"));
    assert!(text(&answer).1.starts_with("1 bytes that are no mood: "), "{answer:?}");
    assert_eq!(text(&test::call(motd, &test::get("/motd"))), (500, "internal server error\n"));
}

#[test]
fn a_book_without_room_is_refused_by_its_field() {
    let error = open(Rules { max_guests: 0, ..rules() }).err().unwrap();
    assert_eq!(error.to_string(), "spec.config.maxGuests: must be at least 1");
    assert_eq!(test::block_on(close(&book())), ());
}
