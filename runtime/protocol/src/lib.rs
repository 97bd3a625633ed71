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
    CrashNote, DrainKind, EntryRoutes, Probe, ProbeOutcome, Quarantine, ReportPiece, ToEngine, ToKeeper,
    Want, Why, pieces, probe_passed,
};
pub use shared::{
    BUCKETS_NS, CODES, CallSlot, Crash, Durations, ENGINE_MEMORY_WORDS, EngineMemory, Images, LOADER_SLOT,
    MAX_MODULES, MAX_SLOTS, Shard, Suspect, Tally, code_label,
};
