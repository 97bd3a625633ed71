//! Why a module is as it is, in one word.
//!
//! Owns the one list of reasons that status, reports, events, metrics, logs, CLI and docs share. A reader accepts words that it does
//! not know, because operator, agent and runtime are upgraded weeks apart. `docs/reasons.md` is written from it.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a reason says to a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What has happened.
    pub meaning: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
    /// Whether it may pass by itself; begins with Yes or No.
    pub waiting: &'static str,
}

macro_rules! reasons {
    ($(#[doc = $doc:literal] $name:ident { remedy: $remedy:literal, waiting: $waiting:literal })+) => {
        /// A reason; displays and parses as its own name.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        #[non_exhaustive]
        pub enum Reason {
            $(#[doc = $doc] $name,)+
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

            /// What it means, what to do, and whether waiting helps; `None` for a word that this version does not know.
            pub fn explanation(&self) -> Option<Explanation> {
                let (meaning, remedy, waiting): (&str, &str, &str) = match self {
                    $(Reason::$name => ($doc, $remedy, $waiting),)+
                    Reason::Unknown(_) => return None,
                };
                Some(Explanation { meaning: meaning.trim_ascii(), remedy, waiting })
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
    Succeeded {
        remedy: "Nothing.",
        waiting: "No need to: it is done."
    }
    /// Work is under way: the artifact is looked up, or pods load it.
    Progressing {
        remedy: "Wait. If it lasts for minutes, look at the operator's log, then at the pods of the pool.",
        waiting: "Yes: that is all it takes."
    }
    /// The bytes are not those that the digest promises.
    DigestMismatch {
        remedy: "Push the artifact again. If it comes back, look for a proxy or a registry that changes or cuts files.",
        waiting: "Yes, if the registry heals: it is fetched again, with growing pauses."
    }
    /// A blob that an entry names has not (wholly) arrived in the pod.
    Incomplete {
        remedy: "Wait a minute. Then look at the log of the agent container: it gets blobs from ConfigMaps of its namespace and from the operator's port 8082.",
        waiting: "Yes: the agent tries again, and so does the runtime when the file is there."
    }
    /// The file is not a whole ELF shared object, or the artifact holds none.
    InvalidElf {
        remedy: "Build a shared object (in Rust a `cdylib`), copy it whole, and push it with `hotbay push`. `hotbay inspect FILE` shows what it is.",
        waiting: "No: push a correct file, under a new tag or the same one."
    }
    /// There is no build for the machine or the libc of the pool's nodes.
    WrongArchitecture {
        remedy: "Build for the platform that the message names; `hotbay push` takes one file for each platform.",
        waiting: "No: push the missing build, or run the pool on nodes that match."
    }
    /// The module needs a newer glibc than the runtime has (2.36 in our images).
    LibcTooOld {
        remedy: "Build it on a system with that glibc or an older one, such as the container image `rust:1-bookworm`.",
        waiting: "No: build it again."
    }
    /// The module needs a shared library, or a symbol of one, that the runtime does not have.
    DependencyMissing {
        remedy: "Link that library statically, or run the pool with an image that has it.",
        waiting: "No: build it again, or change the image."
    }
    /// The module uses static thread-local storage, for which there may be no room when it is loaded late.
    StaticTls {
        remedy: "Build it without an allocator of its own and without `-ftls-model=initial-exec`.",
        waiting: "No: build it again."
    }
    /// The module exports symbols beside the one that it must. Reserved: this version does not check it.
    SymbolLeak {
        remedy: "Nothing.",
        waiting: "No."
    }
    /// The module is built for a version of the ABI that this Hotbay does not serve, refuses this host, or gives it a table that is not whole.
    AbiMismatch {
        remedy: "If the message names two versions, upgrade Hotbay if the module's is newer, or build the module with the current SDK or header if it is older. If it says that the table is not whole, neither helps: correct what it names in the module's `hb_module`. If the module refuses this host, read what it logged.",
        waiting: "No: the module or Hotbay must change."
    }
    /// The module lacks the entry symbol `hotbay_module_v1`.
    MissingSymbol {
        remedy: "Do not strip dynamic symbols, and keep the symbol in your version script. With the Rust SDK, call `module!`.",
        waiting: "No: build it again."
    }
    /// The file has no Hotbay manifest, several, one that cannot be read, or one that its table does not agree with; or an entry is not well formed.
    ManifestInvalid {
        remedy: "With an SDK, build the file again, one module a file. In another language, correct what the message names: the manifest is an ELF note called `Hotbay` of type 1, aligned to 4, in a `PT_NOTE` segment (`readelf -n FILE` shows it), and names as many handlers as the table's `n_handlers` says. If it is about an entry, look at who writes into the bay beside Hotbay.",
        waiting: "No: build it again."
    }
    /// `spec.config` does not fit the module's schema, or the module refused it.
    ConfigRejected {
        remedy: "Correct the field that the message names; `hotbay inspect` shows the schema.",
        waiting: "No: edit `spec.config`."
    }
    /// Loading the module ended the process that tried it: a constructor crashed or exited.
    ProbeCrashed {
        remedy: "Run the module's own tests, and look at what runs before the first call: constructors and global objects.",
        waiting: "No: the same file is not tried again."
    }
    /// Loading the module did not return within 2 s.
    ProbeTimeout {
        remedy: "Take work out of constructors and global objects; do it in `create` or in a handler.",
        waiting: "No, unless the node was only busy: the pods try again, with growing pauses."
    }
    /// The instance could not be made: `create` failed or panicked, or the runtime lacked something for it.
    StartFailed {
        remedy: "Read the message: it holds what the module said. Mend the config, the module, or what it connects to.",
        waiting: "Yes, if what the module needs comes back: it is tried again, with growing pauses."
    }
    /// `create` did not return within 3 s (or one step of an async one did not), or its instance stayed pending for 30 s.
    StartTimeout {
        remedy: "If a call did not return, make `create` async and await in it what takes long: then it has 30 s. If it stayed pending, look at what `create` waits for; give each connection it makes a time limit of its own.",
        waiting: "Yes, if what it waits for comes back: it is tried again, with growing pauses."
    }
    /// The module ended an engine by a crash; said of a pod or a pool, that engines ended there and no module is plainly to blame.
    Crashed {
        remedy: "The message names signal and request. Mend the module; for a pod, look at the runtime container's log and at the pod's memory limit.",
        waiting: "No, unless it was chance: the revision is tried again once, and quarantined if it ends another engine within a minute."
    }
    /// A handler of the module held threads that serve everybody, so the calls of this build run on the blocking threads. It serves all the same.
    Stalled {
        remedy: "The message names the handler. Declare it `#[handler(.., blocking)]`, or await what it waits for; give long computations a thread of their own.",
        waiting: "No: a build that was moved stays there. Push a mended one."
    }
    /// The revision ended two engines within a minute and is not tried again.
    Quarantined {
        remedy: "Mend the module and push it, or change the config; the message says how the engines ended.",
        waiting: "No: apply another revision. The last good one serves meanwhile, if there is one."
    }
    /// The next engine could not take over from the old one, which serves on.
    HandoverFailed {
        remedy: "Look at the log of the runtime container; often a module starts once and not a second time, or memory is short.",
        waiting: "Yes: the keeper tries again, with growing pauses."
    }
    /// The bay folder cannot be read or written; what was loaded serves on.
    BayMissing {
        remedy: "Look at the pod's volumes; on a laptop, at the folder given to `hotbay run`.",
        waiting: "Yes, if the folder comes back."
    }
    /// The entry is of a version that this runtime does not read; the last one it could read serves on.
    EntryVersion {
        remedy: "Upgrade the runtime to the operator's version.",
        waiting: "Yes, if the upgrade is under way."
    }
    /// The stage folder forbids execution, so no module can be loaded from it.
    NoExec {
        remedy: "Mount the volume for `/var/lib/hotbay` without `noexec`, or name another folder with HOTBAY_STATE.",
        waiting: "No: change the volume."
    }
    /// The disk is full, in the bay or in the stage; or with this the volume of one of them would be nearly full.
    NoSpace {
        remedy: "Raise `volumes.bay` or `volumes.state` of the pool's chart, as the message says, free the node's disk, or remove modules.",
        waiting: "Yes, if space is freed, as when a module goes: it is tried again by itself."
    }
    /// A route is not well formed, or names a handler that the module does not have.
    RouteInvalid {
        remedy: "Correct `spec.routes`; `hotbay inspect` lists the module's handlers.",
        waiting: "No: edit `spec.routes`."
    }
    /// An older module has the same route: hostname, path and method.
    RouteConflict {
        remedy: "Change the route, or remove it from the module that the message names.",
        waiting: "No, unless the older module gives the route up; then it is taken at once."
    }
    /// The pool that the module names does not exist.
    RuntimeNotFound {
        remedy: "Install the chart `hotbay-runtime`, or correct `spec.runtimeRef` (`kubectl get runtimepools -A`).",
        waiting: "Yes, if the pool is about to be made: the module is taken up at once."
    }
    /// The pool does not take modules from this namespace.
    NotAllowed {
        remedy: "Name another pool, or ask the pool's owner for a place in `spec.allowedModules`.",
        waiting: "Yes, if the owner allows it: the module is taken up at once."
    }
    /// No pod of the pool is ready.
    NoRuntimePods {
        remedy: "Look at the pool's Deployment and its Service: `kubectl get pods,endpointslices -n hotbay`.",
        waiting: "Yes, if pods are starting."
    }
    /// The operator may not read what belongs to the pool; what the pods have serves on.
    PoolUnreadable {
        remedy: "Install the chart `hotbay-runtime` in the pool's namespace: its Role is what lets the operator in.",
        waiting: "Yes, once the Role is there."
    }
    /// The pool holds as many modules as it may.
    PoolFull {
        remedy: "Delete a module, or ask the pool's owner for higher `spec.limits`.",
        waiting: "Yes, if another module goes."
    }
    /// `spec.suspend` is true: what serves goes on serving, and nothing new is looked up.
    Suspended {
        remedy: "Set `spec.suspend` to false to go on.",
        waiting: "No: it stays until you edit it."
    }
    /// So many entries lost their module at once that their removal waits for consent.
    SweepHeld {
        remedy: "If the modules were meant to go, annotate the pool with `hotbay.dev/allow-sweep=true`; otherwise restore them.",
        waiting: "No: it waits for you."
    }
    /// The artifact or its blob is larger than the pool allows.
    TooLarge {
        remedy: "Strip the module and build it for size, or ask for higher `spec.limits` of the pool.",
        waiting: "No: push a smaller one, or change the limit."
    }
    /// The registry could not be reached: unknown name, refused connection, time-out, or a server error.
    SourceUnreachable {
        remedy: "Check the host in the reference, DNS and proxies; for the operator, the network policies of its namespace too.",
        waiting: "Yes: it is looked up again, with growing pauses."
    }
    /// The registry answered 401 or 403: wrong credentials, or none.
    SourceUnauthorized {
        remedy: "Check the repository's name and who may read it. The operator reads public repositories only; `hotbay` uses `~/.docker/config.json`.",
        waiting: "Yes, if access is granted: it is looked up again, with growing pauses."
    }
    /// There is no such repository, tag or digest, or the reference is not well formed.
    SourceNotFound {
        remedy: "Push the module, or correct the reference.",
        waiting: "Yes, if it is about to be pushed: it is looked up again, with growing pauses. A malformed reference needs an edit."
    }
    /// No signature was found. Reserved: this version does not verify signatures.
    SignatureMissing {
        remedy: "Nothing.",
        waiting: "No."
    }
    /// A signature was found and is not valid. Reserved: this version does not verify signatures.
    SignatureInvalid {
        remedy: "Nothing.",
        waiting: "No."
    }
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

    #[test]
    fn every_reason_is_explained_in_whole_sentences() {
        for reason in Reason::ALL {
            let Explanation { meaning, remedy, waiting } = reason.explanation().unwrap();
            for text in [meaning, remedy, waiting] {
                assert!(text.ends_with('.') && text.len() > 2, "{reason}: {text:?} is no sentence");
            }
            assert!(waiting.starts_with("Yes") || waiting.starts_with("No"), "{reason}: {waiting:?}");
        }
        assert_eq!(Reason::Unknown("FromTheFuture".into()).explanation(), None);
    }
}
