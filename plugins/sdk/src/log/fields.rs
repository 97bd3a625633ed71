//! The fields of a line, as the JSON object that the host takes.
//!
//! Owns just as much of JSON as that needs: a module without the feature `json` carries no serde.

use std::borrow::Cow;
use std::fmt::{Debug, Display, Write as _};

/// A field's value. Nothing of it is formatted for a line that nobody reads.
#[derive(Clone, Copy)]
pub enum Value<'v> {
    /// A number.
    Unsigned(u64),
    /// A number.
    Signed(i64),
    /// A number; as text if it is none.
    Float(f64),
    /// A truth.
    Bool(bool),
    /// A text.
    Text(&'v str),
    /// A text, by `{}`.
    Display(&'v dyn Display),
    /// A text, by `{:?}`.
    Debug(&'v dyn Debug),
}

macro_rules! from {
    ($($variant:ident: $($from:ty),*;)*) => {$($(
        impl From<$from> for Value<'_> {
            fn from(value: $from) -> Self {
                Self::$variant(value.into())
            }
        }
    )*)*};
}

from! {
    Unsigned: u8, u16, u32, u64;
    Signed: i8, i16, i32, i64;
    Float: f32, f64;
    Bool: bool;
}

impl From<usize> for Value<'_> {
    fn from(value: usize) -> Self {
        // LP64 only, as the ABI's header says.
        Self::Unsigned(value as u64)
    }
}

impl<'v> From<&'v str> for Value<'v> {
    fn from(value: &'v str) -> Self {
        Self::Text(value)
    }
}

impl<'v> From<&'v String> for Value<'v> {
    fn from(value: &'v String) -> Self {
        Self::Text(value)
    }
}

impl Value<'_> {
    pub(crate) fn to_json(self) -> String {
        match self {
            Self::Unsigned(value) => value.to_string(),
            Self::Signed(value) => value.to_string(),
            Self::Float(value) if value.is_finite() => value.to_string(),
            Self::Float(value) => quoted(&value.to_string()),
            Self::Bool(value) => value.to_string(),
            Self::Text(text) => quoted(text),
            Self::Display(value) => quoted(&value.to_string()),
            Self::Debug(value) => quoted(&format!("{value:?}")),
        }
    }
}

/// Names and values, the values as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields(Vec<(Cow<'static, str>, String)>);

impl Fields {
    /// Sets a field; a name stands there once, with its last value.
    pub fn set<'n>(&mut self, name: impl Into<Cow<'n, str>>, json: String) {
        let name = name.into();
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, value)) => *value = json,
            None => self.0.push((Cow::Owned(name.into_owned()), json)),
        }
    }

    /// Sets all of another's.
    #[cfg_attr(not(feature = "tracing"), expect(dead_code, reason = "only spans have fields of their own"))]
    pub fn set_all(&mut self, other: &Self) {
        other.0.iter().for_each(|(name, json)| self.set(name.as_ref(), json.clone()));
    }

    /// Whether there is a field of this name.
    #[cfg_attr(not(feature = "tracing"), expect(dead_code, reason = "as above"))]
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// An object; empty if there are none.
    pub fn to_json(&self) -> String {
        let pairs: Vec<String> =
            self.0.iter().map(|(name, json)| format!("{}:{json}", quoted(name))).collect();
        if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) }
    }
}

/// A JSON string.
pub(crate) fn quoted(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            '\n' => json.push_str("\\n"),
            c if c < ' ' => {
                // Writing to a String cannot fail.
                let _ = write!(json, "\\u{:04x}", u32::from(c));
            }
            c => json.push(c),
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_kind_and_a_name_stands_there_once() {
        let mut fields = Fields::default();
        assert_eq!(fields.to_json(), "");
        let given: [(&str, Value<'_>); 9] = [
            ("a", 7_u8.into()),
            ("b", (-7).into()),
            ("c", 0.5.into()),
            ("d", f64::NAN.into()),
            ("e", true.into()),
            ("f \"\\", "x\ny\u{1}é".into()),
            ("g", Value::Display(&1)),
            ("h", Value::Debug(&"q")),
            ("a", 8_usize.into()),
        ];
        given.iter().for_each(|(name, value)| fields.set(*name, value.to_json()));
        let json = fields.to_json();
        let expected = serde_json::json!({
            "a": 8, "b": -7, "c": 0.5, "d": "NaN", "e": true, "f \"\\": "x\ny\u{1}é", "g": "1", "h": "\"q\"",
        });
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap(), expected, "{json}");
        assert_eq!(json.matches("\"a\":").count(), 1);
    }
}
