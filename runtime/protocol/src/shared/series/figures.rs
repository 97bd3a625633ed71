//! Figures of several engines as one.
//!
//! Owns what is added up (counters and histograms, of living and dead engines) and what is not (gauges: what a dead engine measured is over). Pure but for
//! reading an engine's memory. Owns, too, how much of the keeper's memory figures may take: module code can make an engine's table name one large text
//! thousands of times.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use hotbay_api::EntryKey;

use super::{Found, Kind, MAX_SERIES, SeriesSpec, SeriesValue};
use crate::EngineMemory;

/// Bytes that the series of one engine may take, and those of all dead engines together: a counter with two labels takes some 650, so that all
/// [`MAX_SERIES`] of such fit. The keeper has 10 MiB for everything, and a page has room for 2 MiB of text.
const MAX_BYTES: usize = 3 * 1024 * 1024;
/// What a text or a list costs beside its bytes: its header, and what the allocator adds.
const EACH: usize = 24 + 16;

/// What modules have measured.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// By what is one series also when a later build words its help otherwise: the spec is without it.
    series: BTreeMap<(SeriesSpec, EntryKey), Figure>,
}

#[derive(Clone, Debug)]
struct Figure {
    help: String,
    value: SeriesValue,
    /// An engine that lives has it.
    lives: bool,
}

/// A series and what it is found by.
type Known<'f> = (&'f (SeriesSpec, EntryKey), &'f Figure);

/// The series of one family.
#[derive(Debug)]
pub struct Family<'f> {
    /// Its name.
    pub name: &'f str,
    /// As one of its series has it.
    pub help: &'f str,
    /// What all of its series are.
    pub kind: Kind,
    /// By module and labels.
    pub series: Vec<(&'f EntryKey, &'f SeriesSpec, &'f SeriesValue)>,
}

impl Figures {
    /// Adds a dead engine's. Bounded: of too many series those go first whose module is not one of the `living`.
    pub fn bury(&mut self, memory: &EngineMemory, living: impl FnOnce() -> BTreeSet<EntryKey>) {
        for found in within(memory).filter(|found| found.spec.kind != Kind::Gauge) {
            self.add(found, false);
        }
        if self.is_within() {
            return;
        }
        let living = living();
        self.series.retain(|(_, module), _| living.contains(module));
        // Only modules that make up new labels with every engine come here, or scribble; they would fill the keeper's memory.
        let (mut count, mut bytes) = (0, 0);
        self.series.retain(|(spec, module), figure| {
            count += 1;
            bytes += cost(spec, module, figure);
            count <= MAX_SERIES && bytes <= MAX_BYTES
        });
    }

    fn is_within(&self) -> bool {
        self.series.len() <= MAX_SERIES && self.bytes() <= MAX_BYTES
    }

    /// What all of it takes.
    fn bytes(&self) -> usize {
        self.series.iter().map(|((spec, module), figure)| cost(spec, module, figure)).sum()
    }

    /// Adds a living engine's. Of a gauge that two engines have, the one that is added later counts.
    pub fn add_living(&mut self, memory: &EngineMemory) {
        within(memory).for_each(|found| self.add(found, true));
    }

    fn add(&mut self, found: Found, lives: bool) {
        let Found { module, mut spec, value } = found;
        let (kind, help) = (spec.kind, std::mem::take(&mut spec.help));
        let value = value.plausible(kind);
        match self.series.entry((spec, module)) {
            Entry::Vacant(place) => {
                place.insert(Figure { help, value, lives });
            }
            Entry::Occupied(place) => {
                let known = place.into_mut();
                (known.help, known.lives) = (help, known.lives || lives);
                if kind == Kind::Gauge {
                    known.value = value;
                } else {
                    known.value.add(value);
                }
            }
        }
    }

    /// By family. A family has one kind, and no sample stands there twice: where builds of a module differ, what lives is told and the other left out.
    pub fn families(&self) -> Vec<Family<'_>> {
        let mut named: BTreeMap<&str, Vec<Known<'_>>> = BTreeMap::new();
        for (key, figure) in &self.series {
            named.entry(&key.0.family).or_default().push((key, figure));
        }
        let mut taken = BTreeSet::new();
        named.into_values().filter_map(|series| family(series, &mut taken)).collect()
    }
}

/// The series of an engine, as many as there is room for; an honest engine's are never more.
fn within(memory: &EngineMemory) -> impl Iterator<Item = Found> {
    let mut room = MAX_BYTES;
    memory.series().take_while(move |Found { module, spec, value }| {
        match room.checked_sub(spec.help.len() + heap_of(spec, module, value)) {
            Some(rest) => {
                room = rest;
                true
            }
            None => false,
        }
    })
}

/// About so many bytes a series takes here.
fn cost(spec: &SeriesSpec, module: &EntryKey, figure: &Figure) -> usize {
    figure.help.len() + heap_of(spec, module, &figure.value)
}

fn heap_of(spec: &SeriesSpec, module: &EntryKey, value: &SeriesValue) -> usize {
    let labels: usize = spec.labels.iter().map(|(name, value)| name.len() + value.len() + 2 * EACH).sum();
    let values = match value {
        SeriesValue::Number(_) => 0,
        SeriesValue::Histogram { counts, .. } => counts.len() * 8,
    };
    let words = spec.family.len() + module.namespace.len() + module.name.len();
    let itself = size_of::<((SeriesSpec, EntryKey), Figure)>() + 4 * EACH;
    itself + words + labels + spec.bounds().len() * 8 + values
}

/// One family of `series`, unless another one has samples of these names already.
fn family<'f>(mut series: Vec<Known<'f>>, taken: &mut BTreeSet<String>) -> Option<Family<'f>> {
    // What lives comes first, so that it is what stays.
    series.sort_by_key(|(_, figure)| !figure.lives);
    let ((first, _), Figure { help, .. }) = *series.first()?;
    let names = first.sample_names();
    if names.iter().any(|name| taken.contains(name)) {
        return None;
    }
    taken.extend(names);
    let mut one_each = BTreeMap::new();
    for ((spec, module), figure) in series.into_iter().filter(|(key, _)| key.0.kind == first.kind) {
        one_each.entry((module, &spec.labels)).or_insert((module, spec, &figure.value));
    }
    let series = one_each.into_values().collect();
    Some(Family { name: &first.family, help, kind: first.kind, series })
}

impl SeriesValue {
    /// As it is, or 0: module code can write anything where values are, and a counter that is no number would stay so for ever.
    fn plausible(self, kind: Kind) -> Self {
        let number = |value: f64| if value.is_finite() { value } else { 0.0 };
        match self {
            Self::Number(value) if kind == Kind::Gauge => Self::Number(value),
            Self::Number(value) => Self::Number(number(value).max(0.0)),
            Self::Histogram { counts, sum } => Self::Histogram { counts, sum: number(sum) },
        }
    }

    fn add(&mut self, other: Self) {
        match (self, other) {
            (Self::Number(known), Self::Number(value)) => *known += value,
            (Self::Histogram { counts, sum }, Self::Histogram { counts: more, sum: value }) => {
                counts.iter_mut().zip(more).for_each(|(known, count)| *known = known.wrapping_add(count));
                *sum += value;
            }
            // Bounds and kind are part of what they are found by.
            _ => {}
        }
    }
}
