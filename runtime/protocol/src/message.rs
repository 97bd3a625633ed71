//! The messages. Fields may be added; a reader ignores those it does not know, because an upgraded keeper may meet an old engine for the
//! length of one handover.

use std::path::PathBuf;
use std::time::Duration;

use hotbay_api::{Digest, EntryKey, EntryReport, Reason, Trouble};
use serde::{Deserialize, Serialize};

/// From the keeper to an engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToEngine {
    /// First of all. Two descriptors travel with it: the listening socket and the shared memory.
    Hello {
        /// Which engine this is, counted from 1 since the keeper began.
        generation: u64,
        /// Why it was started.
        why: Why,
    },
    /// Before anything is loaded.
    Policy {
        /// Revisions that must not be loaded.
        quarantined: Vec<Quarantine>,
        /// Builds that passed their probe under this keeper: they need none again.
        verified: Vec<Digest>,
        /// Revisions that ended an engine a short time ago.
        #[serde(default)]
        crashed: Vec<CrashNote>,
        /// Builds whose calls run on the pool, because they have held threads of an engine.
        #[serde(default)]
        demoted: Vec<Demoted>,
    },
    /// Another engine has demoted a build.
    Demote(Demoted),
    /// Begin to accept.
    Activate,
    /// Stop accepting and end. The deadline counts from the message's arrival.
    Drain {
        /// How.
        kind: DrainKind,
        /// In milliseconds.
        deadline_ms: u64,
    },
    /// How much to log: so many steps more than was set at the start, or less if negative.
    Log {
        /// As the crate `hotbay-logs` counts them.
        step: i8,
    },
    /// How a probe that the engine asked for ended.
    Probed(Probe),
    /// Answered by [`ToKeeper::Pong`] with the same number.
    Ping(u64),
}

/// From an engine to its keeper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToKeeper {
    /// Everything that the bay held at the start was loaded or has failed.
    Ready {
        /// Entries that serve their wanted revision.
        ok: u32,
        /// Entries that do not.
        failed: u32,
    },
    /// The listener is in the engine's poll set.
    Active,
    /// Nothing is in flight any more; the engine exits.
    Drained {
        /// Connections that were cut at the deadline.
        cut: u32,
    },
    /// A fresh engine is wanted.
    Want(Want),
    /// Load this staged build once in a child.
    Probe {
        /// Its digest, to match the answer.
        digest: Digest,
        /// Where it is staged.
        path: PathBuf,
    },
    /// How entries stand.
    Report(ReportPiece),
    /// A module held a thread that serves requests.
    Stall {
        /// The entry.
        key: EntryKey,
    },
    /// This build's calls run on the pool from now on; every engine to come is to be told.
    Demote(Demoted),
    /// The answer to [`ToEngine::Ping`].
    Pong(u64),
}

/// Why an engine was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// The first one.
    First,
    /// The one before it died.
    Crash,
    /// Somebody asked (SIGHUP).
    Reload,
    /// The one before it asked to be replaced.
    Wanted,
}

/// How an engine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DrainKind {
    /// Connections end with their next answer; idle ones at the deadline.
    Graceful,
    /// As graceful, but idle connections are closed at once.
    Short,
}

impl DrainKind {
    /// What an engine has beyond the deadline, to cut what is left, have its modules stop, and exit, before its keeper kills it.
    pub const fn grace(self) -> Duration {
        match self {
            Self::Graceful => Duration::from_secs(5),
            Self::Short => Duration::from_secs(1),
        }
    }
}

/// Why a fresh engine is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Want {
    /// Too much retired code is still mapped.
    Retired,
    /// A load hangs inside the dynamic linker, which blocks every other load for ever.
    LoaderHangs,
    /// Modules hold all threads that serve requests.
    WorkersHeld,
    /// Calls that nobody waits for hold all threads of the pool.
    PoolHeld,
}

/// A revision that must not be loaded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Quarantine {
    /// The entry.
    pub key: EntryKey,
    /// [`hotbay_api::Revision::fingerprint`].
    pub fingerprint: String,
    /// What it did.
    pub message: String,
}

/// A build whose calls run on the pool.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Demoted {
    /// The entry whose calls it was seen in.
    pub key: EntryKey,
    /// The build.
    pub digest: Digest,
    /// What it did.
    pub message: String,
}

/// A revision that ended an engine, and is given another chance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CrashNote {
    /// The entry.
    pub key: EntryKey,
    /// [`hotbay_api::Revision::fingerprint`].
    pub fingerprint: String,
    /// What it did.
    pub message: String,
    /// So long, in milliseconds, another revision goes first, if there is one.
    pub hold_ms: u64,
}

/// A probe's end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Of the build.
    pub digest: Digest,
    /// How it went.
    pub outcome: ProbeOutcome,
}

/// How a probe went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeOutcome {
    /// The build loads.
    Passed,
    /// It says itself why it does not, or the linker does.
    Refused {
        /// In one word.
        reason: Reason,
        /// For people.
        message: String,
    },
    /// The child died.
    Crashed {
        /// By what.
        message: String,
    },
    /// The child did not end in time and was killed.
    TimedOut,
}

/// The last line on standard output of a probe that has passed, beside exit code 0: a module that calls `exit(0)` while it is loaded does not
/// get there.
pub fn probe_passed(digest: &Digest) -> String {
    format!("passed {digest}")
}

/// A part of an engine's report. The first piece of a full report has `restart`; the keeper forgets what it knew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportPiece {
    /// Forget everything that was said before.
    pub restart: bool,
    /// New or changed entries.
    pub entries: Vec<EntryReport>,
    /// Entries that are gone from the bay.
    pub removed: Vec<EntryKey>,
    /// Where entries answer, for those where that has changed.
    #[serde(default)]
    pub routes: Vec<EntryRoutes>,
    /// What is wrong with the bay as a whole, as of now.
    pub trouble: Option<Trouble>,
}

/// Where an entry answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryRoutes {
    /// The entry.
    pub key: EntryKey,
    /// For people, as `GET,POST example.com/path`. Perhaps not all of them.
    pub routes: Vec<String>,
    /// How many more there are.
    pub more: u32,
}

/// Cuts a long list into pieces of at most `budget` bytes of JSON each (a single larger item is a piece of its own).
pub fn pieces<T: Serialize>(items: Vec<T>, budget: usize) -> Vec<Vec<T>> {
    let mut all = Vec::new();
    let mut piece = Vec::new();
    let mut size = 0;
    for item in items {
        let length = serde_json::to_vec(&item).map_or(budget, |json| json.len() + 1);
        if size + length > budget && !piece.is_empty() {
            all.push(std::mem::take(&mut piece));
            size = 0;
        }
        size += length;
        piece.push(item);
    }
    if !piece.is_empty() {
        all.push(piece);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_keep_order_and_budget() {
        let items: Vec<String> = (0..100).map(|number| format!("item-{number:03}")).collect();
        let cut = pieces(items.clone(), 50);
        assert!(cut.iter().all(|piece| serde_json::to_vec(piece).unwrap().len() <= 52));
        assert_eq!(cut.concat(), items);
        assert!(pieces(Vec::<String>::new(), 50).is_empty());
    }
}
