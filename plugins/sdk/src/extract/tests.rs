//! Each argument: what it makes of a request, and what the client is told if it cannot be made.

use super::*;
use crate::test::{self, TestRequest};
use crate::{Peer, Rejection, RequestId, TraceParent};

/// The status and the words that an argument is refused with.
fn refusal<'r, T: FromRequest<'r, Rejection = Rejection>>(request: &'r TestRequest) -> (u16, String) {
    match T::from_request(&request.view()) {
        Ok(_) => panic!("the argument must not be made"),
        Err(rejection) => (rejection.status_code(), rejection.to_string()),
    }
}

fn taken<'r, T: FromRequest<'r>>(request: &'r TestRequest) -> T {
    let taken = T::from_request(&request.view());
    taken.unwrap_or_else(|rejection| {
        let response = rejection.into_response();
        panic!("{}: {}", response.status_code(), String::from_utf8_lossy(response.body()))
    })
}

#[test]
fn a_body_is_bytes_or_text_and_may_be_looked_at_twice() {
    let request = test::post("/").body("hi");
    assert_eq!((taken::<&[u8]>(&request), taken::<Vec<u8>>(&request)), (&b"hi"[..], b"hi".to_vec()));
    assert_eq!((taken::<&str>(&request), taken::<String>(&request)), ("hi", "hi".to_owned()));
    let request = test::post("/").body(*b"ok\xff");
    assert_eq!(refusal::<&str>(&request), (400, "the body is not UTF-8 text: byte 2 is wrong".to_owned()));
    assert_eq!(refusal::<String>(&request).0, 400);
    assert_eq!(taken::<Option<String>>(&test::get("/")), None);
    assert_eq!(taken::<Option<&str>>(&test::post("/").body("x")), Some("x"));
}

#[test]
fn all_headers_and_one_by_its_type() {
    let request = test::get("/").header("X-A", "1").header("x-a", b"\xff").header("user-agent", "curl");
    let headers: Headers = taken(&request);
    assert_eq!((headers.get("X-A"), headers.all("x-a").count(), headers.iter().count()), (Some("1"), 2, 3));
    assert_eq!(headers.get("x-b"), None);
    assert_eq!(taken::<Header<UserAgent>>(&request).0.0, "curl");
    let missing = (400, "the header content-type is missing".to_owned());
    assert_eq!(refusal::<Header<ContentType>>(&request), missing);
    assert_eq!(taken::<Option<Header<ContentType>>>(&request), None);
    let raw = test::get("/").header("accept", b"\xff");
    assert_eq!(refusal::<Header<Accept>>(&raw), (400, "the header accept is not UTF-8".to_owned()));
    assert_eq!(refusal::<Option<Header<Accept>>>(&raw).0, 400, "what is there must fit");
}

#[test]
fn a_bearer_token_is_asked_for_with_a_challenge_and_never_shown() {
    let request = test::get("/").header("authorization", "bearer s3cret");
    let Header(token) = taken::<Header<Bearer>>(&request);
    assert_eq!((token.0, format!("{token:?}")), ("s3cret", "Bearer(…)".to_owned()));
    for request in [test::get("/"), test::get("/").header("authorization", "Basic YTpi")] {
        let Err(rejection) = Header::<Bearer>::from_request(&request.view()) else { panic!("no token") };
        let response = rejection.into_response();
        assert_eq!((response.status_code(), response.header("www-authenticate")), (401, Some("Bearer")));
    }
}

#[test]
fn the_first_line_and_where_it_comes_from() {
    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = test::request("PUT", "/a%20b?c=d").authority("example.com:80");
    let request = request.peer("[::1]:5000".parse().unwrap()).request_id("r-1").traceparent(TRACE);
    assert_eq!(&*taken::<Method>(&request), "PUT");
    let uri: Uri = taken(&request);
    assert_eq!((uri.authority, uri.to_string()), (Some("example.com:80"), "/a%20b?c=d".to_owned()));
    assert_eq!(taken::<Peer>(&request).0.port(), 5000);
    assert_eq!(taken::<RequestId>(&request).0, "r-1");
    let trace: TraceParent = taken(&request);
    assert_eq!((trace.as_str(), trace.is_sampled()), (TRACE, true));
    assert_eq!(
        (trace.trace_id(), trace.parent_id()),
        ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
    );

    let bare = test::get("/");
    assert_eq!(taken::<Option<Peer>>(&bare), None);
    assert_eq!(refusal::<Peer>(&bare), (500, "internal server error".to_owned()));
    assert_eq!(refusal::<RequestId>(&bare).0, 500);
    assert_eq!((refusal::<TraceParent>(&bare).0, taken::<Option<TraceParent>>(&bare)), (400, None));
}

#[test]
fn the_state_is_taken_by_reference_and_another_type_keeps_the_module_from_starting() {
    let request = test::get("/").state(5_u8);
    assert_eq!((*taken::<&u8>(&request), *taken::<State<u8>>(&request)), (5, 5));
    let mut shared = Shared::new(Box::new(5_u8), None);
    assert!(<State<u8>>::prepare(&mut shared).is_ok() && <Option<&u8>>::prepare(&mut shared).is_ok());
    let unmade = <&u16>::prepare(&mut shared).unwrap_err();
    assert!(unmade.words().contains("state u16"), "{}", unmade.words());
    assert!(!unmade.is_of_config());
}

#[test]
fn a_result_is_the_reason_and_never_rejects() {
    let request = test::post("/").body(*b"\xff");
    let why = taken::<Result<&str, Rejection>>(&request).unwrap_err();
    assert_eq!(why.status_code(), 400);
    assert_eq!(taken::<Result<&str, Rejection>>(&test::post("/").body("a")), Ok("a"));
}

#[test]
fn one_argument_that_wants_the_whole_body_decides() {
    let stream = Argument::of::<RequestBody>();
    let whole = Argument::of::<&[u8]>();
    assert_eq!(Argument::body(&[]), BodyMode::Stream);
    assert_eq!(Argument::body(&[Argument::of::<Method>(), stream]), BodyMode::Stream);
    assert_eq!(Argument::body(&[stream, whole]), BodyMode::Whole);
    assert_eq!(Argument::body(&[Argument::of::<Request>()]), BodyMode::Whole);
    assert_eq!(Argument::body(&[Argument::of::<Option<Result<&str, Rejection>>>()]), BodyMode::Whole);
}

#[cfg(feature = "extract")]
mod typed {
    use std::borrow::Cow;
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    fn path(params: &[(&str, &str)]) -> TestRequest {
        params.iter().fold(test::get("/x"), |request, (name, value)| request.param(name, value))
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Place {
        room: String,
        seat: u8,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Colour {
        Red,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Id(u64);

    #[test]
    fn a_path_is_one_value_a_tuple_or_a_struct_by_names() {
        let one = path(&[("id", "7")]);
        assert_eq!((taken::<Path<u8>>(&one).0, taken::<Path<Id>>(&one).0), (7, Id(7)));
        assert_eq!(taken::<Path<(i64,)>>(&one).0, (7,));
        assert_eq!(taken::<Path<String>>(&path(&[("id", "a%20b%2Fc")])).0, "a b/c");
        assert_eq!(taken::<Path<Colour>>(&path(&[("id", "red")])).0, Colour::Red);
        let two = path(&[("seat", "3"), ("room", "%C3%BC")]);
        assert_eq!(taken::<Path<Place>>(&two).0, Place { room: "ü".to_owned(), seat: 3 });
        assert_eq!(taken::<Path<(u8, String)>>(&two).0, (3, "ü".to_owned()));
        assert_eq!(taken::<Path<Vec<String>>>(&two).0, ["3", "ü"]);
        let map = taken::<Path<BTreeMap<String, String>>>(&two).0;
        assert_eq!(map["room"], "ü");
        assert_eq!(
            (taken::<Option<Path<u8>>>(&one), taken::<Option<Path<u8>>>(&path(&[]))),
            (Some(Path(7)), None)
        );
    }

    #[test]
    fn a_path_that_does_not_fit_is_told_by_the_name_of_its_parameter() {
        let refused = |request: &TestRequest| refusal::<Path<Place>>(request).1;
        let words = "the path does not fit: {seat} is \"x\", and must be a whole number from 0 to 255";
        assert_eq!(refused(&path(&[("room", "a"), ("seat", "x")])), words);
        assert_eq!(
            refused(&path(&[("room", "%FF"), ("seat", "1")])),
            "the path does not fit: {room} is not UTF-8"
        );
        let colour = refusal::<Path<Colour>>(&path(&[("colour", "blue")]));
        assert_eq!(
            colour,
            (400, "the path does not fit: {colour}: unknown variant `blue`, expected `red`".to_owned())
        );
        let beyond = path(&[("n", "70000")]);
        let words = |range| {
            format!("the path does not fit: {{n}} is \"70000\", and must be a whole number from {range}")
        };
        assert_eq!(refusal::<Path<u16>>(&beyond).1, words("0 to 65535"));
        assert_eq!(refusal::<Path<i16>>(&beyond).1, words("-32768 to 32767"));
        assert_eq!(refusal::<Path<i8>>(&beyond).1, words("-128 to 127"));
        assert_eq!(
            refusal::<Path<bool>>(&path(&[("on", "1")])).1,
            "the path does not fit: {on} is \"1\", and must be true or false"
        );
    }

    #[test]
    fn a_path_whose_template_does_not_fit_is_nobodys_fault_who_asks() {
        for request in [path(&[("room", "a")]), path(&[])] {
            assert_eq!(refusal::<Path<Place>>(&request), (500, "internal server error".to_owned()));
        }
        let two = path(&[("a", "1"), ("b", "2")]);
        assert_eq!((refusal::<Path<u8>>(&two).0, refusal::<Path<(u8,)>>(&two).0), (500, 500));
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Page {
        from: Option<u32>,
        #[serde(default)]
        tag: Vec<String>,
    }

    #[test]
    fn a_query_fills_options_and_lists() {
        let page = taken::<Query<Page>>(&test::get("/?tag=a+b&from=3&tag=%C3%BC")).0;
        assert_eq!(page, Page { from: Some(3), tag: vec!["a b".to_owned(), "ü".to_owned()] });
        assert_eq!(taken::<Query<Page>>(&test::get("/")).0, Page { from: None, tag: vec![] });
        assert_eq!(taken::<Option<Query<Page>>>(&test::get("/")), None);
        let refused = refusal::<Query<Page>>(&test::get("/?from=x"));
        assert_eq!(refused, (400, "the query does not fit: from: invalid digit found in string".to_owned()));
        assert_eq!(refusal::<Option<Query<Page>>>(&test::get("/?from=x")).0, 400);
    }

    #[test]
    fn a_form_is_the_body_or_the_query_of_a_get() {
        let form = Form(Page { from: Some(1), tag: vec!["x".to_owned()] });
        assert_eq!(taken::<Form<Page>>(&test::post("/").form("from=1&tag=x")), form);
        assert_eq!(taken::<Form<Page>>(&test::get("/?from=1&tag=x")), form);
        assert_eq!(taken::<Option<Form<Page>>>(&test::post("/")), None);
        let other = test::post("/").header("content-type", "text/plain").body("from=1");
        assert_eq!(refusal::<Form<Page>>(&other).0, 415);
        let wrong = refusal::<Form<Page>>(&test::post("/").form("from=-1"));
        assert_eq!(wrong, (422, "the form does not fit: from: invalid digit found in string".to_owned()));
        assert_eq!(refusal::<Form<Page>>(&test::get("/?from=-1")).0, 400);
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Entry<'a> {
        #[serde(borrow)]
        guests: Vec<Guest<'a>>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Guest<'a> {
        #[serde(borrow)]
        name: Cow<'a, str>,
    }

    #[test]
    fn json_may_borrow_from_the_body_and_needs_its_content_type() {
        let request = test::post("/").json(r#"{"guests": [{"name": "ada"}]}"#);
        let Json(entry) = taken::<Json<Entry>>(&request);
        assert!(matches!(entry.guests[0].name, Cow::Borrowed("ada")), "{entry:?}");
        for kind in ["application/json; charset=utf-8", "application/problem+JSON"] {
            let request = test::post("/").header("content-type", kind).body("5");
            assert_eq!(taken::<Json<u8>>(&request), Json(5), "{kind}");
        }
        for kind in ["text/json", "application/jsonp", "+json", ""] {
            let request = test::post("/").header("content-type", kind).body("5");
            assert_eq!(refusal::<Json<u8>>(&request).0, 415, "{kind}");
        }
        assert_eq!(refusal::<Json<u8>>(&test::post("/").body("5")).0, 415);
        assert_eq!(taken::<Option<Json<u8>>>(&test::post("/")), None);
    }

    #[test]
    fn json_that_does_not_fit_is_told_by_its_place() {
        let broken = refusal::<Json<Entry>>(&test::post("/").json("{\"guests\":"));
        assert_eq!(
            broken,
            (400, "the body is not JSON: EOF while parsing a value at line 1 column 10".to_owned())
        );
        let (status, words) = refusal::<Json<Entry>>(&test::post("/").json(r#"{"guests": [{"name": 5}]}"#));
        assert_eq!(status, 422);
        let place = "the JSON does not fit: guests[0].name: invalid type: integer `5`, expected a string";
        assert!(words.starts_with(place), "{words}");
        let (status, words) = refusal::<Json<Entry>>(&test::post("/").json("[1]"));
        assert!(status == 422 && words.starts_with("the JSON does not fit: "), "{words}");
    }
}
