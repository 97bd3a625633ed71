//! Why a module is as it is, in one word.
//!
//! Owns the one list of reasons that status, reports, events, metrics, logs, CLI and docs share. A reader accepts words that it does
//! not know, because operator, agent and runtime are upgraded weeks apart.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// A reason; displays and parses as its own name.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[doc = $doc])+ $name,)+
            /// A word of a newer version than this reader.
            Unknown(String),
        }

        impl Reason {
            /// Every reason that this version knows, in the order of the docs.
            pub const ALL: &[Reason] = &[$(Reason::$name,)+];

            /// The word itself.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Reason::$name => stringify!($name),)+
                    Reason::Unknown(word) => word,
                }
            }
        }

        impl From<String> for Reason {
            fn from(word: String) -> Self {
                match word.as_str() {
                    $(stringify!($name) => Reason::$name,)+
                    _ => Reason::Unknown(word),
                }
            }
        }
    };
}

reasons! {
    /// All went well.
    Succeeded,
    /// Work is under way.
    Progressing,
    /// The bytes are not those that the digest promises.
    DigestMismatch,
    /// A blob that an entry names has not (wholly) arrived.
    Incomplete,
    /// The file is not an ELF shared object, or is cut short.
    InvalidElf,
    /// Built for another machine than the one that runs it.
    WrongArchitecture,
    /// Built against a newer libc than the runtime has.
    LibcTooOld,
    /// Needs a shared library that the runtime does not have.
    DependencyMissing,
    /// Uses static thread-local storage, which cannot be loaded late.
    StaticTls,
    /// Exports symbols beside the one that it must.
    SymbolLeak,
    /// Built for an ABI version that this runtime does not serve.
    AbiMismatch,
    /// Lacks the entry symbol `hotbay_module_v1`.
    MissingSymbol,
    /// The manifest is absent or not well formed.
    ManifestInvalid,
    /// The config does not fit the module's schema, or the module refused it.
    ConfigRejected,
    /// The module's loading ended the probe process.
    ProbeCrashed,
    /// The module's loading did not return in time.
    ProbeTimeout,
    /// The instance could not be made.
    StartFailed,
    /// The instance was not ready in time.
    StartTimeout,
    /// The module ended an engine.
    Crashed,
    /// The module held an engine thread.
    Stalled,
    /// The revision ended two engines within a minute and is not tried again.
    Quarantined,
    /// The next engine could not take over; the old one serves on.
    HandoverFailed,
    /// The bay folder is gone; what was loaded serves on.
    BayMissing,
    /// The entry is of a version that this runtime does not read.
    EntryVersion,
    /// The stage folder forbids execution.
    NoExec,
    /// The disk is full.
    NoSpace,
    /// A route is not well formed.
    RouteInvalid,
    /// A route belongs to an older module.
    RouteConflict,
    /// The pool that the module names does not exist.
    RuntimeNotFound,
    /// The pool does not take modules from this namespace.
    NotAllowed,
    /// The pool has no ready pods.
    NoRuntimePods,
    /// The operator may not read what belongs to the pool; what the pods have serves on.
    PoolUnreadable,
    /// The pool holds as many modules as it may.
    PoolFull,
    /// The module is suspended.
    Suspended,
    /// So many entries lost their module at once that their removal waits for consent.
    SweepHeld,
    /// The artifact or its blob is larger than allowed.
    TooLarge,
    /// The source could not be reached.
    SourceUnreachable,
    /// The source refused the credentials, or their absence.
    SourceUnauthorized,
    /// The source has no such repository, tag or digest.
    SourceNotFound,
    /// No signature was found.
    SignatureMissing,
    /// A signature was found and is not valid.
    SignatureInvalid,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Reason {
    type Err = Infallible;

    fn from_str(word: &str) -> Result<Self, Infallible> {
        Ok(Self::from(word.to_owned()))
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Unknown(word) => word,
            known => known.as_str().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_parses_to_itself_and_unknown_words_survive() {
        for reason in Reason::ALL {
            assert_eq!(&Reason::from(reason.as_str().to_owned()), reason);
        }
        let newer: Reason = serde_json::from_str("\"FromTheFuture\"").unwrap();
        assert_eq!(serde_json::to_string(&newer).unwrap(), "\"FromTheFuture\"");
    }
}
