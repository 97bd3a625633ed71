//! A number of bytes as Kubernetes users write it: `192Ki`, `64Mi`, `1000000`.
//!
//! Owns the text form: the whole-number part of a Kubernetes quantity, as a string or as a number. Fractions and exponents are
//! refused; nobody means half a byte.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A number of bytes; reads `64Mi`, `"1000"` or `1000`, and writes the shortest exact form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Form", into = "String")]
pub struct ByteSize(pub u64);

const PATTERN: &str = "^[0-9]{1,15}(k|M|G|Ki|Mi|Gi)?$";

const UNITS: [(&str, u64); 6] =
    [("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30), ("k", 1_000), ("M", 1_000_000), ("G", 1_000_000_000)];

/// Why a text is no number of bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a number of bytes; write for example 192Ki, 64Mi or 1000000")]
pub struct ByteSizeError(String);

#[derive(Deserialize)]
#[serde(untagged)]
enum Form {
    Number(u64),
    Text(String),
}

impl ByteSize {
    /// A size of `count` KiB.
    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    /// A size of `count` MiB.
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }
}

// By hand, because Kubernetes wants a value of two types without the type that schemars would write.
impl JsonSchema for ByteSize {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"x-kubernetes-int-or-string": true, "pattern": PATTERN, "minimum": 0})
    }
}

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<Self, ByteSizeError> {
        let refuse = || ByteSizeError(text.chars().take(40).collect());
        let (digits, unit_bytes) = UNITS
            .into_iter()
            .find_map(|(unit, unit_bytes)| text.strip_suffix(unit).map(|digits| (digits, unit_bytes)))
            .unwrap_or((text, 1));
        if digits.is_empty() || digits.len() > 15 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(refuse());
        }
        let count: u64 = digits.parse().map_err(|_| refuse())?;
        count.checked_mul(unit_bytes).map(Self).ok_or_else(refuse)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = |(_, unit_bytes): &&(&str, u64)| self.0 > 0 && self.0.is_multiple_of(*unit_bytes);
        match UNITS[..3].iter().rev().find(exact) {
            Some((unit, unit_bytes)) => write!(f, "{}{unit}", self.0 / unit_bytes),
            None => write!(f, "{}", self.0),
        }
    }
}

impl TryFrom<Form> for ByteSize {
    type Error = ByteSizeError;

    fn try_from(form: Form) -> Result<Self, ByteSizeError> {
        match form {
            Form::Number(bytes) => Ok(Self(bytes)),
            Form::Text(text) => text.parse(),
        }
    }
}

impl From<ByteSize> for String {
    fn from(size: ByteSize) -> Self {
        size.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_parse_and_print_their_shortest_form() {
        for (text, bytes, printed) in
            [("192Ki", 196_608, "192Ki"), ("1024Ki", 1 << 20, "1Mi"), ("5k", 5000, "5000"), ("0", 0, "0")]
        {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!((size.0, size.to_string().as_str()), (bytes, printed), "{text}");
        }
        assert_eq!(serde_json::from_str::<ByteSize>("7").unwrap(), ByteSize(7));
        for text in ["", "Ki", "1.5Mi", "-1", "1e3", "9999999999999999", "999999999999999Gi"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text:?} must be refused");
        }
    }
}
