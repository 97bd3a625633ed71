//! The memory that an engine and its keeper share: it outlives the engine, whatever ends it.
//!
//! Owns the layout: a crash record, one call slot a thread that runs module code, and request counters for each module. Everything is a
//! 64-bit atomic word that starts at zero, so there is nothing to initialise and no half-written state to fear. The engine writes, the keeper
//! reads; the signal handler of `hotbay-sys` writes the crash record by the offsets given here.

use std::sync::atomic::{AtomicU64, Ordering};

use hotbay_api::EntryKey;
use hotbay_sys::memory::SharedWords;

/// Threads that leave marks when they run module code; later ones run it unmarked.
pub const MAX_SLOTS: usize = 128;
/// The slot of the first loader thread; [`EngineMemory::loader_slot`] says which one loads now.
pub const LOADER_SLOT: usize = 0;
/// Modules that have counters of their own; later ones are counted together in row 0.
pub const MAX_MODULES: usize = 2048;
/// The size of the memory, in 64-bit words.
pub const ENGINE_MEMORY_WORDS: usize = ROWS + MAX_MODULES * ROW;

const CRASH: usize = 0;
const LOADER: usize = 8;
const SLOTS: usize = 64;
const SLOT: usize = 4;
const ROWS: usize = 1024;
const ROW: usize = 32;
/// In a row: five counters by status class, then the key's length in bytes, then its text in 17 words (127 bytes at most).
const ROW_KEY_LENGTH: usize = 8;
const ROW_KEY: usize = 9;
const ROW_KEY_WORDS: usize = 17;

/// A typed view of the memory.
#[derive(Clone, Debug)]
pub struct EngineMemory {
    words: SharedWords,
}

/// What a fatal signal left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// The signal's number.
    pub signal: i32,
    /// The slot of the thread that it hit, if that thread runs module code at times.
    pub slot: Option<usize>,
    /// The fault's address, as the kernel gave it.
    pub address: u64,
}

/// Whose code a thread was in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// The module.
    pub key: EntryKey,
    /// The instance's fingerprint, as in [`hotbay_api::Revision::fingerprint`].
    pub fingerprint: String,
    /// The slot that says so.
    pub slot: usize,
}

/// One thread's slot: says which module's code it runs, with relaxed stores and no clock.
#[derive(Clone, Debug)]
pub struct CallSlot {
    words: SharedWords,
    at: usize,
}

impl EngineMemory {
    /// The view of `words`.
    ///
    /// # Errors
    /// When the memory is smaller than [`ENGINE_MEMORY_WORDS`].
    pub fn new(words: SharedWords) -> std::io::Result<Self> {
        if words.len() < ENGINE_MEMORY_WORDS {
            return Err(std::io::Error::new(
                std::io::ErrorKind::InvalidData,
                "the shared memory is too small",
            ));
        }
        Ok(Self { words })
    }

    /// Where the crash record lies, for `hotbay_sys::crash::install`: words `[signal, slot + 1, address]`.
    pub const fn crash_offset() -> usize {
        CRASH
    }

    /// The memory itself.
    pub fn words(&self) -> &SharedWords {
        &self.words
    }

    /// The slot of thread `index`, if there is one left for it.
    pub fn slot(&self, index: usize) -> Option<CallSlot> {
        (index < MAX_SLOTS).then(|| CallSlot { words: self.words.clone(), at: SLOTS + index * SLOT })
    }

    /// The slot of the thread that loads now.
    pub fn loader_slot(&self) -> usize {
        usize::try_from(self.words[LOADER].load(Ordering::Acquire)).unwrap_or(LOADER_SLOT)
    }

    /// Another thread loads from now on. The one before hangs in module code, perhaps for ever: its mark is taken away, or it would be
    /// a suspect of every later crash.
    pub fn move_loader(&self, slot: usize) {
        let before = self.loader_slot();
        if before < MAX_SLOTS {
            self.words[SLOTS + before * SLOT + 1].store(0, Ordering::Release);
        }
        self.words[LOADER].store(slot as u64, Ordering::Release);
    }

    /// What a signal handler wrote, if one did.
    pub fn crash(&self) -> Option<Crash> {
        let word = |index: usize| self.words[CRASH + index].load(Ordering::Acquire);
        let signal = i32::try_from(word(0)).ok().filter(|&signal| signal != 0)?;
        let slot = usize::try_from(word(1)).ok().and_then(|slot| slot.checked_sub(1));
        Some(Crash { signal, slot: slot.filter(|&slot| slot < MAX_SLOTS), address: word(2) })
    }

    /// Every thread that is in module code. Exact once the engine is dead.
    pub fn suspects(&self) -> Vec<Suspect> {
        (0..MAX_SLOTS).filter_map(|slot| self.suspect(slot)).collect()
    }

    /// Whose code thread `slot` is in.
    pub fn suspect(&self, slot: usize) -> Option<Suspect> {
        if slot >= MAX_SLOTS {
            return None;
        }
        let word = |index: usize| self.words[SLOTS + slot * SLOT + index].load(Ordering::Acquire);
        if word(0) % 2 == 0 {
            return None;
        }
        let key = self.module(usize::try_from(word(1)).ok()?)?;
        Some(Suspect { key, fingerprint: format!("{:016x}", word(2)), slot })
    }

    /// Names module row `row` (1 and up). Must be done before a slot names the row.
    pub fn name_module(&self, row: usize, key: &EntryKey) {
        let text = key.to_string();
        let at = ROWS + row.min(MAX_MODULES - 1) * ROW;
        for (index, chunk) in text.as_bytes().chunks(8).take(ROW_KEY_WORDS).enumerate() {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.words[at + ROW_KEY + index].store(u64::from_le_bytes(word), Ordering::Relaxed);
        }
        self.words[at + ROW_KEY_LENGTH].store(text.len() as u64, Ordering::Release);
    }

    /// The module of row `row`.
    pub fn module(&self, row: usize) -> Option<EntryKey> {
        let at = ROWS + row.min(MAX_MODULES - 1) * ROW;
        let length = usize::try_from(self.words[at + ROW_KEY_LENGTH].load(Ordering::Acquire)).ok()?;
        let bytes: Vec<u8> = (0..ROW_KEY_WORDS)
            .flat_map(|index| self.words[at + ROW_KEY + index].load(Ordering::Relaxed).to_le_bytes())
            .take(length)
            .collect();
        let text = String::from_utf8(bytes).ok()?;
        let (namespace, name) = text.split_once('/')?;
        EntryKey::new(namespace, name).ok()
    }

    /// The counter of answers of module row `row` with a status of this class (1 to 5; other numbers count as 5).
    pub fn answers(&self, row: usize, class: u16) -> &AtomicU64 {
        let class = if (1..=5).contains(&class) { usize::from(class) } else { 5 };
        &self.words[ROWS + row.min(MAX_MODULES - 1) * ROW + class]
    }
}

impl CallSlot {
    /// Says that this thread enters the code of module `row`, instance `fingerprint`, for call `handle`.
    /// Calls may nest: give what this returns to [`Self::leave`].
    pub fn enter(&self, row: u64, fingerprint: u64, handle: u64) -> [u64; 4] {
        let at = self.at;
        let before = [0, 1, 2, 3].map(|index| self.words[at + index].load(Ordering::Relaxed));
        // Even while the fields change, so that a crash between two stores names nobody rather than the wrong one.
        let sequence = (before[0] + 2) & !1;
        self.words[at].store(sequence, Ordering::Relaxed);
        self.words[at + 1].store(row, Ordering::Relaxed);
        self.words[at + 2].store(fingerprint, Ordering::Relaxed);
        self.words[at + 3].store(handle, Ordering::Relaxed);
        self.words[at].store(sequence + 1, Ordering::Release);
        before
    }

    /// Says that the code entered last was left.
    pub fn leave(&self, before: [u64; 4]) {
        let at = self.at;
        let sequence = (self.words[at].load(Ordering::Relaxed) + 2) & !1;
        self.words[at].store(sequence, Ordering::Relaxed);
        if before[0] % 2 == 1 {
            for (index, word) in before.into_iter().enumerate().skip(1) {
                self.words[at + index].store(word, Ordering::Relaxed);
            }
            self.words[at].store(sequence + 1, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> EngineMemory {
        let fd = hotbay_sys::memory::create("test", ENGINE_MEMORY_WORDS).unwrap();
        EngineMemory::new(SharedWords::map(&fd).unwrap()).unwrap()
    }

    #[test]
    fn a_thread_in_module_code_is_a_suspect_until_it_leaves() {
        let memory = memory();
        let key = EntryKey::new(&"n".repeat(63), &"m".repeat(63)).unwrap();
        memory.name_module(7, &key);
        let slot = memory.slot(3).unwrap();
        let outer = slot.enter(7, 0xabc, 1);
        let suspect = Suspect { key, fingerprint: "0000000000000abc".into(), slot: 3 };
        assert_eq!(memory.suspects(), std::slice::from_ref(&suspect));
        let inner = slot.enter(7, 0xdef, 2);
        assert_eq!(memory.suspect(3).unwrap().fingerprint, "0000000000000def");
        slot.leave(inner);
        assert_eq!(memory.suspect(3), Some(suspect), "the outer call goes on");
        slot.leave(outer);
        assert_eq!(memory.suspects(), []);
    }

    #[test]
    fn a_loader_that_was_left_hanging_is_no_suspect_any_more() {
        let memory = memory();
        memory.name_module(1, &EntryKey::new("ns", "hangs").unwrap());
        memory.slot(LOADER_SLOT).unwrap().enter(1, 0xabc, 0);
        assert_eq!(memory.suspect(memory.loader_slot()).unwrap().key.name, "hangs");
        memory.move_loader(9);
        assert_eq!((memory.loader_slot(), memory.suspects()), (9, vec![]));
        assert!(memory.slot(MAX_SLOTS).is_none(), "a thread without a slot leaves no mark");
    }

    #[test]
    fn nothing_written_is_no_crash() {
        let memory = memory();
        assert_eq!(memory.crash(), None);
        memory.words()[CRASH + 1].store(4, Ordering::Relaxed);
        memory.words()[CRASH].store(11, Ordering::Relaxed);
        assert_eq!(memory.crash(), Some(Crash { signal: 11, slot: Some(3), address: 0 }));
    }
}
