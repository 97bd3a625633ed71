//! Figures of modules' own, as an engine writes them and its keeper reads them.
//!
//! Owns the layout: a table of series, and a heap with their descriptions, bounds and values. A series is described before it is in the table, and stays
//! as long as the engine. The engine keeps where its series lie in memory of its own and never reads that back; the keeper checks every number and every
//! word again, since module code can write all of this: a scribbled entry is one that is left out, or a wrong figure.
//!
//! ```text
//! count │ MAX_SERIES × {row, kind and sizes, where the text is, where the values are} │ heap
//! ```

mod figures;
mod spec;

use std::sync::atomic::{AtomicU64, Ordering};

use hotbay_api::EntryKey;
use hotbay_sys::memory::SharedWords;

pub use figures::{Family, Figures};
pub use spec::{Kind, SeriesSpec, SpecError};

use super::{EngineMemory, tally};

/// Series of one engine, of all its modules together.
pub const MAX_SERIES: usize = 4096;
/// Series of one module.
pub const MAX_MODULE_SERIES: usize = 256;

const COUNT: usize = tally::END;
const ENTRIES: usize = COUNT + 8;
const ENTRY: usize = 4;
const HEAP: usize = ENTRIES + MAX_SERIES * ENTRY;
/// 512 bytes a series: a histogram with 20 buckets and a few labels. Pages that nobody touched cost nothing.
const HEAP_WORDS: usize = MAX_SERIES * 64;
pub(super) const END: usize = HEAP + HEAP_WORDS;
/// Values begin where a cache line does: threads that count different things do not disturb each other.
const LINE: usize = 8;
const _: () = assert!(ENTRIES % LINE == COUNT % LINE && HEAP % LINE == COUNT % LINE);

/// Where an engine puts its series. One an engine.
#[derive(Debug)]
pub struct SeriesTable {
    memory: EngineMemory,
    count: usize,
    used: usize,
}

/// One series' values, to be changed by any thread.
#[derive(Clone, Debug)]
pub struct Cells {
    words: SharedWords,
    at: usize,
    kind: Kind,
    bounds: Box<[f64]>,
}

/// What a series stands at.
#[derive(Clone, Debug, PartialEq)]
pub enum SeriesValue {
    /// A counter's, or a gauge's.
    Number(f64),
    /// A histogram's.
    Histogram {
        /// Not cumulative; the last one is for what is above all bounds.
        counts: Vec<u64>,
        /// Of all together.
        sum: f64,
    },
}

impl SeriesTable {
    /// The table of an engine that begins: `memory` has no series yet.
    pub fn new(memory: EngineMemory) -> Self {
        Self { memory, count: 0, used: 0 }
    }

    /// A new series of module `row`; `None` if there is no room.
    pub fn add(&mut self, row: usize, spec: &SeriesSpec) -> Option<Cells> {
        let text = spec.text();
        let bounds = spec.bounds();
        let values_at = (self.used + text.len().div_ceil(8) + bounds.len()).next_multiple_of(LINE);
        let values = if spec.kind == Kind::Histogram { bounds.len() + 2 } else { 1 };
        if self.count == MAX_SERIES || values_at + values > HEAP_WORDS {
            return None;
        }
        let words = &self.memory.words;
        let store = |at: usize, word: u64| words[at].store(word, Ordering::Relaxed);
        for (index, chunk) in text.as_bytes().chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            store(HEAP + self.used + index, u64::from_le_bytes(word));
        }
        for (index, bound) in bounds.iter().enumerate() {
            store(HEAP + values_at - bounds.len() + index, bound.to_bits());
        }
        let entry = ENTRIES + self.count * ENTRY;
        let sizes = spec.kind as u64 | (bounds.len() as u64) << 8 | (text.len() as u64) << 32;
        for (index, word) in [row as u64, sizes, self.used as u64, values_at as u64].into_iter().enumerate() {
            store(entry + index, word);
        }
        (self.count, self.used) = (self.count + 1, values_at + values);
        words[COUNT].store(self.count as u64, Ordering::Release);
        Some(Cells { words: words.clone(), at: HEAP + values_at, kind: spec.kind, bounds: bounds.into() })
    }
}

impl Cells {
    /// What kind of series it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Adds to a counter or a gauge; a counter takes nothing that would make it fall.
    #[inline]
    pub fn add(&self, value: f64) {
        match self.kind {
            Kind::Counter if value >= 0.0 && value.is_finite() => self.add_at(0, value),
            Kind::Gauge => self.add_at(0, value),
            _ => {}
        }
    }

    /// Sets a gauge.
    #[inline]
    pub fn set(&self, value: f64) {
        if let (Kind::Gauge, Some(word)) = (self.kind, self.words.get(self.at)) {
            word.store(value.to_bits(), Ordering::Relaxed);
        }
    }

    /// Counts a value in a histogram. What is no number has no place in it, and would spoil the sum.
    #[inline]
    pub fn observe(&self, value: f64) {
        if self.kind != Kind::Histogram || !value.is_finite() {
            return;
        }
        let bucket = self.bounds.iter().position(|&bound| value <= bound).unwrap_or(self.bounds.len());
        if let Some(word) = self.words.get(self.at + bucket) {
            word.fetch_add(1, Ordering::Relaxed);
        }
        self.add_at(self.bounds.len() + 1, value);
    }

    #[inline]
    fn add_at(&self, offset: usize, value: f64) {
        let Some(word) = self.words.get(self.at + offset) else { return };
        let mut known = word.load(Ordering::Relaxed);
        loop {
            let sum = (f64::from_bits(known) + value).to_bits();
            match word.compare_exchange_weak(known, sum, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => known = now,
            }
        }
    }
}

/// A series as the keeper found it.
pub(super) struct Found {
    module: EntryKey,
    spec: SeriesSpec,
    value: SeriesValue,
}

impl EngineMemory {
    /// Every series that is plausible.
    fn series(&self) -> impl Iterator<Item = Found> {
        let count = usize::try_from(self.words[COUNT].load(Ordering::Acquire)).unwrap_or(0).min(MAX_SERIES);
        (0..count).filter_map(|index| self.one_series(index))
    }

    fn one_series(&self, index: usize) -> Option<Found> {
        let word = |at: usize| self.words[at].load(Ordering::Relaxed);
        let entry = ENTRIES + index * ENTRY;
        let [row, text_at, values_at] =
            [0, 2, 3].map(|offset| usize::try_from(word(entry + offset)).unwrap_or(usize::MAX));
        let sizes = word(entry + 1);
        let kind = Kind::from_number(sizes & 0xff)?;
        let (bounds, text) = ((sizes >> 8 & 0xff_ffff) as usize, (sizes >> 32) as usize);
        if bounds > spec::MAX_BOUNDS || text > spec::MAX_TEXT || row == 0 {
            return None;
        }
        let part = |from: usize, words: usize| -> Option<&[AtomicU64]> {
            let end = from.checked_add(words).filter(|&end| end <= HEAP_WORDS)?;
            self.words.get(HEAP + from..HEAP + end)
        };
        let load = |word: &AtomicU64| word.load(Ordering::Relaxed);
        let text: Vec<u8> = part(text_at, text.div_ceil(8))?
            .iter()
            .flat_map(|word| load(word).to_le_bytes())
            .take(text)
            .collect();
        let limits: Vec<f64> = part(values_at.checked_sub(bounds)?, bounds)?
            .iter()
            .map(|word| f64::from_bits(load(word)))
            .collect();
        let spec = SeriesSpec::from_text(kind, std::str::from_utf8(&text).ok()?, &limits)?;
        let value = if kind == Kind::Histogram {
            let words = part(values_at, bounds + 2)?;
            let (counts, sum) = words.split_at(bounds + 1);
            SeriesValue::Histogram {
                counts: counts.iter().map(load).collect(),
                sum: f64::from_bits(load(&sum[0])),
            }
        } else {
            SeriesValue::Number(f64::from_bits(load(&part(values_at, 1)?[0])))
        };
        Some(Found { module: self.module(row)?, spec, value })
    }
}

#[cfg(test)]
mod tests;
