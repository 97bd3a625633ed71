//! What is decided, in words that the controller carries out.
//!
//! Owns the vocabulary: what can be done, to which object, and what can come of it. Must not decide anything.

use std::sync::Arc;

use hotbay_api::{
    Digest, EntryKey, HandlerModule, HandlerModuleStatus, PoolRef, RuntimePool, RuntimePoolStatus,
};
use hotbay_pipeline::InlineBlob;

use super::notices::Notice;
use super::requests::LookUpRequest;
use crate::objects::{EntryDraft, StoredBlob, StoredEntry};

/// Something to be done.
#[derive(Debug)]
pub enum Action {
    /// Look a module's reference up.
    LookUp(Box<LookUpRequest>),
    /// Write an object.
    Write(Target, Box<Write>),
    /// Watch what lies in a namespace with a pool.
    Watch(String),
    /// Stop that.
    Unwatch(String),
    /// Tell news as a Kubernetes event.
    Tell(Notice),
}

/// An object that is written; it has one write at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// The entry of a module in a pool.
    Entry(PoolRef, EntryKey),
    /// A blob in a namespace.
    Blob(String, Digest),
    /// The status of a module.
    ModuleStatus(EntryKey),
    /// The status of a pool.
    PoolStatus(PoolRef),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Entry(pool, key) => write!(f, "the entry of {key} in pool {pool}"),
            Self::Blob(namespace, digest) => write!(f, "the blob {digest} in {namespace}"),
            Self::ModuleStatus(key) => write!(f, "the status of module {key}"),
            Self::PoolStatus(pool) => write!(f, "the status of pool {pool}"),
        }
    }
}

/// What is to be written.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// A new entry.
    CreateEntry(Box<EntryDraft>),
    /// A change of this entry, as it was seen.
    UpdateEntry(Box<EntryDraft>, Arc<StoredEntry>),
    /// The removal of an entry whose module is gone, or names another pool: to be verified with the API server first.
    RemoveEntry(Arc<StoredEntry>),
    /// A new blob, in this namespace.
    CreateBlob(String, InlineBlob),
    /// The removal of a blob that no entry names.
    RemoveBlob(Arc<StoredBlob>),
    /// The status of the module with this UID.
    ModuleStatus(EntryKey, String, Box<HandlerModuleStatus>),
    /// The status of the pool with this UID.
    PoolStatus(PoolRef, String, RuntimePoolStatus),
}

impl Target {
    /// Its kind, in a word for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Entry(..) => "entry",
            Self::Blob(..) => "blob",
            Self::ModuleStatus(_) => "module_status",
            Self::PoolStatus(_) => "pool_status",
        }
    }
}

impl Write {
    /// What it does, in a word for metrics.
    pub fn operation(&self) -> &'static str {
        match self {
            Self::CreateEntry(..) | Self::CreateBlob(..) => "create",
            Self::UpdateEntry(..) | Self::ModuleStatus(..) | Self::PoolStatus(..) => "update",
            Self::RemoveEntry(_) | Self::RemoveBlob(_) => "delete",
        }
    }
}

/// What came of a write.
#[derive(Debug)]
pub enum Written {
    /// The entry as it is now.
    Entry(Box<StoredEntry>),
    /// The entry is gone.
    EntryGone(Arc<StoredEntry>),
    /// The entry stays: its module is still there, or nobody can say.
    EntryKept(Arc<StoredEntry>),
    /// The blob as it is now.
    Blob(StoredBlob),
    /// The blob is gone.
    BlobGone(Arc<StoredBlob>),
    /// The module as it is now.
    Module(Box<HandlerModule>),
    /// The pool as it is now.
    Pool(Box<RuntimePool>),
    /// The object with this UID, which was to be changed, is gone; its deletion will be seen.
    Vanished(String),
    /// It failed, and was logged.
    Failed,
    /// The API server will not have it, for a quota or by a policy, and that was logged.
    Refused,
}

impl Written {
    /// In a word for metrics.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Entry(_) | Self::Blob(_) | Self::Module(_) | Self::Pool(_) => "written",
            Self::EntryGone(_) | Self::BlobGone(_) => "removed",
            Self::EntryKept(_) => "kept",
            Self::Vanished(_) => "vanished",
            Self::Failed | Self::Refused => "failed",
        }
    }
}
