//! What was found, as people read it.
//!
//! Owns figures, gates and aims, and how they are written: the same lines to the terminal and into RESULTS.md. Must not measure.

use std::fmt::Write as _;

use crate::stats::Median;

/// Something measured.
#[derive(Clone, Debug)]
pub struct Figure {
    name: String,
    unit: &'static str,
    value: Value,
    wanted: Option<Wish>,
}

#[derive(Clone, Copy, Debug)]
enum Value {
    One(f64),
    Median(Median),
}

/// What a figure ought to be.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    limit: Limit,
    weight: Weight,
}

#[derive(Clone, Copy, Debug)]
enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

/// What a miss means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weight {
    /// The benchmark fails.
    Gate,
    /// It is told, with a profile.
    Aim,
}

/// A failing above this is a defect.
pub fn gate_at_most(limit: f64) -> Wish {
    Wish { limit: Limit::AtMost(limit), weight: Weight::Gate }
}

/// Should be no more.
pub fn aim_at_most(limit: f64) -> Wish {
    Wish { limit: Limit::AtMost(limit), weight: Weight::Aim }
}

/// Should be no less.
pub fn aim_at_least(limit: f64) -> Wish {
    Wish { limit: Limit::AtLeast(limit), weight: Weight::Aim }
}

impl Figure {
    /// A single number.
    pub fn one(name: impl Into<String>, unit: &'static str, value: f64) -> Self {
        Self { name: name.into(), unit, value: Value::One(value), wanted: None }
    }

    /// A median with its interval.
    pub fn median(name: impl Into<String>, unit: &'static str, median: Median) -> Self {
        Self { name: name.into(), unit, value: Value::Median(median), wanted: None }
    }

    /// What it ought to be.
    pub fn wanted(mut self, wanted: Wish) -> Self {
        self.wanted = Some(wanted);
        self
    }

    fn number(&self) -> f64 {
        match self.value {
            Value::One(value) | Value::Median(Median { value, .. }) => value,
        }
    }

    /// Whether it is what it ought to be; a figure that could not be had is not.
    fn hit(&self) -> Option<bool> {
        self.wanted.map(|wanted| match wanted.limit {
            Limit::AtMost(limit) => self.number() <= limit,
            Limit::AtLeast(limit) => self.number() >= limit,
        })
    }

    fn missed(&self, weight: Weight) -> bool {
        self.hit() == Some(false) && self.wanted.is_some_and(|wanted| wanted.weight == weight)
    }

    fn verdict(&self) -> String {
        let Some(Wish { limit, weight }) = self.wanted else { return String::new() };
        let (sign, limit) = match limit {
            Limit::AtMost(limit) => ('≤', limit),
            Limit::AtLeast(limit) => ('≥', limit),
        };
        let kind = if weight == Weight::Gate { "gate" } else { "aim" };
        let outcome = if self.hit() == Some(true) { "hit" } else { "**miss**" };
        format!("{kind} {sign} {}: {outcome}", digits(limit))
    }

    fn row(&self) -> String {
        let (interval, count) = match self.value {
            Value::One(_) => (String::new(), String::new()),
            Value::Median(Median { interval, count, .. }) => {
                let interval = interval.map(|(low, high)| format!("{} – {}", digits(low), digits(high)));
                (interval.unwrap_or_default(), count.to_string())
            }
        };
        let value = format!("{} {}", digits(self.number()), self.unit);
        format!("| {} | {} | {interval} | {count} | {} |", self.name, value.trim_end(), self.verdict())
    }
}

/// As many digits as mean something.
fn digits(value: f64) -> String {
    let text = match value.abs() {
        1000.0.. => format!("{value:.0}"),
        100.0.. => format!("{value:.1}"),
        10.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    };
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Figures that were had in one way.
#[derive(Clone, Debug)]
pub struct Section {
    title: &'static str,
    /// How it was measured: for people, and as commands where there are any.
    how: String,
    figures: Vec<Figure>,
    /// Where the time or the instructions go: of what, and lines.
    profiles: Vec<(&'static str, String)>,
}

impl Section {
    /// A section without figures yet.
    pub fn new(title: &'static str, how: impl Into<String>) -> Self {
        Self { title, how: how.into(), figures: Vec::new(), profiles: Vec::new() }
    }

    /// Adds a figure.
    pub fn add(&mut self, figure: Figure) {
        self.figures.push(figure);
    }

    /// Says where it goes in `what`.
    pub fn add_profile(&mut self, what: &'static str, lines: String) {
        self.profiles.push((what, lines));
    }

    /// Whether something in it is not as it ought to be.
    pub fn missed(&self) -> bool {
        self.figures.iter().any(|figure| figure.hit() == Some(false))
    }

    /// Whether the benchmark fails for it.
    pub fn fails(&self) -> bool {
        self.figures.iter().any(|figure| figure.missed(Weight::Gate))
    }

    /// As Markdown.
    pub fn markdown(&self) -> String {
        let mut text = format!("## {}\n\n{}\n\n", self.title, self.how);
        text.push_str(
            "| figure | median or value | 95 % interval | of | |\n| --- | --- | --- | --- | --- |\n",
        );
        self.figures.iter().for_each(|figure| text.extend([figure.row(), "\n".to_owned()]));
        for (what, profile) in &self.profiles {
            // Writing to a string does not fail.
            let _ = write!(text, "\nWhere it goes ({what}):\n\n```\n{}\n```\n", profile.trim_end());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::median;

    #[test]
    fn a_row_has_all_that_is_known() {
        let figure = Figure::median("ratio", "", median(&[0.75; 6])).wanted(gate_at_most(0.85));
        assert_eq!(figure.row(), "| ratio | 0.75 | 0.75 – 0.75 | 6 | gate ≤ 0.85: hit |");
        let figure = Figure::one("copy", "ms", 15.25).wanted(aim_at_most(15.0));
        assert_eq!(figure.row(), "| copy | 15.25 ms |  |  | aim ≤ 15: **miss** |");
    }

    #[test]
    fn only_a_missed_gate_fails_and_no_figure_is_a_miss() {
        let section = |figure: Figure| {
            let mut section = Section::new("title", "how");
            section.add(figure);
            (section.missed(), section.fails())
        };
        assert_eq!(section(Figure::one("a", "", 0.9).wanted(gate_at_most(0.85))), (true, true));
        assert_eq!(section(Figure::one("a", "", 0.9).wanted(aim_at_least(1.0))), (true, false));
        assert_eq!(section(Figure::one("a", "", f64::NAN).wanted(gate_at_most(0.85))), (true, true));
        assert_eq!(section(Figure::one("a", "", 0.85).wanted(gate_at_most(0.85))), (false, false));
    }

    #[test]
    fn large_numbers_have_no_decimals() {
        assert_eq!([8901.4, 123.45, 10.0, 0.5].map(digits), ["8901", "123.5", "10", "0.5"]);
    }
}
