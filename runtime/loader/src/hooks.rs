//! What the loader thread calls in an instance's life, and how long that may take.
//!
//! Owns the limits, and what an author is told whose module passes one. Must not call anything: `instance` does.

use std::fmt;
use std::time::Duration;

/// How long what runs on the loader thread may take (DESIGN §4).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// dlopen and the entry function. The probe has shown them quick before.
    pub load: Duration,
    /// One call of a hook, for all others wait meanwhile.
    pub call: Duration,
    /// A start, with all of its calls and what is between them.
    pub start: Duration,
    /// A stop, in the same way; then the instance is destroyed all the same.
    pub stop: Duration,
}

/// For everybody.
pub(crate) const LIMITS: Limits = Limits {
    load: Duration::from_secs(10),
    call: Duration::from_secs(3),
    start: Duration::from_secs(30),
    stop: Duration::from_secs(10),
};

/// A function of the module's table that runs on the loader thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Makes an instance, or begins to.
    Create,
    /// Goes on with what create or stop began.
    PollInstance,
    /// Ends an instance, or begins to.
    Stop,
    /// Frees it.
    Destroy,
}

/// One call of a hook took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// Which.
    pub hook: Hook,
    /// So long it might have taken.
    pub limit: Duration,
}

impl fmt::Display for Overdue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hook, limit } = self;
        let Limits { start, stop, .. } = LIMITS;
        match hook {
            Hook::Create => {
                write!(
                    f,
                    "create did not return within {limit:?}; make it async (HB_PENDING), then it has {start:?}"
                )
            }
            Hook::PollInstance => write!(
                f,
                "poll_instance did not return within {limit:?}; an async create or stop must not block: have it await, or give a thread of its own what blocks"
            ),
            Hook::Stop => {
                write!(
                    f,
                    "stop did not return within {limit:?}; make it async (HB_PENDING), then it has {stop:?}"
                )
            }
            Hook::Destroy => {
                write!(f, "destroy did not return within {limit:?}; do in an async stop what takes its time")
            }
        }
    }
}
