//! A length of time as Kubernetes users write it: `10s`, `1m30s`, `500ms`.
//!
//! Owns the text form, which is that of Gateway API (GEP-2257): one to four numbers of at most five digits, each with a unit
//! of h, m, s or ms. Knows no clock.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A [`Duration`] that reads and writes as Gateway API's text form. Precision is one millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DurationText(pub Duration);

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a duration; write for example 500ms, 10s, 1m30s or 2h")]
pub struct DurationError(String);

/// The pattern of GEP-2257, for schemas.
pub(crate) const PATTERN: &str = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$";

impl DurationText {
    /// A duration of whole seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// The pattern that a schema may use to describe the text form.
    pub const fn pattern() -> &'static str {
        PATTERN
    }
}

impl FromStr for DurationText {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let refuse = || DurationError(text.chars().take(40).collect());
        let mut rest = text;
        let mut total = Duration::ZERO;
        let mut parts = 0;
        while !rest.is_empty() && parts < 4 {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            if digits == 0 || digits > 5 {
                return Err(refuse());
            }
            let number: u64 = rest[..digits].parse().map_err(|_| refuse())?;
            rest = &rest[digits..];
            let (unit_ms, length) = unit(rest).ok_or_else(refuse)?;
            rest = &rest[length..];
            total += Duration::from_millis(number * unit_ms);
            parts += 1;
        }
        if parts == 0 || !rest.is_empty() { Err(refuse()) } else { Ok(Self(total)) }
    }
}

/// The unit at the start of `rest`: its milliseconds, and how many bytes it takes. `ms` is tried before `m`.
fn unit(rest: &str) -> Option<(u64, usize)> {
    [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1000)]
        .into_iter()
        .find(|(name, _)| rest.starts_with(name))
        .map(|(name, unit_ms)| (unit_ms, name.len()))
}

impl fmt::Display for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.0.as_millis();
        if left == 0 {
            return f.write_str("0s");
        }
        for (name, unit_ms) in [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
            if left >= unit_ms {
                write!(f, "{}{name}", left / unit_ms)?;
                left %= unit_ms;
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for DurationText {
    type Error = DurationError;

    fn try_from(text: String) -> Result<Self, DurationError> {
        text.parse()
    }
}

impl From<DurationText> for String {
    fn from(duration: DurationText) -> Self {
        duration.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_back() {
        for (text, ms) in [("0s", 0), ("500ms", 500), ("10s", 10_000), ("1m30s", 90_000), ("2h", 7_200_000)] {
            let duration: DurationText = text.parse().unwrap();
            assert_eq!(duration.0, Duration::from_millis(ms), "{text}");
            assert_eq!(duration.to_string(), text);
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for text in ["", "10", "s", "1d", "-1s", "1.5s", "123456s", "1h1m1s1ms1s", "10 s", "1é"] {
            assert!(text.parse::<DurationText>().is_err(), "{text:?} must be refused");
        }
    }
}
