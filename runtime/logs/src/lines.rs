//! JSON lines.
//!
//! Owns one difference to tracing's own: what a module logs (target `module`) has its fields as JSON, in one object that no field of ours can be mistaken
//! for. tracing knows no nested values, so that they come here as text.

use std::fmt;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{Format, Json, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// What the loader logs for modules.
const MODULE: &str = "module";
/// The field that holds a JSON object as text.
const FIELDS: &str = "fields";

/// The form of a line.
pub(crate) struct Lines(pub Format<Json>);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'l> LookupSpan<'l>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut to: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if event.metadata().target() != MODULE {
            return self.0.format_event(context, to, event);
        }
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        let mut object = Object::default();
        event.record(&mut object);
        let Object(mut object) = object;
        object.insert("timestamp".to_owned(), timestamp.into());
        object.insert("level".to_owned(), event.metadata().level().as_str().into());
        object.insert("target".to_owned(), MODULE.into());
        writeln!(to, "{}", steady(&Value::Object(object).to_string()))
    }
}

/// JSON in which no character can steer a terminal or end a line: serde_json escapes those below U+0020 only, and a module's fields may hold others.
/// They can stand in strings alone, where an escape means the same.
pub fn steady(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
            text.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            text.push(c);
        }
    }
    text
}

/// An event's fields.
#[derive(Default)]
struct Object(Map<String, Value>);

impl Object {
    fn insert(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Object {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        let nested =
            if field.name() == FIELDS { serde_json::from_str::<Map<_, _>>(&text).ok() } else { None };
        match nested {
            Some(nested) => self.insert(field, nested),
            None => self.insert(field, text),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value);
    }
}
