//! Counters: what was answered, how fast, and how loads ended.
//!
//! Owns their place. Each thread that answers has a shard of its own and is the only one to write to it, so that a request costs a few plain
//! additions and no two threads share a line; the reader adds shards up. Counters never fall while the engine lives, and the keeper
//! keeps what a dead one has left.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hotbay_api::{EntryKey, Reason};
use hotbay_sys::memory::SharedWords;

use super::{EngineMemory, LOADS, MAX_MODULES, MAX_REASONS, NAMES, POOL_REJECTED, SHARDS_USED, names};

/// Status codes that are counted one by one; others of their class together.
pub const CODES: [u16; 28] = [
    200, 201, 202, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 406, 408, 409, 410, 412,
    413, 422, 429, 500, 502, 503, 504,
];
const CLASSES: usize = 4;
/// The upper bounds of the histogram's buckets; one more is for what is slower than all.
pub const BUCKETS_NS: [u64; 15] = [
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    10_000_000_000,
];

/// In a shard: requests begun, their sum of nanoseconds, buckets; then a row of codes for each module.
const BEGUN: usize = 0;
const SUM: usize = 1;
const BUCKETS: usize = 2;
const HEAD: usize = 64;
const ROW: usize = 32;
const SHARD: usize = HEAD + MAX_MODULES * ROW;
const SHARDS: usize = NAMES + MAX_MODULES * names::ROW;
/// Threads with a shard of their own. Those that come later share shard 0.
const OWN_SHARDS: usize = 32;
pub(super) const END: usize = SHARDS + (1 + OWN_SHARDS) * SHARD;
const _: () = assert!(CODES.len() + CLASSES <= ROW && BUCKETS + BUCKETS_NS.len() < HEAD);

/// What one thread counts in.
#[derive(Clone, Debug)]
pub struct Shard {
    words: SharedWords,
    at: usize,
    /// Nobody else writes here: a load and a store are an addition, and cheaper than a locked one.
    own: bool,
}

/// Everything that an engine has counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Answers by module (`None`: answered by the engine itself) and index of the code, as [`code_label`] takes it.
    pub answers: BTreeMap<Option<EntryKey>, [u64; CODES.len() + CLASSES]>,
    /// How long requests took.
    pub durations: Durations,
    /// Requests that began; those that ended are in `durations`.
    pub begun: u64,
    /// Preparations of revisions, by how they ended.
    pub loads: BTreeMap<Reason, u64>,
    /// Calls that were refused because too many waited for the pool.
    pub rejected: u64,
}

/// A histogram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    /// Not cumulative; the last one holds what is slower than all of [`BUCKETS_NS`].
    pub buckets: [u64; BUCKETS_NS.len() + 1],
    /// Of all together.
    pub sum_ns: u64,
}

impl Shard {
    /// A request has begun.
    #[inline]
    pub fn begin(&self) {
        self.add(BEGUN, 1);
    }

    /// A request is over, however it ended.
    #[inline]
    pub fn end(&self, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BUCKETS_NS.iter().position(|&bound| ns <= bound).unwrap_or(BUCKETS_NS.len());
        self.add(SUM, ns);
        self.add(BUCKETS + bucket, 1);
    }

    /// Module row `row` has answered.
    #[inline]
    pub fn answered(&self, row: usize, status: u16) {
        let row = if row < MAX_MODULES { row } else { 0 };
        self.add(HEAD + row * ROW + code_index(status), 1);
    }

    #[inline]
    fn add(&self, index: usize, count: u64) {
        let Some(word) = self.words.get(self.at + index) else { return };
        if self.own {
            word.store(word.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
        } else {
            word.fetch_add(count, Ordering::Relaxed);
        }
    }
}

impl EngineMemory {
    /// The shard of a thread; `slot` is that of [`Self::slot`], and no other thread may use the same. Without one, the shard of all who have none.
    pub fn shard(&self, slot: Option<usize>) -> Shard {
        let index = slot.filter(|&slot| (1..=OWN_SHARDS).contains(&slot)).unwrap_or(0);
        self.words[SHARDS_USED].fetch_or(1 << index, Ordering::Relaxed);
        Shard { words: self.words.clone(), at: SHARDS + index * SHARD, own: index != 0 }
    }

    /// A preparation has ended.
    pub fn count_load(&self, reason: &Reason) {
        // Past the known ones there is a word for the unknown.
        let known = Reason::ALL.iter().position(|known| known == reason);
        self.words[LOADS + known.unwrap_or(MAX_REASONS - 1).min(MAX_REASONS - 1)]
            .fetch_add(1, Ordering::Relaxed);
    }

    /// Adds everything that was counted so far to `tally`.
    pub fn add_to(&self, tally: &mut Tally) {
        let used = self.words[SHARDS_USED].load(Ordering::Relaxed);
        let shards: Vec<usize> = (0..=OWN_SHARDS)
            .filter(|index| used >> index & 1 == 1)
            .map(|index| SHARDS + index * SHARD)
            .collect();
        let sum = |offset: usize| {
            let word = |at: &usize| self.words[at + offset].load(Ordering::Relaxed);
            shards.iter().map(word).fold(0, u64::wrapping_add)
        };
        // Ends first: a request that ends in between is then one in flight, never one that ended before it began.
        add_word(&mut tally.durations.sum_ns, sum(SUM));
        for (index, bucket) in tally.durations.buckets.iter_mut().enumerate() {
            add_word(bucket, sum(BUCKETS + index));
        }
        add_word(&mut tally.begun, sum(BEGUN));
        add_word(&mut tally.rejected, self.words[POOL_REJECTED].load(Ordering::Relaxed));
        for row in 0..self.rows() {
            let counts: [u64; CODES.len() + CLASSES] =
                std::array::from_fn(|code| sum(HEAD + row * ROW + code));
            if counts.iter().any(|&count| count > 0) {
                let known = tally.answers.entry(self.module(row)).or_default();
                known.iter_mut().zip(counts).for_each(|(known, count)| add_word(known, count));
            }
        }
        let word = |index: usize| self.words[LOADS + index].load(Ordering::Relaxed);
        let known = Reason::ALL.iter().take(MAX_REASONS - 1).enumerate();
        let loads = known.map(|(index, reason)| (reason.clone(), word(index)));
        let unknown = (Reason::Unknown("Unknown".to_owned()), word(MAX_REASONS - 1));
        for (reason, count) in loads.chain([unknown]).filter(|(_, count)| *count > 0) {
            add_word(tally.loads.entry(reason).or_default(), count);
        }
    }
}

/// Adds what stands in a shared word. Module code can write any number there, so a sum may wrap: a wrong figure, and no end of the keeper.
fn add_word(sum: &mut u64, word: u64) {
    *sum = sum.wrapping_add(word);
}

/// Modules that are counted one by one: twice as many as one engine can name.
const MAX_KNOWN: usize = 4096;

impl Tally {
    /// Adds what another has counted.
    pub fn add(&mut self, other: &Self) {
        for (module, counts) in &other.answers {
            let known = self.answers.entry(module.clone()).or_default();
            known.iter_mut().zip(counts).for_each(|(known, count)| add_word(known, *count));
        }
        for (bucket, count) in self.durations.buckets.iter_mut().zip(other.durations.buckets) {
            add_word(bucket, count);
        }
        add_word(&mut self.durations.sum_ns, other.durations.sum_ns);
        add_word(&mut self.begun, other.begun);
        add_word(&mut self.rejected, other.rejected);
        for (reason, count) in &other.loads {
            add_word(self.loads.entry(reason.clone()).or_default(), *count);
        }
    }

    /// Keeps the memory bounded where modules come and go for months: of too many, those that are gone are counted together, the least used
    /// first. One of the `living` keeps its own count, or that would fall: their number is bounded elsewhere.
    pub fn bound(&mut self, living: impl FnOnce() -> BTreeSet<EntryKey>) {
        let Some(too_many) = self.answers.len().checked_sub(MAX_KNOWN).filter(|&count| count > 0) else {
            return;
        };
        let living = living();
        let gone = self.answers.iter().filter_map(|(key, counts)| {
            let key = key.as_ref().filter(|key| !living.contains(key))?;
            Some((counts.iter().fold(0, |sum: u64, &count| sum.saturating_add(count)), key.clone()))
        });
        let mut gone: Vec<(u64, EntryKey)> = gone.collect();
        gone.sort_unstable();
        // One more, since what they leave may need an entry of its own.
        for (_, key) in gone.into_iter().take(too_many + usize::from(!self.answers.contains_key(&None))) {
            let counts = self.answers.remove(&Some(key)).unwrap_or_default();
            let rest = self.answers.entry(None).or_default();
            rest.iter_mut().zip(counts).for_each(|(rest, count)| add_word(rest, count));
        }
    }

    /// Requests that began and have not ended.
    pub fn in_flight(&self) -> u64 {
        self.begun.saturating_sub(self.durations.count())
    }
}

impl Durations {
    /// How many were measured.
    pub fn count(&self) -> u64 {
        self.buckets.iter().fold(0, |sum, &bucket| sum.wrapping_add(bucket))
    }
}

/// The place of a status code in a row.
fn code_index(status: u16) -> usize {
    // The two that nearly every request ends with need no search.
    if status == 200 {
        return 0;
    }
    CODES.iter().position(|&code| code == status).unwrap_or_else(|| {
        let class = usize::from(status / 100).clamp(2, 5);
        CODES.len() + class - 2
    })
}

/// What a place in a row is called: `404`, or `4xx` for those of the class that have no place of their own.
pub fn code_label(index: usize) -> String {
    match CODES.get(index) {
        Some(code) => code.to_string(),
        None => format!("{}xx", index.saturating_sub(CODES.len()) + 2),
    }
}

/// So that readers of a word can be sure that it is one.
const _: () = assert!(size_of::<AtomicU64>() == 8);

#[cfg(test)]
mod tests;
