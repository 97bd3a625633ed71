//! The rules that are checked, each with the sentence that a person reads.
//!
//! Owns their names. `hotbay.h` is where each comes from.

/// Defines the rules once: variant, id, sentence.
macro_rules! rules {
    ($($variant:ident = $id:literal: $sentence:literal,)*) => {
        /// A rule of the ABI.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Rule {
            $(#[doc = $sentence] $variant,)*
        }

        impl Rule {
            /// All of them, in the order in which they are shown.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its name.
            pub fn id(self) -> &'static str {
                match self { $(Self::$variant => $id,)* }
            }

            /// What it asks for.
            pub fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $sentence,)* }
            }
        }
    };
}

rules! {
    Notes = "notes": "two ELF notes: a valid manifest, and an ABI that this host serves; each in the header's form",
    Symbols = "symbols": "hotbay_module_v1 is the only exported symbol",
    Loads = "loads": "the dynamic linker takes the file",
    Table = "table": "the table is whole: size, flags (the note's), handlers, and every required function",
    Create = "create": "create makes instances, also several at once, and again after destroy",
    Instances = "instances": "instances do not change each other",
    Stop = "stop": "stop settles within 10 s",
    Threads = "threads": "the entry makes no thread, and none is left after stop and destroy",
    Returns = "returns": "no function keeps its thread; create, poll_instance, stop and destroy return within 3 s",
    Codes = "codes": "start and poll answer READY, PENDING or a negative value",
    Flags = "flags": "a flag that must be understood, and is not known, is refused",
    Wake = "wake": "what is pending is woken",
    OneAnswer = "one-answer": "a call is answered once",
    Complete = "complete": "READY only when the answer is complete",
    Answer = "answer": "answers are well-formed: status, headers, lengths, flags",
    Stream = "stream": "a stream is begun, written, and finished once",
    Bodies = "bodies": "bytes that are handed over stay as they are until they are released",
    Release = "release": "each piece from read is released exactly once, and not used afterwards",
    Views = "views": "no view is used after the call that it belongs to, nor written to",
    Handles = "handles": "only handles that the host gave are used, and those of calls for calls",
    AfterDrop = "after-drop": "nothing is asked of the host for a call that is over",
    Crash = "crash": "the module does not end the process",
    Succeeds = "succeeds": "requests are answered, not failed",
}

impl Rule {
    pub(crate) fn from_id(id: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|rule| rule.id() == id)
    }
}
