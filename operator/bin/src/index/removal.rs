//! Entries whose module is gone.
//!
//! The most dangerous code here: a wrong answer ends what serves. Owns the rule. An entry is a candidate for removal when its module was
//! seen to be deleted, or is not in a complete list, or is another object of the same name, or went to another pool; and then it goes
//! only if a live question to the API server says the same (`write` asks). Candidates that a list alone brought forth are held when
//! they are many: an empty list is more often a broken permission or a reinstalled CRD than the wish of a user.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hotbay_api::{Entry, EntryKey, labels};

use super::Index;
use super::actions::{Target, Write};
use super::decide::View;
use super::entries::Planned;
use crate::objects::StoredEntry;

/// So many may always go at once.
const ALWAYS: usize = 20;

/// An entry may still appear so long after its module was seen to be deleted, and after its making was given up: its namespace is not listed yet, or
/// the API server, which ends a request after a minute, made it all the same.
pub(super) const LATE: Duration = Duration::from_secs(90);

impl Index {
    /// The removals that may be made now; counts those that are held.
    pub(super) fn plan_removals(&self, view: &mut View) -> Vec<Planned> {
        let orphans: Vec<Arc<StoredEntry>> = view
            .entries
            .values()
            .filter(|stored| is_orphan(view, stored) && !self.is_leaving(stored))
            .cloned()
            .collect();
        let by_list = orphans.iter().filter(|stored| self.is_mystery(stored)).count();
        let held = by_list > ALWAYS.max(view.entries.len() / 10) && !allows_sweep(view);
        view.held_removals = if held { by_list } else { 0 };
        let may_go = orphans.into_iter().filter(|stored| !held || !self.is_mystery(stored));
        may_go.map(|stored| plan(&stored)).collect()
    }

    /// Whether nothing but the module's absence from a list speaks for the removal.
    fn is_mystery(&self, stored: &StoredEntry) -> bool {
        let seen = self.seen_deleted.contains_key(&(stored.key.clone(), stored.module_uid.clone()));
        !seen && self.modules.get(&stored.key.namespace, &stored.key.name).is_none()
    }

    /// Forgets what was seen of modules whose entries are gone.
    pub(super) fn forget_removed(&mut self, now: Instant) {
        if !self.is_complete() {
            return;
        }
        let places = &self.places;
        let has_entry = |key: &EntryKey, uid: &str| {
            let mut entries = places.values().flat_map(|place| place.entries.of(key));
            entries.any(|stored| stored.module_uid == *uid)
        };
        let under_way: BTreeSet<&EntryKey> = self.schedule.entries_under_way().collect();
        self.seen_deleted.retain(|(key, uid), since| {
            now < *since + LATE || under_way.contains(key) || has_entry(key, uid)
        });
        self.forget_look_ups();
        let modules = &self.modules;
        let is_there = |key: &EntryKey| modules.get(&key.namespace, &key.name).is_some();
        self.known_good.retain(|key, _| is_there(key));
        self.schedule.forget(|target| matches!(target, Target::ModuleStatus(key) if !is_there(key)));
    }
}

/// Whether no member of the pool is the module that the entry was made for.
fn is_orphan(view: &View, stored: &StoredEntry) -> bool {
    view.entry_of(&stored.key).is_none()
}

fn allows_sweep(view: &View) -> bool {
    let annotations = view.rules.as_ref().and_then(|rules| rules.metadata.annotations.as_ref());
    annotations.and_then(|all| all.get(labels::ALLOW_SWEEP)).is_some_and(|value| value == "true")
}

fn plan(stored: &Arc<StoredEntry>) -> Planned {
    let old: Option<&Entry> = stored.entry.as_ref();
    Planned::new(stored.key.clone(), Write::RemoveEntry(stored.clone()), old, None)
}
