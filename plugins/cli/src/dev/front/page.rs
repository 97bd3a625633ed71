//! What is answered instead of a module.
//!
//! Owns the words and the looks. All that others said is escaped.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Response, StatusCode, Uri, header};

use super::Body;
use super::decide::{CHANGED, LAST_GOOD};
use crate::ansi::{self, escaped};
use crate::dev::standing::{Obstacle, Standing, Verdict};

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

const NOT_SERVED: &str = "It compiles, but it does not serve";

fn words_of(standing: &Standing) -> Words {
    let words = |title, text: &str, remedy: &str| Words {
        title,
        mark: String::new(),
        text: format!("{text}\n"),
        remedy: remedy.to_owned(),
    };
    match (&standing.verdict, &standing.yaml) {
        (Verdict::Good, Some(wrong)) => words(
            "Its YAML cannot be read",
            wrong,
            "What it asked for before is served. Correct it and save.",
        ),
        (Verdict::Building | Verdict::Good, _) => words(
            "It is being built",
            "The first build is under way; this page shows the module when it serves.",
            "",
        ),
        (Verdict::Stopped(Obstacle::Code(said)), _) => Words {
            title: "It does not compile",
            mark: said.first.clone().unwrap_or_default(),
            text: said.text.clone(),
            remedy: "Correct it and save.".to_owned(),
        },
        (Verdict::Stopped(Obstacle::Linking(said)), _) => Words {
            title: "It does not link",
            mark: said.first.clone().unwrap_or_default(),
            text: said.text.clone(),
            remedy: "Correct the name, or link the library that has it, and save any source.".to_owned(),
        },
        (Verdict::Stopped(Obstacle::Build(why)), _) => {
            words("It cannot be built", why, "When that is mended, save any source: it is built again.")
        }
        // The words say what to do.
        (Verdict::Stopped(Obstacle::HandOver(why)), _) => words(NOT_SERVED, why, ""),
        (Verdict::Failed(trouble), _) => Words {
            mark: trouble.reason.to_string(),
            ..words(
                NOT_SERVED,
                &trouble.message,
                trouble.reason.explanation().map_or("", |known| known.remedy),
            )
        },
    }
}

fn status(standing: &Standing) -> StatusCode {
    match standing.verdict {
        Verdict::Building => StatusCode::SERVICE_UNAVAILABLE,
        Verdict::Good | Verdict::Stopped(_) | Verdict::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
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
        standing.stopped(Obstacle::Code(Said {
            text: said,
            first: Some("src/<a>.rs:1:2".into()),
            ..Said::default()
        }));
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
