//! Who sees a page, and who is passed on to the module.
//!
//! Owns the decision, from a request's head and how the project stands. Pure.

use hyper::http::uri::PathAndQuery;
use hyper::{Method, Request, Uri, header};

use crate::dev::standing::Standing;

/// Where pages ask whether something has changed. No module can have it.
pub(super) const CHANGED: &str = "/.hotbay/dev/changed";
/// In a query: the last good version is wanted, whatever is wrong.
pub(super) const LAST_GOOD: &str = "hotbay-last-good";

/// What to do with a request.
#[derive(Debug, PartialEq)]
pub(super) enum Decision {
    /// The module answers.
    Pass,
    /// The module answers, and does not see what was for us.
    PassAs(Uri),
    /// A page says what is wrong.
    Page,
    /// The same, for programs.
    Words,
    /// Answered when the generation is another than this one.
    Wait(u64),
}

/// See the module.
pub(super) fn decide<B>(request: &Request<B>, standing: &Standing) -> Decision {
    let uri = request.uri();
    if uri.path() == CHANGED {
        return Decision::Wait(uri.query().and_then(|seen| seen.parse().ok()).unwrap_or(u64::MAX));
    }
    let is_wrong = standing.is_wrong();
    let asked = without_mark(uri);
    let shows = is_wrong && (asked.is_none() || !standing.has_good);
    match asked {
        _ if shows && wants_document(request) => Decision::Page,
        _ if is_wrong && !standing.has_good => Decision::Words,
        Some(target) => Decision::PassAs(target),
        None => Decision::Pass,
    }
}

/// Whether somebody looks at the answer: a browser that opens a page, and not a script in one.
fn wants_document<B>(request: &Request<B>) -> bool {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let accepts = header(header::ACCEPT.as_str()).is_some_and(|accept| accept.contains("text/html"));
    // Old browsers, and pages of another machine without TLS, do not say.
    let is_document =
        header("sec-fetch-dest").is_none_or(|what| matches!(what, "document" | "iframe" | "frame"));
    reads && accepts && is_document
}

/// The target without our mark; `None` if it has none.
fn without_mark(uri: &Uri) -> Option<Uri> {
    let query = uri.query()?;
    let is_mark = |pair: &&str| *pair == LAST_GOOD || pair.starts_with("hotbay-last-good=");
    query.split('&').find(is_mark)?;
    let rest: Vec<&str> = query.split('&').filter(|pair| !is_mark(pair)).collect();
    let target =
        if rest.is_empty() { uri.path().to_owned() } else { format!("{}?{}", uri.path(), rest.join("&")) };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use hotbay_api::{Digest, EntryKey, EntryReport, EntryState, LocalReport, Serving};

    use super::*;
    use crate::dev::standing::Obstacle;
    use crate::project::Said;
    use crate::run::Served;

    const BROWSER: &[(&str, &str)] = &[("accept", "text/html,*/*;q=0.8"), ("sec-fetch-dest", "document")];

    fn broken() -> Standing {
        let mut standing = Standing::default();
        standing.stopped(Obstacle::Code(Said::default()));
        standing
    }

    fn with_good(mut standing: Standing) -> Standing {
        let serving = Serving { revision: "1".into(), digest: Digest::of(b"1"), fingerprint: String::new() };
        let entry = EntryReport {
            key: EntryKey::new("default", "m").unwrap(),
            sequence: None,
            state: EntryState::Active,
            wanted: "1".into(),
            serving: Some(serving),
            failure: None,
            notice: None,
        };
        let own = Served::As { key: entry.key.clone(), refused: None };
        standing.told(&LocalReport { entries: vec![entry], ..LocalReport::default() }, &[own]);
        standing
    }

    fn asked(method: &str, target: &str, headers: &[(&str, &str)], standing: &Standing) -> Decision {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        decide(&request.body(()).unwrap(), standing)
    }

    #[test]
    fn only_who_looks_sees_the_page_while_something_good_serves() {
        let standing = with_good(broken());
        assert_eq!(asked("GET", "/a", BROWSER, &standing), Decision::Page);
        assert_eq!(asked("GET", "/a", &[("accept", "text/html")], &standing), Decision::Page);
        let script = [("accept", "text/html"), ("sec-fetch-dest", "empty")];
        for (method, headers) in
            [("GET", &script[..]), ("GET", &[("accept", "*/*")]), ("GET", &[]), ("POST", BROWSER)]
        {
            assert_eq!(asked(method, "/a", headers, &standing), Decision::Pass, "{method} {headers:?}");
        }
        let mut good = Standing::default();
        good.built(Digest::of(b"1"));
        assert_eq!(asked("GET", "/a", BROWSER, &good), Decision::Page, "nothing serves yet");
        let mut good = with_good(good);
        assert_eq!(asked("GET", "/a", BROWSER, &good), Decision::Pass);
        good.read(Some("no YAML".to_owned()));
        assert_eq!(asked("GET", "/a", BROWSER, &good), Decision::Page);
        assert_eq!(asked("GET", "/a", &[], &good), Decision::Pass);
    }

    #[test]
    fn the_last_good_version_can_be_asked_for_and_does_not_see_how() {
        let standing = with_good(broken());
        for (target, seen) in [
            ("/a?hotbay-last-good", "/a"),
            ("/a?x=1&hotbay-last-good&y=%20", "/a?x=1&y=%20"),
            ("/a?hotbay-last-good=1", "/a"),
        ] {
            assert_eq!(asked("GET", target, BROWSER, &standing), Decision::PassAs(seen.parse().unwrap()));
        }
        assert_eq!(asked("GET", "/a?hotbay-last-good", BROWSER, &broken()), Decision::Page);
        assert_eq!(asked("GET", "/a?not-hotbay-last-good", &[], &standing), Decision::Pass);
    }

    #[test]
    fn while_nothing_was_ever_good_everybody_is_told() {
        for standing in [broken(), Standing::default()] {
            assert_eq!(asked("GET", "/a", BROWSER, &standing), Decision::Page);
            assert_eq!(asked("POST", "/a", &[], &standing), Decision::Words);
        }
        assert_eq!(asked("GET", "/.hotbay/dev/changed?7", &[], &broken()), Decision::Wait(7));
    }
}
