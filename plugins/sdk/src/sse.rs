//! Server-sent events.
//!
//! ```
//! use hotbay_sdk::sse::{self, Event};
//! use hotbay_sdk::{Response, handler};
//!
//! #[handler(GET, "/ticks")]
//! fn ticks() -> Response {
//!     let (sender, response) = sse::channel();
//!     // Somewhere that can await: sender.send(Event::data("tick")).await
//!     sender.finish();
//!     response
//! }
//!
//! let event = Event::data("two\nlines").event("note").id("7");
//! assert_eq!(event.to_string(), "event: note\nid: 7\ndata: two\ndata: lines\n\n");
//! ```
//!
//! Owns the format, and the comments that keep a connection alive. Must not decide when an event is sent.

use std::error::Error;
use std::fmt::{self, Display};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;

use crate::time::{Sleep, sleep};
use crate::{Body, Response, Sender};

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Whole lines of fields.
    fields: String,
    /// Whole lines of data, which come last.
    data: String,
}

impl Event {
    /// An event with data, of as many lines as the text has.
    pub fn data(text: impl AsRef<str>) -> Self {
        Self { data: lines("data", text.as_ref()), fields: String::new() }
    }

    /// Lines that no client shows: they keep a connection from being taken for dead.
    pub fn comment(text: impl AsRef<str>) -> Self {
        Self { data: lines("", text.as_ref()), fields: String::new() }
    }

    /// What kind of event it is. Line breaks in it become spaces.
    #[must_use]
    pub fn event(self, name: impl AsRef<str>) -> Self {
        self.field("event", name.as_ref())
    }

    /// What a client sends as `last-event-id` when it comes back. Line breaks in it become spaces.
    #[must_use]
    pub fn id(self, id: impl AsRef<str>) -> Self {
        self.field("id", id.as_ref())
    }

    /// How long a client waits before it comes back.
    #[must_use]
    pub fn retry(self, wait: Duration) -> Self {
        self.field("retry", &wait.as_millis().to_string())
    }

    fn field(mut self, field: &str, value: &str) -> Self {
        // NUL has clients ignore an id.
        let value = value.replace(['\r', '\n', '\0'], " ");
        self.fields += &format!("{field}: {value}\n");
        self
    }
}

/// A line of the text is a line of the event, whatever ends it: so a text cannot begin an event of its own.
fn lines(field: &str, text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    text.split('\n').map(|line| format!("{field}: {line}\n")).collect()
}

impl Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}{}", self.fields, self.data)
    }
}

impl From<Event> for Bytes {
    fn from(event: Event) -> Self {
        event.to_string().into()
    }
}

/// An answer of the events that a stream gives. An error cuts it, and the client comes back.
pub fn stream<S, E>(events: S) -> Response
where
    S: Stream<Item = Result<Event, E>> + Send + 'static,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    answer(Body::stream(events))
}

/// The same, with a comment whenever there was no event for so long.
pub fn stream_kept_alive<S, E>(events: S, every: Duration) -> Response
where
    S: Stream<Item = Result<Event, E>> + Send + 'static,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    answer(Body::stream(KeptAlive { events: Box::pin(events), every, pause: None }))
}

/// An answer of events, and the end that sends them.
pub fn channel() -> (Sender, Response) {
    let (sender, body) = Body::channel();
    (sender, answer(body))
}

fn answer(body: Body) -> Response {
    Response::status(200)
        .with_header("content-type", "text/event-stream")
        .with_header("cache-control", "no-cache")
        .with_body(body)
}

struct KeptAlive<S> {
    events: Pin<Box<S>>,
    every: Duration,
    /// Since the last event, or comment.
    pause: Option<Sleep>,
}

impl<S: Stream<Item = Result<Event, E>>, E> Stream for KeptAlive<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        if let Poll::Ready(event) = self.events.as_mut().poll_next(cx) {
            self.pause = None;
            return Poll::Ready(event);
        }
        let every = self.every;
        if Pin::new(self.pause.get_or_insert_with(|| sleep(every))).poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.pause = None;
        Poll::Ready(Some(Ok(Event::comment("keep-alive"))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_can_begin_an_event_of_its_own() {
        let event =
            Event::data("a\r\n\r\nevent: b\rc").event("x\ny").id("1\r2").retry(Duration::from_secs(2));
        let text = "event: x y\nid: 1 2\nretry: 2000\ndata: a\ndata: \ndata: event: b\ndata: c\n\n";
        assert_eq!(event.to_string(), text);
        assert_eq!(Event::comment("a\nb").to_string(), ": a\n: b\n\n");
    }
}
