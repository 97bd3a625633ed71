//! What a series is called.
//!
//! Owns the rules for names, labels and bounds, which engine and keeper both hold a module to, and their form as one text. Pure.

use std::collections::BTreeSet;

const MAX_NAME: usize = 128;
const MAX_HELP: usize = 256;
const MAX_LABELS: usize = 16;
const MAX_VALUE: usize = 256;
/// Upper bounds of a histogram.
pub(super) const MAX_BOUNDS: usize = 64;
/// Of a series' text.
pub(super) const MAX_TEXT: usize = 1024;
/// No character of a name, a help or a label may be this, nor any other control character.
const BETWEEN: char = '\0';
/// Families that are the runtime's own.
const OURS: [&str; 2] = ["hotbay_", "process_"];

/// What a series measures with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Only grows.
    Counter = 1,
    /// Goes up and down.
    Gauge = 2,
    /// Counts by upper bounds.
    Histogram = 3,
}

/// A series: a family, and the labels that tell it from its brothers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesSpec {
    /// The family's name, as it appears.
    pub family: String,
    /// Of the family.
    pub kind: Kind,
    /// Upper bounds of a histogram as bits, so that a spec can be looked up by.
    bounds: Vec<u64>,
    /// Sorted by name.
    pub labels: Vec<(String, String)>,
    /// What people read.
    pub help: String,
}

/// Why a module's series is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// It breaks a rule.
    #[error("{0}")]
    Malformed(&'static str),
    /// It is within the rules and too large.
    #[error("{0}")]
    TooLarge(&'static str),
}

use SpecError::{Malformed, TooLarge};

impl Kind {
    /// By its number in the ABI.
    pub fn from_number(number: u64) -> Option<Self> {
        [Self::Counter, Self::Gauge, Self::Histogram].into_iter().find(|kind| *kind as u64 == number)
    }

    /// Prometheus' word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl SeriesSpec {
    /// A series, if all about it is as Prometheus wants it.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub fn new(
        kind: Kind,
        family: &str,
        help: &str,
        labels: Vec<(String, String)>,
        bounds: &[f64],
    ) -> Result<Self, SpecError> {
        check_family(family)?;
        if help.len() > MAX_HELP {
            return Err(TooLarge("the help is longer than 256 bytes"));
        }
        if help.chars().any(char::is_control) {
            return Err(Malformed("the help holds control characters"));
        }
        let labels = checked_labels(kind, labels)?;
        let bounds = checked_bounds(kind, bounds)?;
        let spec = Self { family: family.to_owned(), kind, bounds, labels, help: help.to_owned() };
        if spec.text().len() > MAX_TEXT {
            return Err(TooLarge("name, help and labels together are longer than 1,024 bytes"));
        }
        Ok(spec)
    }

    /// Upper bounds of a histogram.
    pub fn bounds(&self) -> Vec<f64> {
        self.bounds.iter().copied().map(f64::from_bits).collect()
    }

    /// The names that its samples have: no other family may have one of them.
    pub fn sample_names(&self) -> Vec<String> {
        let mut names = vec![self.family.clone()];
        if self.kind == Kind::Histogram {
            names.extend(["_bucket", "_sum", "_count"].map(|suffix| format!("{}{suffix}", self.family)));
        }
        names
    }

    /// All of it but kind and bounds.
    pub(super) fn text(&self) -> String {
        let labels = self.labels.iter().flat_map(|(name, value)| [name.as_str(), value]);
        let parts: Vec<&str> = [self.family.as_str(), &self.help].into_iter().chain(labels).collect();
        parts.join(&String::from(BETWEEN))
    }

    /// The other way; `None` if it is nothing that [`Self::text`] could have made.
    pub(super) fn from_text(kind: Kind, text: &str, bounds: &[f64]) -> Option<Self> {
        let mut parts = text.split(BETWEEN).map(str::to_owned);
        let (family, help) = (parts.next()?, parts.next()?);
        let mut labels = Vec::new();
        while let Some(name) = parts.next() {
            labels.push((name, parts.next()?));
        }
        Self::new(kind, &family, &help, labels, bounds).ok()
    }
}

fn check_family(family: &str) -> Result<(), SpecError> {
    if !is_name(family, |byte| byte == b'_' || byte == b':') {
        return Err(Malformed("a family is named [a-zA-Z_:][a-zA-Z0-9_:]*"));
    }
    if OURS.iter().any(|prefix| family.starts_with(prefix)) {
        return Err(Malformed("families named hotbay_* and process_* are the runtime's own"));
    }
    if family.len() > MAX_NAME { Err(TooLarge("the family's name is longer than 128 bytes")) } else { Ok(()) }
}

fn checked_labels(kind: Kind, mut labels: Vec<(String, String)>) -> Result<Vec<(String, String)>, SpecError> {
    if labels.len() > MAX_LABELS {
        return Err(TooLarge("a series has at most 16 labels"));
    }
    for (name, value) in &labels {
        if !is_name(name, |byte| byte == b'_') || name.starts_with("__") {
            return Err(Malformed("a label is named [a-zA-Z_][a-zA-Z0-9_]* and does not begin with __"));
        }
        if name == "module" || (kind == Kind::Histogram && name == "le") {
            return Err(Malformed("the labels module and, of a histogram, le are set by the runtime"));
        }
        if value.chars().any(char::is_control) {
            return Err(Malformed("a label's value holds control characters"));
        }
        if name.len() > MAX_NAME || value.len() > MAX_VALUE {
            return Err(TooLarge("a label's name has at most 128 bytes, its value 256"));
        }
    }
    labels.sort_unstable();
    let names: BTreeSet<&str> = labels.iter().map(|(name, _)| name.as_str()).collect();
    if names.len() < labels.len() { Err(Malformed("a label is given twice")) } else { Ok(labels) }
}

fn checked_bounds(kind: Kind, bounds: &[f64]) -> Result<Vec<u64>, SpecError> {
    // The last bucket is there anyway.
    let bounds = bounds.strip_suffix(&[f64::INFINITY]).unwrap_or(bounds);
    if kind != Kind::Histogram && !bounds.is_empty() {
        return Err(Malformed("buckets are a histogram's only"));
    }
    if bounds.len() > MAX_BOUNDS {
        return Err(TooLarge("a histogram has at most 64 buckets"));
    }
    let rise = bounds.windows(2).all(|pair| pair[0] < pair[1]);
    if !rise || bounds.iter().any(|bound| !bound.is_finite()) {
        return Err(Malformed("buckets are finite numbers in ascending order"));
    }
    Ok(bounds.iter().map(|bound| bound.to_bits()).collect())
}

fn is_name(name: &str, other: fn(u8) -> bool) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || other(first))
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || other(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Case {
        kind: Kind,
        family: String,
        help: String,
        labels: Vec<(String, String)>,
        bounds: Vec<f64>,
    }

    fn label(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    fn made(change: impl FnOnce(&mut Case)) -> Result<SeriesSpec, SpecError> {
        let mut case = Case {
            kind: Kind::Histogram,
            family: "shop:orders_seconds".into(),
            help: "How long.".into(),
            labels: vec![label("kind", "book"), label("_a", "é \"quoted\"")],
            bounds: vec![-1.0, 0.5, f64::INFINITY],
        };
        change(&mut case);
        SeriesSpec::new(case.kind, &case.family, &case.help, case.labels, &case.bounds)
    }

    #[test]
    fn what_is_right_is_taken_and_comes_back_from_its_text() {
        let spec = made(|_| {}).unwrap();
        assert_eq!(spec.labels[0].0, "_a", "sorted, so that the order they are given in says nothing");
        assert_eq!(spec.bounds(), [-1.0, 0.5]);
        assert_eq!(SeriesSpec::from_text(spec.kind, &spec.text(), &spec.bounds()), Some(spec.clone()));
        assert_eq!(SeriesSpec::from_text(spec.kind, "a\0b\0c", &[]), None, "a label without a value");
        let empty = SeriesSpec::new(Kind::Counter, "a", "", vec![], &[]).unwrap();
        assert_eq!(SeriesSpec::from_text(Kind::Counter, &empty.text(), &[]), Some(empty));
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let malformed = |change: &dyn Fn(&mut Case)| {
            let refused = made(change);
            assert!(matches!(refused, Err(Malformed(_))), "{refused:?}");
        };
        for family in ["", "1a", "a-b", "a b", "é", "hotbay_x", "process_x", "a\n# TYPE"] {
            malformed(&|case| case.family = family.into());
        }
        malformed(&|case| case.help = "a\n# TYPE b counter".into());
        for name in ["", "module", "le", "__a", "a:b", "1"] {
            malformed(&|case| case.labels.push(label(name, "x")));
        }
        malformed(&|case| case.labels.push(label("kind", "again")));
        malformed(&|case| case.labels.push(label("b", "x\0y")));
        malformed(&|case| case.kind = Kind::Counter);
        for bounds in [vec![1.0, 1.0], vec![2.0, 1.0], vec![f64::NAN], vec![f64::NEG_INFINITY, 1.0]] {
            malformed(&|case| case.bounds.clone_from(&bounds));
        }
    }

    #[test]
    fn what_is_too_much_is_refused_as_that() {
        let too_large = |change: &dyn Fn(&mut Case)| {
            let refused = made(change);
            assert!(matches!(refused, Err(TooLarge(_))), "{refused:?}");
        };
        too_large(&|case| case.family = "x".repeat(MAX_NAME + 1));
        too_large(&|case| case.help = "x".repeat(MAX_HELP + 1));
        too_large(&|case| case.labels = vec![label("a", &"x".repeat(MAX_VALUE + 1))]);
        too_large(&|case| case.labels = (0..=MAX_LABELS).map(|n| label(&format!("l{n}"), "")).collect());
        too_large(&|case| case.labels = (0..5).map(|n| label(&format!("l{n}"), &"x".repeat(250))).collect());
        too_large(&|case| case.bounds = (0..=MAX_BOUNDS).map(|n| n as f64).collect());
    }
}
