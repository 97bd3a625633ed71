//! What is to be done, pool by pool.
//!
//! Owns the order of the decision: who is admitted, what is looked up, who has which route, which blobs and entries are written, what is
//! removed, what each status says. Each of these is a file beside this one or a function of the pipeline.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use hotbay_api::{EntryKey, HandlerModule, PoolRef, Precedence, Route, RuntimePool};
use hotbay_pipeline::admit::{Applicant, admit};
use hotbay_pipeline::routes::{Claimant, settle};
use hotbay_pipeline::{Refusal, key_of};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::actions::{Action, Target, Written};
use super::look_ups::LookUp;
use super::schedule::Outcome;
use super::{Index, pool_ref};
use crate::objects::StoredEntry;

/// A pool and all that belongs to it, for one decision.
pub(super) struct View {
    pub(super) pool: PoolRef,
    pub(super) rules: Option<Arc<RuntimePool>>,
    pub(super) members: BTreeMap<EntryKey, Arc<HandlerModule>>,
    pub(super) entries: BTreeMap<EntryKey, Arc<StoredEntry>>,
    /// Why members may not be what they ask; a conflict comes before a failed look-up.
    pub(super) refused: BTreeMap<EntryKey, Refusal>,
    /// Entries to be removed that wait for consent.
    pub(super) held_removals: usize,
}

impl View {
    /// The entry of a member, if it was made for it and not for an earlier object of its name.
    pub(super) fn entry_of(&self, key: &EntryKey) -> Option<&Arc<StoredEntry>> {
        let uid = self.members.get(key)?.metadata.uid.as_deref()?;
        self.entries.get(key).filter(|stored| stored.module_uid == uid)
    }
}

impl Index {
    /// What is to be done now. `time` is the time of day, for transitions.
    pub fn decide(&mut self, now: Instant, time: &Time) -> Vec<Action> {
        let is_due = self.next_wake().is_some_and(|wake| wake <= now);
        let since = std::mem::take(&mut self.since);
        if !(since.news || is_due) {
            return Vec::new();
        }
        let mut actions = self.watched_places();
        actions.extend(self.notices.drain(..).map(Action::Tell));
        self.wake(now);
        self.spread_dirt();
        while let Some(pool) = self.dirty.pop_first() {
            if self.is_decidable(&pool) {
                self.decide_pool(pool, now, time, &mut actions);
            } else if self.is_complete() {
                self.tell_unreadable(pool, now, time, &mut actions);
            }
        }
        if since.objects || is_due {
            self.sweep_blobs(now, &mut actions);
            self.forget_removed(now);
        }
        actions
    }

    /// Every namespace with a pool is watched, and no other.
    fn watched_places(&mut self) -> Vec<Action> {
        if !self.pools.is_complete() {
            return Vec::new();
        }
        let wanted: BTreeSet<String> = self.pools.iter().map(|pool| pool_ref(pool).namespace).collect();
        let gone: Vec<String> =
            self.places.keys().filter(|place| !wanted.contains(*place)).cloned().collect();
        let new: Vec<String> =
            wanted.into_iter().filter(|namespace| !self.places.contains_key(namespace)).collect();
        gone.iter().for_each(|namespace| {
            self.places.remove(namespace);
            self.figures.blobs.insert(namespace.clone(), None);
        });
        new.iter().for_each(|namespace| drop(self.places.insert(namespace.clone(), super::Place::default())));
        gone.into_iter().map(Action::Unwatch).chain(new.into_iter().map(Action::Watch)).collect()
    }

    fn wake(&mut self, now: Instant) {
        let due: Vec<EntryKey> = self
            .look_ups
            .iter_mut()
            .filter_map(|(key, state)| state.wake(now).then(|| key.clone()))
            .collect();
        due.iter().for_each(|key| self.touch_module(key));
        for namespace in self.unreadable_for_long(now) {
            self.touch_namespace(&namespace);
        }
        for target in self.schedule.woken(now) {
            self.touch_target(&target);
        }
    }

    fn touch_target(&mut self, target: &Target) {
        match target {
            Target::Entry(pool, _) | Target::PoolStatus(pool) => drop(self.dirty.insert(pool.clone())),
            Target::Blob(namespace, _) => self.touch_namespace(namespace),
            Target::ModuleStatus(key) => self.touch_module(key),
        }
    }

    fn spread_dirt(&mut self) {
        if std::mem::take(&mut self.all_dirty) {
            let named = self.modules.iter().map(|module| module.spec.pool(&self.default_pool));
            self.dirty.extend(named.chain(self.pools.iter().map(|pool| pool_ref(pool))));
        }
    }

    /// Nothing is decided from half of what there is: an object not seen yet looks like one that is gone.
    fn is_decidable(&self, pool: &PoolRef) -> bool {
        let exists = self.pools.get(&pool.namespace, &pool.name).is_some();
        self.is_complete()
            && (!exists || self.places.get(&pool.namespace).is_some_and(super::Place::is_complete))
    }

    fn decide_pool(&mut self, pool: PoolRef, now: Instant, time: &Time, actions: &mut Vec<Action>) {
        let mut view = self.view(pool);
        view.refused = self.admit(&view);
        self.look_up(&view, now, actions);
        view.refused.extend(self.conflicts(&view));
        self.write_entries(&mut view, now, actions);
        self.write_statuses(&view, now, time, actions);
    }

    pub(super) fn view(&self, pool: PoolRef) -> View {
        let rules = self.pools.get(&pool.namespace, &pool.name).cloned();
        let is_member = |module: &&Arc<HandlerModule>| module.spec.pool(&self.default_pool) == pool;
        let members = self.modules.iter().filter(is_member);
        let place = self.places.get(&pool.namespace).filter(|_| rules.is_some());
        let entries =
            place.into_iter().flat_map(|place| place.entries.iter()).filter(|entry| entry.pool == pool);
        View {
            members: members.filter_map(|module| Some((key_of(module).ok()?, module.clone()))).collect(),
            entries: entries.map(|entry| (entry.key.clone(), entry.clone())).collect(),
            refused: BTreeMap::new(),
            held_removals: 0,
            rules,
            pool,
        }
    }

    pub(super) fn admit(&self, view: &View) -> BTreeMap<EntryKey, Refusal> {
        let applicant =
            |(key, module): (&EntryKey, &'_ Arc<HandlerModule>)| (precedence(key, module), module.clone());
        let applicants: Vec<_> = view.members.iter().map(applicant).collect();
        let applicants: Vec<Applicant> = applicants
            .iter()
            .map(|(precedence, module)| Applicant {
                labels: self
                    .namespaces
                    .get("", &precedence.key.namespace)
                    .and_then(|meta| meta.labels.as_ref()),
                precedence: precedence.clone(),
                spec: &module.spec,
            })
            .collect();
        admit(&view.pool, view.rules.as_ref().map(|rules| &rules.spec), &applicants)
    }

    fn look_up(&mut self, view: &View, now: Instant, actions: &mut Vec<Action>) {
        let Some(rules) = &view.rules else { return };
        let stored = Arc::new(self.stored_blobs(&view.pool.namespace));
        for (key, module) in view.members.iter().filter(|(key, _)| !view.refused.contains_key(key)) {
            let entry = view.entry_of(key).map(|entry| &**entry);
            let limits = &rules.spec.limits;
            if let Some(request) = self.due_look_up(key, module, limits, &stored, entry, now) {
                actions.push(Action::LookUp(Box::new(request)));
            }
        }
    }

    fn conflicts(&self, view: &View) -> BTreeMap<EntryKey, Refusal> {
        let claimant = |(key, module): (&EntryKey, &Arc<HandlerModule>)| {
            let admitted = !view.refused.contains_key(key);
            let candidate = self.look_ups.get(key).and_then(LookUp::candidate).filter(|_| admitted);
            let held = view.entry_of(key).and_then(|stored| stored.entry.as_ref()?.wanted().cloned());
            (precedence(key, module), candidate.map(|candidate| candidate.revision.routes.clone()), held)
        };
        let all: Vec<_> = view.members.iter().map(claimant).collect();
        let claimants: Vec<Claimant> = all
            .iter()
            .map(|(precedence, wanted, held)| Claimant {
                precedence: precedence.clone(),
                wanted: wanted.as_deref(),
                held: held.as_ref().map_or(&[] as &[Route], |revision| &revision.routes),
            })
            .collect();
        settle(&claimants)
    }

    pub(super) fn written(&mut self, target: &Target, written: Written, now: Instant) {
        let outcome = match written {
            Written::Refused => Outcome::Refused,
            Written::Failed | Written::EntryKept(_) => Outcome::Failed,
            _ => Outcome::Succeeded,
        };
        self.schedule.done(target, outcome, now);
        // What was not written is found anew, and told then.
        let news = self.unwritten.remove(target).unwrap_or_default();
        if matches!(written, Written::Module(_) | Written::Pool(_)) {
            self.notices.extend(news);
        }
        match written {
            Written::Entry(entry) => {
                let key = entry.key.clone();
                if let Some(place) = self.places.get_mut(&entry.pool.namespace) {
                    place.entries.put_made(*entry);
                }
                self.touch_left_pools(&key);
            }
            Written::EntryGone(entry) => {
                if let Some(place) = self.places.get_mut(&entry.pool.namespace) {
                    place.entries.remove(&entry);
                }
            }
            Written::Blob(blob) => {
                self.uncounted.insert(blob.namespace.clone());
                if let Some(place) = self.places.get_mut(&blob.namespace) {
                    place.blobs.put_made(blob);
                }
            }
            Written::BlobGone(blob) => {
                self.uncounted.insert(blob.namespace.clone());
                if let Some(place) = self.places.get_mut(&blob.namespace) {
                    place.blobs.remove(&blob);
                }
            }
            Written::Module(module) => {
                // It may name another pool by now.
                let affected = self.modules.put_changed(*module);
                self.touch_pools_of(&affected);
            }
            Written::Pool(pool) => drop(self.pools.put_changed(*pool)),
            Written::EntryKept(entry) => {
                // Whatever deletion was seen, it is not the whole story: from now on the caution for absences by list applies.
                self.seen_deleted.remove(&(entry.key.clone(), entry.module_uid.clone()));
                return;
            }
            // Another object of the name may have come meanwhile, and waits for its own.
            Written::Vanished(uid) if self.is_known(target, &uid) => return,
            Written::Vanished(_) => {}
            Written::Failed | Written::Refused => return,
        }
        self.touch_target(target);
    }

    /// Whether the object of a status is the one with this UID, as far as is known.
    fn is_known(&self, target: &Target, uid: &str) -> bool {
        let meta = match target {
            Target::ModuleStatus(key) => {
                self.modules.get(&key.namespace, &key.name).map(|module| &module.metadata)
            }
            Target::PoolStatus(pool) => {
                self.pools.get(&pool.namespace, &pool.name).map(|pool| &pool.metadata)
            }
            Target::Entry(..) | Target::Blob(..) => None,
        };
        meta.is_some_and(|meta| meta.uid.as_deref() == Some(uid))
    }
}

/// The age of a module as its entry says it.
fn precedence(key: &EntryKey, module: &HandlerModule) -> Precedence {
    let created =
        module.metadata.creation_timestamp.as_ref().and_then(|time| serde_json::to_value(time).ok());
    let created = created.as_ref().and_then(|time| time.as_str()).unwrap_or_default().to_owned();
    Precedence { created, key: key.clone() }
}
