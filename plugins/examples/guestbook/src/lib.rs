//! A Hotbay module that keeps a guest book in memory, and shows what a handler may take and return.
//!
//! ```console
//! $ cargo build --release -p guestbook
//! $ hotbay run target/release/libguestbook.so
//! $ curl -H 'content-type: application/json' -d '{"name": "Ada", "text": "hello"}' http://127.0.0.1:8880/guests
//! {"id":0,"name":"Ada","text":"hello"}
//! $ curl http://127.0.0.1:8880/guests/0
//! {"id":0,"name":"Ada","text":"hello"}
//! $ curl -H 'content-type: application/json' -d '{"name": 5}' http://127.0.0.1:8880/guests
//! the JSON does not fit: name: invalid type: integer `5`, expected a string at line 1 column 10
//! ```
//! Its config: `title`, `maxGuests`, and the `token` of those who may delete; without one, nobody may. Each instance begins with an empty book.

use hotbay_sdk::extract::{Bearer, Header};
use hotbay_sdk::{
    ConfigError, Form, Html, IntoResponse, Json, ModuleConfig, Path, Query, Redirect, Rejection, Result,
    Settings, State, StatusCode, handler, log, module,
};
use serde::Deserialize;

mod about;
mod book;
#[cfg(test)]
mod tests;

use book::{Book, Entry, Guest};

/// The module's config.
#[derive(Debug, Deserialize, ModuleConfig)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rules {
    /// What stands above the page.
    #[serde(default = "Rules::usual_title")]
    title: String,
    /// How many guests there is room for.
    #[serde(default = "Rules::usual_guests")]
    max_guests: usize,
    /// Who has it may delete.
    #[serde(default)]
    token: Option<String>,
}

impl Rules {
    fn usual_title() -> String {
        "Guests".to_owned()
    }

    fn usual_guests() -> usize {
        100
    }
}

/// Runs once for each config, before the first request.
fn open(rules: Rules) -> Result<Book, ConfigError> {
    if rules.max_guests == 0 {
        return Err(ConfigError::at("maxGuests", "must be at least 1"));
    }
    Ok(Book::new(rules.max_guests))
}

/// Runs when the instance has no call left.
async fn close(book: &Book) {
    log::info(format_args!("the book closes with {} guests", book.len()));
}

/// Which guests to list.
#[derive(Debug, Default, Deserialize)]
struct Filter {
    /// Those whose name begins so.
    prefix: Option<String>,
    /// These alone; may be given more than once.
    #[serde(default)]
    id: Vec<usize>,
}

/// Lists guests.
#[handler(GET, "/guests")]
fn list(Query(filter): Query<Filter>, book: &Book) -> Json<Vec<Guest>> {
    let prefix = filter.prefix.unwrap_or_default();
    let wanted = |guest: &Guest| {
        guest.entry.name.starts_with(&prefix) && (filter.id.is_empty() || filter.id.contains(&guest.id))
    };
    Json(book.guests().into_iter().filter(wanted).collect())
}

/// Signs the book.
#[handler(POST, "/guests")]
fn sign(book: &Book, Json(entry): Json<Entry>) -> Result<impl IntoResponse, Rejection> {
    let guest = book.sign(entry)?;
    let location = format!("/guests/{}", guest.id);
    Ok((StatusCode::CREATED, [("location", location)], Json(guest)))
}

/// Signs the book from a page.
#[handler(POST, "/guests/form")]
async fn sign_form(State(book): State<'_, Book>, Form(entry): Form<Entry>) -> Result<Redirect, Rejection> {
    let guest = book.sign(entry)?;
    Ok(Redirect::to(format!("/guests/{}", guest.id)))
}

/// Shows a guest.
#[handler(GET, "/guests/{id}")]
fn show(Path(id): Path<usize>, book: &Book) -> Result<Json<Guest>, Rejection> {
    book.guest(id).map(Json)
}

/// What of a guest to show.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Part {
    Name,
    Text,
}

/// Shows a part of a guest.
#[handler(GET, "/guests/{id}/{part}")]
fn show_part(Path((id, part)): Path<(usize, Part)>, book: &Book) -> Result<String, Rejection> {
    let Guest { entry: Entry { name, text }, .. } = book.guest(id)?;
    Ok(match part {
        Part::Name => name,
        Part::Text => text,
    })
}

/// Takes a guest out, for those who have the token.
#[handler(DELETE, "/guests/{id}")]
fn remove(
    Header(bearer): Header<Bearer>,
    Path(id): Path<usize>,
    rules: Settings<Rules>,
    book: &Book,
) -> Result<StatusCode, Rejection> {
    if rules.token.as_deref() != Some(bearer.0) {
        return Err(Rejection::new(403, "this token may not delete"));
    }
    book.remove(id)?;
    Ok(StatusCode::NO_CONTENT)
}

/// The book as a page. It is said to take its time, so that it runs on the pool.
#[handler(GET, "/", blocking)]
fn page(book: &Book, rules: Settings<Rules>) -> Html<String> {
    let line =
        |guest: Guest| format!("<li>{}: {}</li>", escaped(&guest.entry.name), escaped(&guest.entry.text));
    let lines: String = book.guests().into_iter().map(line).collect();
    let title = escaped(&rules.title);
    Html(format!("<!doctype html><title>{title}</title><h1>{title}</h1><ul>{lines}</ul>\n"))
}

/// What a guest wrote must not become a part of the page.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

module! {
    handlers: [
        list, sign, sign_form, show, show_part, remove, page,
        about::whoami, about::count, about::shout, about::mood, about::motd,
    ],
    config: Rules,
    create: open,
    stop: async close,
}
