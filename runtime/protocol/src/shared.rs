//! The memory that an engine and its keeper share: it outlives the engine, whatever ends it.
//!
//! Owns the layout: a crash record, one call slot a thread that runs module code, what modules and instances are called, and the counters. Everything
//! is a 64-bit atomic word that starts at zero, so there is nothing to initialise and no half-written state to fear. The engine writes, the
//! keeper reads; the signal handler of `hotbay-sys` writes the crash record by the offset given here. Module code can write all of it too: a
//! reader takes no word for more than a number, and no text for clean.
//!
//! ```text
//! 0 crash record │ 32 loader, rows, shards, images, pool │ 64 loads by reason │ 256 slots │ 2048 names │ shards of counters │ series of modules
//! ```
//! Pages that nobody touches cost nothing: the keeper reads only rows that have a name and shards that have a thread.

mod names;
mod series;
mod slot;
mod tally;

use std::sync::atomic::Ordering;

use hotbay_api::EntryKey;
use hotbay_sys::crash::{MAKER, RECORD_WORDS, TEXT_BYTES};
use hotbay_sys::memory::SharedWords;

pub use series::{
    Cells, Family, Figures, Kind, MAX_MODULE_SERIES, MAX_SERIES, SeriesSpec, SeriesTable, SeriesValue,
    SpecError,
};
pub use slot::{CallSlot, Stay, at_handler};
pub use tally::{BUCKETS_NS, CODES, Durations, Shard, Tally, code_label};

/// Threads that leave marks when they run module code; later ones run it unmarked.
pub const MAX_SLOTS: usize = 128;
/// The slot of the first loader thread; [`EngineMemory::loader_slot`] says which one loads now.
pub const LOADER_SLOT: usize = 0;
/// Modules that have counters of their own; later ones are counted together in row 0.
pub const MAX_MODULES: usize = 2048;
/// The size of the memory, in 64-bit words.
pub const ENGINE_MEMORY_WORDS: usize = series::END;

const CRASH: usize = 0;
const LOADER: usize = 32;
const ROWS_NAMED: usize = 33;
const SHARDS_USED: usize = 34;
const IMAGES: usize = 35;
const RETIRED: usize = 36;
const POOL_THREADS: usize = 37;
const POOL_BUSY: usize = 38;
const POOL_WAITING: usize = 39;
const POOL_REJECTED: usize = 40;
const POOL_ABANDONED: usize = 41;
const LOADS: usize = 64;
const MAX_REASONS: usize = 128;
const SLOTS: usize = 256;
const NAMES: usize = 2048;
const _: () = assert!(RECORD_WORDS <= LOADER && LOADS + MAX_REASONS <= SLOTS);
const _: () = assert!(SLOTS + MAX_SLOTS * slot::WORDS <= NAMES);

/// A typed view of the memory.
#[derive(Clone, Debug)]
pub struct EngineMemory {
    words: SharedWords,
}

/// What a fatal signal left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crash {
    /// The signal's number.
    pub signal: i32,
    /// The slot of the thread that it hit, if that thread runs module code at times.
    pub slot: Option<usize>,
    /// The fault's address, as the kernel gave it.
    pub address: u64,
    /// The request that the thread was at, as `GET /path`; clean, and empty if there was none.
    pub request: String,
    /// The module that has made the thread, if one did whose build no other module has, and it no newer instance: a build's globals, such as a pool of threads, are
    /// everybody's who has it.
    pub maker: Option<Suspect>,
}

/// Whose code a thread was in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// The module.
    pub key: EntryKey,
    /// The instance's fingerprint, as in [`hotbay_api::Revision::fingerprint`].
    pub fingerprint: String,
    /// The first twelve hex digits of the build's digest; empty if the engine did not say.
    pub digest: String,
    /// The slot that says so. `None`: it made the thread.
    pub slot: Option<usize>,
}

/// What an engine holds right now. Not counters: they go with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Images {
    /// Mapped images.
    pub mapped: u64,
    /// Those of them that no instance uses.
    pub retired: u64,
}

/// The threads for handlers that may hold theirs, right now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolGauges {
    /// There are so many, or will be when they are needed.
    pub threads: u64,
    /// So many of them are in a call.
    pub busy: u64,
    /// So many of those in one that nobody waits for any more.
    pub abandoned: u64,
    /// Calls that wait for one.
    pub waiting: u64,
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

    /// Where the crash record lies, for `hotbay_sys::crash::install`.
    pub const fn crash_offset() -> usize {
        CRASH
    }

    /// The memory itself.
    pub fn words(&self) -> &SharedWords {
        &self.words
    }

    /// The slot of thread `index`, if there is one left for it.
    pub fn slot(&self, index: usize) -> Option<CallSlot> {
        (index < MAX_SLOTS).then(|| CallSlot::new(self.words.clone(), index))
    }

    /// The slot of the thread that loads now.
    pub fn loader_slot(&self) -> usize {
        usize::try_from(self.words[LOADER].load(Ordering::Acquire)).unwrap_or(LOADER_SLOT)
    }

    /// Another thread loads from now on. The one before hangs in module code, perhaps for ever: its mark is taken away, or it would be
    /// a suspect of every later crash.
    pub fn move_loader(&self, slot: usize) {
        if let Some(before) = self.slot(self.loader_slot()) {
            before.forget_row();
        }
        self.words[LOADER].store(slot as u64, Ordering::Release);
    }

    /// What a signal handler wrote, if one did.
    pub fn crash(&self) -> Option<Crash> {
        let word = |index: usize| self.words[CRASH + index].load(Ordering::Acquire);
        let signal = i32::try_from(word(0)).ok().filter(|&signal| signal != 0)?;
        let slot = usize::try_from(word(1)).ok().and_then(|slot| slot.checked_sub(1));
        let length = usize::try_from(word(3)).unwrap_or(0).min(TEXT_BYTES);
        let text: Vec<u8> = (4..MAKER).flat_map(|index| word(index).to_le_bytes()).take(length).collect();
        let request = text.iter().map(|&byte| clean(byte)).collect();
        let maker = word(MAKER).checked_sub(1).and_then(|row| self.maker(row, word(MAKER + 1)));
        Some(Crash { signal, slot: slot.filter(|&slot| slot < MAX_SLOTS), address: word(2), request, maker })
    }

    /// Every thread that is in module code. Exact once the engine is dead.
    pub fn suspects(&self) -> Vec<Suspect> {
        (0..MAX_SLOTS).filter_map(|slot| self.suspect(slot)).collect()
    }

    /// Whose code thread `slot` is in.
    pub fn suspect(&self, slot: usize) -> Option<Suspect> {
        let (row, number) = self.slot(slot)?.occupant()?;
        self.named(row, number, Some(slot))
    }

    /// The instance that made a thread, if it alone could have given that thread its work.
    fn maker(&self, row: u64, number: u64) -> Option<Suspect> {
        let suspect = self.named(row, number, None)?;
        self.has_its_build_alone(usize::try_from(row).ok()?, number).then_some(suspect)
    }

    /// What the instance `number` of the module in `row` is called.
    fn named(&self, row: u64, number: u64, slot: Option<usize>) -> Option<Suspect> {
        let row = usize::try_from(row).ok().filter(|&row| row < MAX_MODULES)?;
        let (key, fingerprint) = (self.module(row)?, format!("{number:016x}"));
        Some(Suspect { key, fingerprint, digest: self.instance_digest(row, number), slot })
    }

    /// Says how many images are mapped.
    pub fn set_images(&self, images: Images) {
        self.words[IMAGES].store(images.mapped, Ordering::Relaxed);
        self.words[RETIRED].store(images.retired, Ordering::Relaxed);
    }

    /// What [`Self::set_images`] said last.
    pub fn images(&self) -> Images {
        let word = |index: usize| self.words[index].load(Ordering::Relaxed);
        Images { mapped: word(IMAGES), retired: word(RETIRED) }
    }

    /// Says how the pool stands.
    pub fn set_pool(&self, pool: PoolGauges) {
        self.words[POOL_THREADS].store(pool.threads, Ordering::Relaxed);
        self.words[POOL_BUSY].store(pool.busy, Ordering::Relaxed);
        self.words[POOL_ABANDONED].store(pool.abandoned, Ordering::Relaxed);
        self.words[POOL_WAITING].store(pool.waiting, Ordering::Relaxed);
    }

    /// What [`Self::set_pool`] said last.
    pub fn pool(&self) -> PoolGauges {
        let word = |index: usize| self.words[index].load(Ordering::Relaxed);
        let (threads, busy) = (word(POOL_THREADS), word(POOL_BUSY));
        PoolGauges { threads, busy, abandoned: word(POOL_ABANDONED), waiting: word(POOL_WAITING) }
    }

    /// A call was refused because too many wait for the pool, or in vain.
    pub fn count_rejected(&self) {
        self.words[POOL_REJECTED].fetch_add(1, Ordering::Relaxed);
    }
}

/// A byte of a request's head as people may see it: no control character, nothing that a terminal or a browser would act upon.
fn clean(byte: u8) -> char {
    if byte == b' ' || byte.is_ascii_graphic() { char::from(byte) } else { '?' }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn memory() -> EngineMemory {
        let fd = hotbay_sys::memory::create("test", ENGINE_MEMORY_WORDS).unwrap();
        EngineMemory::new(SharedWords::map(&fd).unwrap()).unwrap()
    }

    #[test]
    fn a_thread_in_module_code_is_a_suspect_until_it_leaves() {
        let memory = memory();
        let key = EntryKey::new(&"n".repeat(63), &"m".repeat(63)).unwrap();
        memory.name_module(7, &key);
        memory.name_instance(7, 0xabc, 0xb_1234);
        let slot = memory.slot(3).unwrap();
        let outer = slot.enter(7, 0xabc, 1);
        let suspect = Suspect {
            key,
            fingerprint: "0000000000000abc".into(),
            digest: "00000000000b".into(),
            slot: Some(3),
        };
        assert_eq!(memory.suspects(), std::slice::from_ref(&suspect));
        let inner = slot.enter(7, 0xdef, 2);
        assert_eq!(memory.suspect(3).unwrap().fingerprint, "0000000000000def");
        slot.leave(inner);
        assert_eq!(memory.suspect(3), Some(suspect), "the outer call goes on");
        slot.leave(outer);
        assert_eq!(memory.suspects(), []);
    }

    #[test]
    fn a_stay_names_the_handler_and_is_over_when_it_was_left() {
        let memory = memory();
        memory.name_module(7, &EntryKey::new("shop", "slow").unwrap());
        let slot = memory.slot(3).unwrap();
        let outer = slot.enter(at_handler(7, 2), 0xabc, 1);
        let sequence = slot.sequence();
        let stay = Stay { sequence, row: 7, fingerprint: 0xabc, handler: Some(2) };
        assert_eq!(slot.stay(sequence), Some(stay));
        assert_eq!(memory.suspect(3).unwrap().key.name, "slow", "a crash knows the row all the same");
        let inner = slot.enter(7, 0xabc, 2);
        assert_eq!((slot.stay(sequence), slot.stay(slot.sequence()).unwrap().handler), (None, None));
        slot.leave(inner);
        assert_eq!(slot.stay(slot.sequence()).unwrap().handler, Some(2));
        slot.leave(outer);
        assert_eq!((slot.stay(sequence), slot.stay(slot.sequence())), (None, None));
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
        let crash = Crash { signal: 11, slot: Some(3), address: 0, request: String::new(), maker: None };
        assert_eq!(memory.crash(), Some(crash));
    }

    #[test]
    fn a_thread_that_a_module_made_is_the_modules() {
        let memory = memory();
        let key = EntryKey::new("shop", "cart").unwrap();
        memory.name_module(7, &key);
        memory.name_instance(7, 0xabc, 0xb_1234);
        for (index, word) in [(0, 6), (MAKER, 8), (MAKER + 1, 0xabc)] {
            memory.words()[CRASH + index].store(word, Ordering::Relaxed);
        }
        let maker = Suspect {
            key: key.clone(),
            fingerprint: "0000000000000abc".into(),
            digest: "00000000000b".into(),
            slot: None,
        };
        assert_eq!(memory.crash().unwrap().maker, Some(maker));
        memory.name_module(MAX_MODULES - 1, &key);
        memory.words()[CRASH + MAKER].store(u64::MAX, Ordering::Relaxed);
        assert_eq!(memory.crash().unwrap().maker, None, "no module has that row");
    }

    #[test]
    fn a_thread_is_nobodys_whose_build_others_have_too() {
        let crashed = |names: &[(usize, u64, u64)]| {
            let memory = memory();
            for &(row, fingerprint, digest) in names {
                memory.name_module(row, &EntryKey::new("shop", &format!("m{row}")).unwrap());
                memory.name_instance(row, fingerprint, digest);
            }
            for (index, word) in [(0, 6), (MAKER, 8), (MAKER + 1, 0xabc)] {
                memory.words()[CRASH + index].store(word, Ordering::Relaxed);
            }
            memory.crash().unwrap().maker.map(|maker| maker.key.name)
        };
        let (ours, other_build) = ((7, 0xabc, 0xb), (7, 0xdef, 0xc));
        assert_eq!(crashed(&[ours]).as_deref(), Some("m7"));
        assert_eq!(crashed(&[ours, other_build, (8, 0xabc, 0xd)]).as_deref(), Some("m7"));
        assert_eq!(crashed(&[ours, (8, 0x123, 0xb)]), None, "another module has it");
        let other_config = (7, 0xdef, 0xb);
        assert_eq!(crashed(&[other_config, ours]).as_deref(), Some("m7"), "it came after the other config");
        assert_eq!(crashed(&[ours, other_config]), None, "the thread has outlived its instance");
        assert_eq!(crashed(&[ours, other_config, ours]).as_deref(), Some("m7"), "it is back");
        assert_eq!(crashed(&[(7, 0xdef, 0xb)]), None, "its build is not known any more");
    }

    #[test]
    fn a_request_that_a_module_wrote_over_is_bounded_and_clean() {
        let memory = memory();
        memory.words()[CRASH].store(11, Ordering::Relaxed);
        memory.words()[CRASH + 3].store(u64::MAX, Ordering::Relaxed);
        let text = u64::from_le_bytes(*b"GET /\x1b\n\xff");
        memory.words()[CRASH + 4].store(text, Ordering::Relaxed);
        let request = memory.crash().unwrap().request;
        assert_eq!((&request[..8], request.len()), ("GET /???", TEXT_BYTES));
    }
}
