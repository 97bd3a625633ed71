//! One thread's slot: whose code it runs.
//!
//! Owns the order of the stores. Relaxed stores and no clock: this is on the path of every request.

use std::sync::atomic::Ordering;

use hotbay_sys::memory::SharedWords;

use super::SLOTS;

/// A cache line, so that no two threads write to one.
pub(super) const WORDS: usize = 8;

/// In the word that says where: the module's row below, one more than the handler's index above, 0 outside all handlers.
const HANDLER_SHIFT: u32 = 32;
const ROW: u64 = (1 << HANDLER_SHIFT) - 1;

/// Module `row` and its handler as one number, for [`CallSlot::enter`].
#[inline]
pub const fn at_handler(row: u64, handler: u32) -> u64 {
    row | (handler as u64 + 1) << HANDLER_SHIFT
}

/// A thread's stay in module code. Module code can write every number of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stay {
    /// No other stay of the thread has the same.
    pub sequence: u64,
    /// The module's row.
    pub row: usize,
    /// The instance's fingerprint, as a number.
    pub fingerprint: u64,
    /// The index of the handler whose code it is; `None` while an instance is made or ends.
    pub handler: Option<u32>,
}

/// One thread's slot: says which module's code it runs, with relaxed stores and no clock.
#[derive(Clone, Debug)]
pub struct CallSlot {
    words: SharedWords,
    at: usize,
}

impl CallSlot {
    pub(super) fn new(words: SharedWords, index: usize) -> Self {
        Self { words, at: SLOTS + index * WORDS }
    }

    /// Says that this thread enters the code of module `row`, instance `fingerprint`, for call `handle`; the row is [`at_handler`]'s where it is a
    /// handler's code. Calls may nest: give what this returns to [`Self::leave`].
    pub fn enter(&self, row: u64, fingerprint: u64, handle: u64) -> [u64; 4] {
        let Some(words) = self.words.get(self.at..self.at + 4) else { return [0; 4] };
        let before = [0, 1, 2, 3].map(|index: usize| words[index].load(Ordering::Relaxed));
        // Even while the fields change, so that a crash between two stores names nobody rather than the wrong one.
        // A module can write any number there, so it may wrap.
        let sequence = before[0].wrapping_add(2) & !1;
        words[0].store(sequence, Ordering::Relaxed);
        words[1].store(row, Ordering::Relaxed);
        words[2].store(fingerprint, Ordering::Relaxed);
        words[3].store(handle, Ordering::Relaxed);
        words[0].store(sequence | 1, Ordering::Release);
        before
    }

    /// Says that the code entered last was left.
    pub fn leave(&self, before: [u64; 4]) {
        let Some(words) = self.words.get(self.at..self.at + 4) else { return };
        let sequence = words[0].load(Ordering::Relaxed).wrapping_add(2) & !1;
        words[0].store(sequence, Ordering::Relaxed);
        if before[0] % 2 == 1 {
            for (word, value) in words.iter().zip(before).skip(1) {
                word.store(value, Ordering::Relaxed);
            }
            words[0].store(sequence | 1, Ordering::Release);
        }
    }

    /// Row and fingerprint of the code that the thread is in.
    pub fn occupant(&self) -> Option<(u64, u64)> {
        let word = |index: usize| self.words[self.at + index].load(Ordering::Acquire);
        (word(0) % 2 == 1).then(|| (word(1) & ROW, word(2)))
    }

    /// Changes with every entry and every leaving; odd while the thread is in module code.
    pub fn sequence(&self) -> u64 {
        self.words.get(self.at).map_or(0, |word| word.load(Ordering::Acquire))
    }

    /// The stay in module code that has this sequence; `None` if it is over, or none.
    pub fn stay(&self, sequence: u64) -> Option<Stay> {
        let word = |index: usize| Some(self.words.get(self.at + index)?.load(Ordering::Acquire));
        let (place, fingerprint) = (word(1)?, word(2)?);
        let handler = u32::try_from(place >> HANDLER_SHIFT).ok()?.checked_sub(1);
        let row = usize::try_from(place & ROW).ok()?;
        let stay = Stay { sequence, row, fingerprint, handler };
        (sequence % 2 == 1 && self.sequence() == sequence).then_some(stay)
    }

    /// Takes the mark away from a thread that will not do so itself.
    pub(super) fn forget_row(&self) {
        self.words[self.at + 1].store(0, Ordering::Release);
    }
}
