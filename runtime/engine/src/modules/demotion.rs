//! Builds whose calls run on the pool, because they have held threads that serve.
//!
//! Owns which those are. A build, not a module: a new one gets a new chance, another config does not. Modules of several namespaces may have one build: each
//! learns what was found, and none learns whose calls it was found in. Owns, too, which of them have lost all their threads there.

use std::collections::BTreeSet;
use std::collections::btree_map::Entry;

use hotbay_api::{Digest, EntryKey, Reason, Trouble};
use hotbay_protocol::Demoted;

use super::module::{Former, Module};
use super::{Active, Modules};

/// What is told of an instance whose calls there do not return.
const STUCK: &str =
    "calls that nobody waits for any more hold all its blocking threads, so others are answered 503";

impl<I> Modules<I> {
    /// Notes that a build's calls run on the pool from now on. False if that was known.
    pub fn demote(&mut self, demoted: Demoted) -> bool {
        match self.demoted.entry(demoted.digest) {
            Entry::Occupied(_) => false,
            Entry::Vacant(free) => {
                free.insert(demoted);
                true
            }
        }
    }

    /// Whether this build's calls run on the pool.
    pub fn is_demoted(&self, digest: &Digest) -> bool {
        self.demoted.contains_key(digest)
    }

    /// What serves of a module by the build of the instance with this fingerprint: that instance itself, or one that has replaced it since with another config.
    pub fn same_build(&self, key: &EntryKey, fingerprint: &str) -> Option<&Active<I>> {
        let Module { active, former, .. } = self.modules.get(key)?;
        let active = active.as_ref()?;
        let is_of = |former: &&Former| former.fingerprint == fingerprint;
        let drains = || former.iter().find(is_of).is_some_and(|former| former.digest == active.digest);
        (active.fingerprint == fingerprint || drains()).then_some(active)
    }

    /// Notes which instances' calls on the pool do not return. Returns those that are new among them, and those that are none any more.
    pub fn set_stuck(&mut self, stuck: BTreeSet<(EntryKey, String)>) -> (Vec<EntryKey>, Vec<EntryKey>) {
        let keys = |some: &BTreeSet<(EntryKey, String)>, others: &BTreeSet<(EntryKey, String)>| {
            some.difference(others).map(|(key, _)| key.clone()).collect()
        };
        let changed = (keys(&stuck, &self.stuck), keys(&self.stuck, &stuck));
        self.stuck = stuck;
        changed
    }

    /// What is to be known of what serves of a module.
    pub(super) fn notice(&self, key: &EntryKey, module: &Module<I>) -> Option<Trouble> {
        let Active { digest, fingerprint, .. } = module.active.as_ref()?;
        let is_stuck = self.stuck.contains(&(key.clone(), fingerprint.clone()));
        let stuck = is_stuck.then(|| STUCK.to_owned());
        // Another's routes, and even that it is there, are its own namespace's.
        let demoted = self.demoted.get(digest).map(|demoted| match demoted.key == *key {
            true => demoted.message.as_str(),
            false => "a module with the same build held a thread of the engine elsewhere in this pod",
        });
        let demoted =
            demoted.map(|deed| format!("{deed}; calls of this build run on the blocking threads now"));
        let messages: Vec<String> = [stuck, demoted].into_iter().flatten().collect();
        let message = messages.join("; ");
        (!message.is_empty()).then_some(Trouble { reason: Reason::Stalled, message })
    }
}
