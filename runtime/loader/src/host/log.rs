//! What modules log.
//!
//! Owns the line: whose it is, of which request, and that nothing a module says can forge another one or get lost. Must not decide what a line looks
//! like: `hotbay-logs` writes it.

use std::sync::atomic::{AtomicI32, Ordering};

use hotbay_abi as abi;
use hotbay_abi::{Handle, Str};
use hotbay_logs::steady;
use serde_json::{Map, Value};

use super::{guarded, info, text};
use crate::handle;
use crate::marks::{module_name, row_here};

/// Most bytes of a line's parts.
const MAX_TARGET: usize = 256;
const MAX_MESSAGE: usize = 16 * 1024;
const MAX_FIELDS: usize = 16 * 1024;

/// The most detailed level that modules may log at: 1 error … 5 trace, 0 none.
pub(super) static LEVEL: AtomicI32 = AtomicI32::new(3);

/// Has modules log what is kept of it at this moment, and no more: what is not wanted is not even formatted. To be called when logging has begun, and
/// each time that what is logged has changed.
pub fn follow_log_level() {
    // As `Line::write` has them: a filter for one of our own crates costs modules nothing.
    let wanted = [
        tracing::enabled!(target: "module", tracing::Level::TRACE),
        tracing::enabled!(target: "module", tracing::Level::DEBUG),
        tracing::enabled!(target: "module", tracing::Level::INFO),
        tracing::enabled!(target: "module", tracing::Level::WARN),
        tracing::enabled!(target: "module", tracing::Level::ERROR),
    ];
    let level = wanted.iter().zip([5, 4, 3, 2, 1]).find_map(|(wanted, level)| wanted.then_some(level));
    LEVEL.store(level.unwrap_or(0), Ordering::Relaxed);
}

pub(super) unsafe extern "C" fn log(any: Handle, level: i32, target: Str, message: Str, fields: Str) {
    if level > LEVEL.load(Ordering::Relaxed) {
        return;
    }
    // On a thread that is ending, tracing's own thread-local buffer may be gone already, and says so by a panic.
    guarded(|| {
        // SAFETY: the texts are borrowed for this call.
        unsafe { Line::new(any, target, message, fields) }.write(level);
        abi::READY
    });
}

/// A line before it is written.
#[derive(Default)]
struct Line {
    module: String,
    request_id: Option<String>,
    trace_id: Option<String>,
    origin: String,
    message: String,
    /// A JSON object.
    fields: Option<String>,
}

/// An event's level is part of its static description, so each has its own.
macro_rules! event {
    ($level:ident, $line:expr) => {
        tracing::$level!(
            target: "module",
            module = $line.module,
            request_id = $line.request_id.as_deref(),
            trace_id = $line.trace_id.as_deref(),
            origin = $line.origin,
            fields = $line.fields.as_deref().map(tracing::field::display),
            "{}",
            $line.message
        )
    };
}

impl Line {
    /// # Safety
    /// The texts must be valid for this call.
    unsafe fn new(any: Handle, target: Str, message: Str, given: Str) -> Self {
        // SAFETY: the caller promises it.
        let given = unsafe { given.get() };
        // SAFETY: as above.
        let (origin, message) = unsafe { (text(target, MAX_TARGET), text(message, MAX_MESSAGE)) };
        // Whose it is. Short copies only: the slot's lock is held.
        let known = handle::with(any, |state| {
            let frame = state.frame();
            let request_id = frame.map(|frame| info::request_id(frame, any));
            (state.mark.row, request_id, frame.and_then(info::trace_id).map(str::to_owned))
        });
        // Without a living handle it is the module whose code this thread is in: it is being loaded, destroyed, or drops a call.
        let (row, request_id, trace_id) =
            known.unwrap_or_else(|| (row_here().unwrap_or_default(), None, None));
        let module = module_name(row).unwrap_or_default();
        Self { module, request_id, trace_id, origin, message, fields: given.and_then(fields) }
    }

    fn write(&self, level: i32) {
        match level {
            ..=1 => event!(error, self),
            2 => event!(warn, self),
            3 => event!(info, self),
            4 => event!(debug, self),
            _ => event!(trace, self),
        }
    }
}

/// A module's fields as one JSON object without control characters; `None` if it gave none. What is no object, or too large, is kept as text.
fn fields(given: &[u8]) -> Option<String> {
    if given.is_empty() {
        return None;
    }
    let fits = given.len() <= MAX_FIELDS;
    let parsed = if fits { serde_json::from_slice::<Map<String, Value>>(given).ok() } else { None };
    let object = parsed.unwrap_or_else(|| {
        let why = if fits { "malformed" } else { "too_long" };
        let kept = given.get(..MAX_FIELDS).unwrap_or(given);
        Map::from_iter([(why.to_owned(), Value::String(String::from_utf8_lossy(kept).into_owned()))])
    });
    if object.is_empty() {
        return None;
    }
    Some(steady(&Value::Object(object).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(given: &str) -> String {
        fields(given.as_bytes()).unwrap_or_default()
    }

    #[test]
    fn an_object_stays_one_and_anything_else_is_kept_as_text() {
        assert_eq!(
            kept(r#"{"user":7,"tags":["a"],"deep":{"x":null}}"#),
            r#"{"deep":{"x":null},"tags":["a"],"user":7}"#
        );
        assert_eq!((kept(""), kept("{}")), (String::new(), String::new()));
        for wrong in ["{", "[1]", "7", "null", "{} {}", r#"{"a":1}{"b":2}"#] {
            let text = serde_json::from_str::<Value>(&kept(wrong)).unwrap();
            assert_eq!(text["malformed"], wrong);
        }
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(5000), "]".repeat(5000));
        assert!(kept(&deep).starts_with(r#"{"malformed":"#), "a nested one must not end the host");
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(MAX_FIELDS));
        assert!(kept(&long).starts_with(r#"{"too_long":"#) && kept(&long).len() < MAX_FIELDS + 64);
    }

    #[test]
    fn nothing_in_it_can_end_a_line_or_steer_a_terminal() {
        for wild in
            ["{\"a\":\"x\\ny\\u001b[2J\u{9b}2J\u{7f}\u{2028}\"}", "\n{\"level\":\"ERROR\"}\u{1b}[2J\r"]
        {
            let line = kept(wild);
            assert!(!line.chars().any(|c| c.is_control() || c == '\u{2028}'), "{line:?}");
            assert!(serde_json::from_str::<Map<String, Value>>(&line).is_ok(), "{line}");
        }
        let value: Value = serde_json::from_str(&kept("{\"a\":\"\u{9b}\\n\"}")).unwrap();
        assert_eq!(value["a"], "\u{9b}\n", "what a reader of the JSON gets is what the module said");
    }
}
