//! The local report: how one pod's (or laptop's) runtime stands with each entry of its bay.
//!
//! Owns the format of the file that the keeper writes and agent and CLI read. It lists every entry; the agent condenses it for the cluster.

use serde::{Deserialize, Serialize};

use crate::{Digest, EntryKey, Reason};

/// The whole report. Replaced as a file by rename, so a reader never sees half of one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LocalReport {
    /// Which engine serves, counted from 1; 0 before the first is ready.
    pub engine: u64,
    /// The ABI that the runtime serves, as `major.minor`.
    pub abi: String,
    /// What the runtime runs on, as in [`crate::Platform`]'s display.
    pub platform: String,
    /// What is wrong with the runtime as a whole, e.g. [`Reason::BayMissing`].
    pub trouble: Option<Trouble>,
    /// One for each entry of the bay, sorted by key.
    pub entries: Vec<EntryReport>,
}

/// A reason and its words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// In one word.
    pub reason: Reason,
    /// For people: what, where, what to do.
    pub message: String,
}

/// How the runtime stands with one entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EntryReport {
    /// Which entry.
    pub key: EntryKey,
    /// The entry's sequence that this is about; `None` if the entry has none.
    pub sequence: Option<u64>,
    /// How far its wanted revision has come.
    pub state: EntryState,
    /// The wanted revision's name; empty if the entry could not be read.
    pub wanted: String,
    /// What answers requests now, if anything does.
    pub serving: Option<Serving>,
    /// Why the wanted revision does not serve.
    pub failure: Option<Trouble>,
    /// What is to be known of the revision that serves: it does, and not as it could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<Trouble>,
}

/// How far the wanted revision has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EntryState {
    /// On its way: staged, checked, probed or starting.
    Pending,
    /// It serves.
    Active,
    /// It does not serve; `serving` says what does instead.
    Failed,
}

/// A revision that answers requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serving {
    /// The revision's name.
    pub revision: String,
    /// Of the build that is loaded.
    pub digest: Digest,
    /// [`crate::Revision::fingerprint`].
    pub fingerprint: String,
}
