//! Which entries are written, and in which order.
//!
//! Owns two orders. Blobs before the entry that names them, so that no pod reads of a blob that is not there. And when a path moves
//! between modules, the entry that gains it before the one that loses it: for a moment two entries have it, and the engine settles
//! that, where otherwise for a moment nobody would answer.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use hotbay_api::{Entry, EntryKey, HandlerModule, Revision};
use hotbay_pipeline::routes::claims;
use hotbay_pipeline::status::is_ready_for;
use hotbay_pipeline::{Refusal, entry, last_good};

use super::Index;
use super::actions::{Action, Target, Write};
use super::blobs::{Budget, Storing};
use super::decide::View;
use super::look_ups::LookUp;
use super::requests::Candidate;
use crate::objects::{EntryDraft, Origins, StoredEntry};

/// An entry that is to be written, or removed.
pub(super) struct Planned {
    pub(super) key: EntryKey,
    pub(super) write: Write,
    gains: BTreeSet<String>,
    loses: BTreeSet<String>,
    /// Its blobs are not all stored: it holds its place in the order, and waits.
    waits: bool,
    /// Nobody can say when it will be written, so nobody waits for it.
    stuck: bool,
}

impl Planned {
    pub(super) fn new(key: EntryKey, write: Write, old: Option<&Entry>, new: Option<&Entry>) -> Self {
        let routes = |entry: Option<&Entry>| {
            entry.and_then(Entry::wanted).map(|revision| claims(&revision.routes)).unwrap_or_default()
        };
        let (old, new) = (routes(old), routes(new));
        Self { key, write, gains: &new - &old, loses: &old - &new, waits: false, stuck: false }
    }
}

/// Those of `planned` that may be written now: one that loses a route waits until another that gains it is written, if that will be soon. Two that
/// change places wait for nobody, because neither could go first.
pub(super) fn in_order(planned: Vec<Planned>) -> Vec<Planned> {
    // Nobody gains what it loses itself.
    let coming = || planned.iter().filter(|plan| !plan.stuck);
    let gained: BTreeSet<&String> = coming().flat_map(|plan| &plan.gains).collect();
    let loses_to_another = |plan: &&Planned| plan.loses.iter().any(|claim| gained.contains(claim));
    let gained_by_pure_gainers: BTreeSet<String> =
        coming().filter(|plan| !loses_to_another(plan)).flat_map(|plan| plan.gains.clone()).collect();
    let may = |plan: &Planned| !plan.waits && plan.loses.is_disjoint(&gained_by_pure_gainers);
    planned.into_iter().filter(may).collect()
}

impl Index {
    pub(super) fn write_entries(&mut self, view: &mut View, now: Instant, actions: &mut Vec<Action>) {
        let mut planned = self.plan_entries(view, now, actions);
        // What a new object of the same name overwrites needs no removal.
        let overwritten: BTreeSet<EntryKey> = planned.iter().map(|plan| plan.key.clone()).collect();
        planned.extend(self.plan_removals(view).into_iter().filter(|plan| !overwritten.contains(&plan.key)));
        let wanted: BTreeSet<EntryKey> = planned.iter().map(|plan| plan.key.clone()).collect();
        self.schedule.forget(
            |target| matches!(target, Target::Entry(pool, key) if *pool == view.pool && !wanted.contains(key)),
        );
        for plan in in_order(planned) {
            let target = Target::Entry(view.pool.clone(), plan.key);
            if self.schedule.begin(&target, now) {
                actions.push(Action::Write(target, Box::new(plan.write)));
            }
        }
    }

    fn plan_entries(&mut self, view: &mut View, now: Instant, actions: &mut Vec<Action>) -> Vec<Planned> {
        let Some(rules) = view.rules.clone() else { return Vec::new() };
        let mut budget =
            Budget::of(&view.entries, self.stored_blobs(&view.pool.namespace), &rules.spec.limits);
        let members: Vec<(EntryKey, Arc<HandlerModule>)> = view
            .members
            .iter()
            .filter(|(key, _)| !view.refused.contains_key(key))
            .map(|(key, module)| (key.clone(), module.clone()))
            .collect();
        let mut planned = Vec::new();
        for (key, module) in members {
            let Some(candidate) = self.look_ups.get(&key).and_then(LookUp::candidate).cloned() else {
                continue;
            };
            let storing = self.store_blobs(&view.pool.namespace, &key, &mut budget, now, actions);
            let refused = self.schedule.is_refused(&Target::Entry(view.pool.clone(), key.clone()));
            let (waits, stuck) = (storing != Storing::Done, storing == Storing::Stuck || refused);
            match self.plan_entry(view, &budget, key.clone(), &module, candidate) {
                Ok(plan) => planned.extend(plan.map(|plan| Planned { waits, stuck, ..plan })),
                Err(refusal) => drop(view.refused.insert(key, refusal)),
            }
        }
        // They may stay refused for long; if not, the bytes are fetched again.
        for key in view.refused.keys() {
            if let Some(look_up) = self.look_ups.get_mut(key) {
                look_up.forget_bytes();
            }
        }
        planned
    }

    fn plan_entry(
        &self,
        view: &View,
        budget: &Budget,
        key: EntryKey,
        module: &HandlerModule,
        candidate: Candidate,
    ) -> Result<Option<Planned>, Refusal> {
        let own = view.entry_of(&key);
        let was_ready = own.is_some_and(|stored| self.was_ready(module, stored));
        let mut origins = own.map(|stored| stored.origins.clone()).unwrap_or_default();
        origins.extend(candidate.origins());
        let can_be_had = |good: &Revision| {
            good.blobs.iter().all(|blob| budget.is_stored(&blob.digest) || origins.contains_key(&blob.digest))
        };
        // Without its blob there is nothing to go back to, and pods that start would wait for it.
        let own = own.and_then(|stored| stored.entry.as_ref());
        let good = last_good(own, was_ready, &candidate.revision).filter(can_be_had);
        let desired = entry(module, candidate.revision, good)?;
        origins.retain(|digest, _| {
            desired.revisions.iter().flat_map(|one| &one.blobs).any(|blob| blob.digest == *digest)
        });
        let generation = module.metadata.generation.unwrap_or_default();
        let stored = view.entries.get(&key);
        if stored.is_some_and(|stored| says(stored, &desired, generation, &origins)) {
            return Ok(None);
        }
        let draft =
            Box::new(EntryDraft { pool: view.pool.clone(), entry: desired.clone(), generation, origins });
        let write = match stored {
            Some(stored) => Write::UpdateEntry(draft, stored.clone()),
            None => Write::CreateEntry(draft),
        };
        let old = stored.and_then(|stored| stored.entry.as_ref());
        Ok(Some(Planned::new(key, write, old, Some(&desired))))
    }

    /// Whether the entry's wanted revision was served by every pod, by the status or by what was found before it was written. What somebody
    /// wrote by hand never was, whatever it is called.
    fn was_ready(&self, module: &HandlerModule, stored: &StoredEntry) -> bool {
        if !stored.intact {
            return false;
        }
        let wanted = stored.entry.as_ref().and_then(Entry::wanted);
        let by_status = module
            .status
            .as_ref()
            .zip(wanted)
            .is_some_and(|(status, wanted)| is_ready_for(status, &wanted.revision, stored.generation));
        by_status || self.known_good.get(&stored.key) == Some(&stored.version)
    }
}

/// Whether an entry says what it should, in its text and in its labels and annotations, so that it need not be written.
fn says(stored: &StoredEntry, entry: &Entry, generation: i64, origins: &Origins) -> bool {
    // An edit that changes no entry leaves the generation on it behind, so that it costs the pods nothing. A generation that no HandlerModule
    // ever had was written by hand.
    let had = generation.min(1)..=generation;
    stored.entry.as_ref() == Some(entry)
        && stored.module_uid == entry.id.uid
        && stored.marked
        && stored.origins == *origins
        && had.contains(&stored.generation)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(name: &str, gains: &[&str], loses: &[&str]) -> Planned {
        let set = |claims: &[&str]| claims.iter().map(|&claim| claim.to_owned()).collect();
        let stored = StoredEntry::unread("default", name);
        let key = stored.key.clone();
        Planned {
            key,
            write: Write::RemoveEntry(Arc::new(stored)),
            gains: set(gains),
            loses: set(loses),
            waits: false,
            stuck: false,
        }
    }

    fn first(planned: Vec<Planned>) -> Vec<String> {
        in_order(planned).into_iter().map(|plan| plan.key.name).collect()
    }

    #[test]
    fn who_gains_a_path_is_written_before_who_loses_it() {
        assert_eq!(first(vec![plan("a", &[], &["/x"]), plan("b", &["/x"], &[])]), ["b"]);
        assert_eq!(first(vec![plan("a", &[], &["/x"])]), ["a"], "b is written");
    }

    #[test]
    fn who_loses_a_path_waits_for_the_blobs_of_who_gains_it_too() {
        let gaining = Planned { waits: true, ..plan("b", &["/x"], &[]) };
        assert_eq!(first(vec![plan("a", &[], &["/x"]), gaining]), Vec::<String>::new());
    }

    #[test]
    fn who_loses_a_path_does_not_wait_for_whom_nobody_can_say_when_it_comes() {
        let stuck = Planned { waits: true, stuck: true, ..plan("b", &["/x"], &[]) };
        assert_eq!(first(vec![plan("a", &[], &["/x"]), stuck]), ["a"]);
        let refused = Planned { stuck: true, ..plan("b", &["/x"], &[]) };
        assert_eq!(first(vec![plan("a", &[], &["/x"]), refused]), ["a", "b"], "which is tried on");
    }

    #[test]
    fn who_loses_a_path_to_nobody_does_not_wait() {
        assert_eq!(first(vec![plan("a", &["/y"], &["/x"]), plan("b", &["/z"], &[])]), ["a", "b"]);
    }

    #[test]
    fn two_that_change_places_do_not_wait_for_each_other() {
        assert_eq!(first(vec![plan("a", &["/y"], &["/x"]), plan("b", &["/x"], &["/y"])]), ["a", "b"]);
    }
}
