//! What the machine hears, and what it asks for.

use std::path::PathBuf;

use hotbay_api::{Digest, EntryKey};
use hotbay_protocol::{Demoted, ProbeOutcome, ReportPiece, Suspect, ToEngine, Why};

use crate::blame::Death;
use crate::probe_queue::Start;

/// Something that happened. `generation` names the engine.
#[derive(Debug)]
pub enum Event {
    Hangup,
    Terminate,
    Ready {
        generation: u64,
        ok: u32,
        failed: u32,
    },
    Active {
        generation: u64,
    },
    Drained {
        generation: u64,
        cut: u32,
    },
    /// Too much retired code is mapped.
    Retired {
        generation: u64,
    },
    /// A load hangs for ever; whose, if the loader's slot says so.
    LoaderHangs {
        generation: u64,
        suspect: Option<Suspect>,
    },
    /// A module held a thread that serves.
    Stalled {
        key: EntryKey,
    },
    /// Its build runs on the pool from now on.
    Demoted {
        generation: u64,
        demoted: Demoted,
    },
    /// Modules hold all threads that serve.
    WorkersHeld {
        generation: u64,
    },
    /// Calls that nobody waits for hold all its blocking threads.
    PoolHeld {
        generation: u64,
    },
    Pong {
        generation: u64,
    },
    Probe {
        generation: u64,
        digest: Digest,
        path: PathBuf,
    },
    Report {
        generation: u64,
        piece: ReportPiece,
    },
    /// Its channel is closed or broken.
    Lost {
        generation: u64,
    },
    SpawnFailed {
        generation: u64,
        message: String,
    },
    Died {
        generation: u64,
        death: Death,
    },
    ProbeEnded {
        digest: Digest,
        outcome: ProbeOutcome,
    },
    /// Time has passed.
    Tick,
}

/// Something to do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Spawn {
        generation: u64,
        why: Why,
        policy: ToEngine,
    },
    Send {
        generation: u64,
        message: ToEngine,
    },
    Kill {
        generation: u64,
    },
    Probe(Start),
    /// Nobody is to be accepted any more.
    CloseListener,
    SaveJournal,
    /// [`Machine::report`] may say something new.
    Report,
}
