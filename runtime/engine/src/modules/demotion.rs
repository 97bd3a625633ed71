//! Builds whose calls run on the pool, because they have held threads that serve.
//!
//! Owns which those are. A build, not a module: a new one gets a new chance, another config does not.

use std::collections::btree_map::Entry;

use hotbay_api::{Digest, Reason, Trouble};
use hotbay_protocol::Demoted;

use super::module::Module;
use super::{Active, Modules};

impl<I> Modules<I> {
    /// Notes that a build's calls run on the pool from now on. False if that was known.
    pub fn demote(&mut self, demoted: Demoted) -> bool {
        match self.demoted.entry(demoted.digest) {
            Entry::Occupied(_) => false,
            Entry::Vacant(free) => {
                free.insert(demoted.message);
                true
            }
        }
    }

    /// Whether this build's calls run on the pool.
    pub fn is_demoted(&self, digest: &Digest) -> bool {
        self.demoted.contains_key(digest)
    }

    /// What is to be known of what serves of a module.
    pub(super) fn notice(&self, module: &Module<I>) -> Option<Trouble> {
        let Active { digest, .. } = module.active.as_ref()?;
        let message =
            format!("{}; calls of this build run on the blocking threads now", self.demoted.get(digest)?);
        Some(Trouble { reason: Reason::Stalled, message })
    }
}
