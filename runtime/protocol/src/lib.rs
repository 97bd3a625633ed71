//! What keeper and engine say to each other, and the memory they share.
//!
//! ```text
//! keeper                                     engine
//!   │ spawn, socket on fd 3                    │
//!   │ HELLO + listener, memory ───────────────►│
//!   │ POLICY ─────────────────────────────────►│ loads the bay; PROBE ⇄ PROBED for each new build
//!   │◄──────────────────────────────── REPORT… │
//!   │◄────────────────────────────────── READY │
//!   │ ACTIVATE ───────────────────────────────►│ accepts
//!   │◄───────────────────────────────── ACTIVE │ (only now is the old engine told to DRAIN)
//!   │ DRAIN ──────────────────────────────────►│ closes its listener, ends what is in flight
//!   │◄──────────────────────────────── DRAINED │ exits
//! ```
//!
//! Owns message types, their framing on a `SOCK_SEQPACKET` pair, and the layout of the shared memory. Must not act: `keeper` and
//! `engine` do. A crash never travels over the socket: the dying engine writes it to the memory.

mod channel;
mod message;
mod shared;

pub use channel::{Channel, ChannelError, MAX_MESSAGE};
pub use message::{
    CrashNote, Demoted, DrainKind, EntryRoutes, Probe, ProbeOutcome, Quarantine, ReportPiece, ToEngine,
    ToKeeper, Want, Why, pieces, probe_passed,
};
pub use shared::{
    BUCKETS_NS, CODES, CallSlot, Cells, Crash, Durations, ENGINE_MEMORY_WORDS, EngineMemory, Family, Figures,
    Images, Kind, LOADER_SLOT, MAX_MODULE_SERIES, MAX_MODULES, MAX_SERIES, MAX_SLOTS, PoolGauges, SeriesSpec,
    SeriesTable, SeriesValue, Shard, SpecError, Stay, Suspect, Tally, at_handler, code_label,
};
