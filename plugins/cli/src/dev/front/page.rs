//! What is answered instead of a module.
//!
//! Owns the words and the looks. All that others said is escaped.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Response, StatusCode, Uri, header};

use super::Body;
use super::decide::{CHANGED, LAST_GOOD};
use crate::ansi::{self, escaped};
use crate::dev::standing::{Standing, Verdict};

const TEMPLATE: &str = include_str!("page.html");

/// What is wrong, in parts.
struct Words {
    title: &'static str,
    /// Where, or why in one word.
    mark: String,
    /// What the compiler or the runtime says, with a terminal's colours.
    text: String,
    remedy: String,
}

fn words_of(standing: &Standing) -> Words {
    match &standing.verdict {
        Verdict::Building | Verdict::Good => Words {
            title: "It is being built",
            mark: String::new(),
            text: "The first build is under way; this page shows the module when it is done.\n".to_owned(),
            remedy: String::new(),
        },
        Verdict::Refused(said) => Words {
            title: "It does not compile",
            mark: said.place.clone().unwrap_or_default(),
            text: said.text.clone(),
            remedy: "Correct it and save.".to_owned(),
        },
        Verdict::Failed(trouble) => Words {
            title: "It compiles, but it does not serve",
            mark: trouble.reason.to_string(),
            text: format!("{}\n", trouble.message),
            remedy: trouble.reason.explanation().map_or("", |known| known.remedy).to_owned(),
        },
    }
}

fn status(standing: &Standing) -> StatusCode {
    match standing.verdict {
        Verdict::Building | Verdict::Good => StatusCode::SERVICE_UNAVAILABLE,
        Verdict::Refused(_) | Verdict::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// For people: loads itself again when something has changed.
pub(super) fn html(standing: &Standing, uri: &Uri) -> Response<Body> {
    let Words { title, mark, text, remedy } = words_of(standing);
    let query = uri.query().map(|query| format!("{query}&")).unwrap_or_default();
    let last_good = format!("{}?{query}{LAST_GOOD}", uri.path());
    let meanwhile = if standing.has_good {
        format!(
            "The last good version serves on: <a href=\"{}\">show it</a>. Programs get it all the time.",
            escaped(&last_good)
        )
    } else {
        "Nothing has served yet.".to_owned()
    };
    let page = TEMPLATE
        .replace("{{title}}", title)
        .replace("{{changed}}", &format!("{CHANGED}?{}", standing.generation))
        .replace("{{meanwhile}}", &meanwhile)
        .replace("{{mark}}", &escaped(&mark))
        .replace("{{remedy}}", &escaped(&remedy))
        // Last: it may hold anything.
        .replace("{{text}}", &ansi::html(&text));
    respond(status(standing), "text/html; charset=utf-8", page)
}

/// For programs.
pub(super) fn words(standing: &Standing) -> Response<Body> {
    let Words { title, mark, text, remedy } = words_of(standing);
    let said = format!("hotbay dev: {title} {mark}\n\n{}\n{remedy}\n", ansi::plain(&text));
    respond(status(standing), "text/plain; charset=utf-8", said)
}

/// For a page that waits: whether it is to load itself again.
pub(super) fn changed(is_new: bool) -> Response<Body> {
    let status = if is_new { StatusCode::OK } else { StatusCode::NO_CONTENT };
    respond(status, "text/plain; charset=utf-8", String::new())
}

/// There is no engine, or none any more.
pub(super) fn unreachable(error: &anyhow::Error) -> Response<Body> {
    let said = format!("hotbay dev: {error:#}\n");
    respond(StatusCode::SERVICE_UNAVAILABLE, "text/plain; charset=utf-8", said)
}

fn respond(status: StatusCode, kind: &'static str, text: String) -> Response<Body> {
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::Said;

    async fn text(response: Response<Body>) -> String {
        let body = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn what_is_quoted_stays_text() {
        let mut standing = Standing::default();
        let said = "\x1b[1merror\x1b[0m: <script>{{title}}</script>".to_owned();
        standing.refused(Said { text: said, place: Some("src/<a>.rs:1:2".into()) });
        let page = html(&standing, &"/a?b=\"c".replace('"', "%22").parse().unwrap());
        assert_eq!(page.status(), 500);
        let page = text(page).await;
        assert!(
            page.contains("<span class=\"b\">error</span>: &lt;script&gt;{{title}}&lt;/script&gt;"),
            "{page}"
        );
        assert!(page.contains("src/&lt;a&gt;.rs:1:2") && page.contains("Nothing has served yet"), "{page}");
        let plain = text(words(&standing)).await;
        assert!(plain.contains("It does not compile src/<a>.rs:1:2\n\nerror: <script>"), "{plain}");
    }
}
