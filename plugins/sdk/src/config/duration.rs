//! Lengths of time in a config, as Kubernetes users write them: `250ms`, `10s`, `1m30s`.
//!
//! Owns the text form, which is that of Gateway API (GEP-2257) and of the HandlerModule's own fields: one to four numbers of at most five digits,
//! each with a unit of h, m, s or ms. serde knows another form of [`Duration`], in two numbers, which no person writes.

use std::time::Duration;

/// As JSON.
pub(super) const PATTERN: &str = "\"^([0-9]{1,5}(h|m|s|ms)){1,4}$\"";
const MAX_PARTS: usize = 4;
const MAX_DIGITS: usize = 5;

/// What a text means; `None` if it is no duration.
const fn read(text: &str) -> Option<Duration> {
    let bytes = text.as_bytes();
    let (mut at, mut parts, mut millis) = (0, 0, 0_u64);
    while at < bytes.len() {
        let (begin, mut number) = (at, 0_u64);
        while at < bytes.len() && at - begin <= MAX_DIGITS && bytes[at].is_ascii_digit() {
            number = number * 10 + (bytes[at] - b'0') as u64;
            at += 1;
        }
        let Some((unit, length)) = unit(bytes, at) else { return None };
        if at == begin || at - begin > MAX_DIGITS || parts == MAX_PARTS {
            return None;
        }
        millis += number * unit;
        at += length;
        parts += 1;
    }
    if parts == 0 { None } else { Some(Duration::from_millis(millis)) }
}

/// The milliseconds of the unit at `at`, and its length.
const fn unit(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    if at >= bytes.len() {
        return None;
    }
    let is_followed_by_s = at + 1 < bytes.len() && bytes[at + 1] == b's';
    match bytes[at] {
        b'h' => Some((3_600_000, 1)),
        b'm' if is_followed_by_s => Some((1, 2)),
        b'm' => Some((60_000, 1)),
        b's' => Some((1000, 1)),
        _ => None,
    }
}

/// The value of `#[config(default = "10s")]`.
///
/// # Panics
/// While the author's crate is compiled, if it is no duration.
pub const fn duration(text: &str) -> Duration {
    match read(text) {
        Some(duration) => duration,
        None => panic!("this is no duration; write for example 250ms, 10s or 1m30s"),
    }
}

#[cfg(feature = "json")]
pub use reading::DurationText;
#[cfg(feature = "json")]
pub(super) use reading::{FORM, is_of_std, visit};

#[cfg(feature = "json")]
mod reading {
    use std::fmt;
    use std::ops::Deref;

    use serde::de::value::SeqDeserializer;
    use serde::de::{self, Deserialize, Deserializer, Visitor};

    use super::*;

    pub(in crate::config) const FORM: &str = "a duration, for example 250ms, 10s or 1m30s";

    /// Whether serde is about to read a [`Duration`] of the standard library.
    pub(in crate::config) fn is_of_std(name: &str, fields: &[&str]) -> bool {
        name == "Duration" && fields == ["secs", "nanos"]
    }

    /// Gives serde the two numbers that it wants for one.
    pub(in crate::config) fn visit<'de, V: Visitor<'de>, E: de::Error>(
        text: &str,
        visitor: V,
    ) -> Result<V::Value, E> {
        let duration = parse(text)?;
        visitor
            .visit_seq(SeqDeserializer::new([duration.as_secs(), duration.subsec_nanos().into()].into_iter()))
    }

    fn parse<E: de::Error>(text: &str) -> Result<Duration, E> {
        read(text).ok_or_else(|| E::custom(format_args!("is not {FORM}")))
    }

    /// A [`Duration`] that reads itself. In a config, `Duration` is enough, except within an enum that has `#[serde(tag)]` or
    /// `#[serde(untagged)]`: serde reads what is in there before it knows the types.
    ///
    /// ```
    /// use hotbay_sdk::{Config, ConfigError, DurationText, ModuleConfig};
    /// use serde::Deserialize;
    ///
    /// #[derive(Deserialize, ModuleConfig)]
    /// #[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
    /// enum Store { Memory, Redis { url: String, timeout: DurationText } }
    ///
    /// let config = Config::new("prod/shop", r#"{"kind": "redis", "url": "redis://a", "timeout": "1m30s"}"#);
    /// let Store::Redis { timeout, .. } = config.parse()? else { panic!() };
    /// assert_eq!(timeout.as_secs(), 90);
    /// # Ok::<(), ConfigError>(())
    /// ```
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct DurationText(pub Duration);

    impl Deref for DurationText {
        type Target = Duration;

        fn deref(&self) -> &Duration {
            &self.0
        }
    }

    impl From<Duration> for DurationText {
        fn from(duration: Duration) -> Self {
            Self(duration)
        }
    }

    impl From<DurationText> for Duration {
        fn from(DurationText(duration): DurationText) -> Self {
            duration
        }
    }

    impl<'de> Deserialize<'de> for DurationText {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            from.deserialize_str(Text)
        }
    }

    struct Text;

    impl Visitor<'_> for Text {
        type Value = DurationText;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(FORM)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<DurationText, E> {
            parse(text).map(DurationText)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_as_long_as_they_say() {
        let cases = [
            ("0s", 0),
            ("250ms", 250),
            ("10s", 10_000),
            ("1m30s", 90_000),
            ("2h", 7_200_000),
            ("1m1ms", 60_001),
        ];
        for (text, millis) in cases {
            assert_eq!(read(text), Some(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(read("99999h99999h99999h99999h"), Some(Duration::from_secs(399_996 * 3600)));
    }

    #[test]
    fn other_texts_are_no_durations() {
        for text in
            ["", "10", "s", "1d", "-1s", "1.5s", "123456s", "1h1m1s1ms1s", "10 s", "1é", "1sm", "10s\n"]
        {
            assert_eq!(read(text), None, "{text:?}");
        }
    }
}
