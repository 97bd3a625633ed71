//! The index: all that is known, and all that is decided, in one place.
//!
//! Callers use two methods. [`Index::handle`] takes an event in: an object seen, a look-up or a write done. [`Index::decide`] says
//! what to do about it. Decisions are made for a whole pool at a time, from what is known and nothing else, so they come out the same
//! however often they are asked for; what is under way is not asked for again. Pure: no client, no clock. A change of a module
//! that needs no look-up leads to its write in the same call; nothing waits for a tick.
//!
//! ```text
//! HandlerModule ─► RuntimePool ─► EndpointSlices ─► pods ─► RuntimeReport
//!        └──────► entry ConfigMap ─► blob ConfigMaps        (both in the pool's namespace)
//! ```

mod actions;
mod blobs;
mod decide;
mod entries;
mod figures;
mod inquiries;
mod known_entries;
mod look_ups;
mod moves;
mod notices;
mod objects;
mod references;
mod remembered;
mod removal;
mod requests;
mod schedule;
mod statuses;
mod store;
mod unreadable;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use hotbay_api::{EntryKey, HandlerModule, PoolRef, RuntimePool, RuntimeReport};
use kube::api::ObjectMeta;

use crate::objects::{ReadyPods, StoredBlob, StoredEntry};
use blobs::UnnamedBlobs;
use known_entries::KnownEntries;
use look_ups::LookUp;
use references::References;
use schedule::Schedule;
use unreadable::Trouble;

pub use actions::{Action, Target, Write, Written};
pub use figures::{Figures, PoolFigures};
pub use inquiries::{Inquiry, Standing};
pub use notices::{About, Notice};
pub use requests::{Candidate, Found, LookUpRequest, LookedUp, Ticket};
pub use store::{Change, Store, Stored};

/// Something that happened.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "the queue's thousand events take a megabyte at most, and most carry an object"
)]
pub enum Event {
    /// A HandlerModule was seen.
    Module(Change<HandlerModule>),
    /// A RuntimePool was seen.
    Pool(Change<RuntimePool>),
    /// A namespace was seen.
    Namespace(Change<ObjectMeta>),
    /// A RuntimeReport was seen.
    Report(Change<RuntimeReport>),
    /// An entry was seen, in this namespace.
    Entry(String, Change<StoredEntry>),
    /// A blob was seen, in this namespace.
    Blob(String, Change<StoredBlob>),
    /// An EndpointSlice was seen, in this namespace.
    Slice(String, Change<ReadyPods>),
    /// A watch of these objects failed, in this namespace, for this reason.
    Unreadable(String, &'static str, String),
    /// A look-up is done.
    LookedUp(EntryKey, Ticket, LookedUp),
    /// A write is done.
    Written(Target, Written),
    /// The blob service asks.
    Asked(Inquiry),
}

/// See the module.
pub struct Index {
    default_pool: PoolRef,
    modules: Store<HandlerModule>,
    pools: Store<RuntimePool>,
    namespaces: Store<ObjectMeta>,
    reports: Store<RuntimeReport>,
    /// One for each namespace with a pool.
    places: BTreeMap<String, Place>,
    look_ups: BTreeMap<EntryKey, LookUp>,
    references: References,
    /// Modules whose deletion was seen, by UID, and when: their entries are no mystery to a sweep.
    seen_deleted: BTreeMap<(EntryKey, String), Instant>,
    /// Entries whose wanted revision was found Ready: UID of the module and sequence.
    known_good: BTreeMap<EntryKey, u64>,
    unnamed_blobs: UnnamedBlobs,
    schedule: Schedule,
    /// News of statuses that are being written.
    unwritten: BTreeMap<Target, Vec<Notice>>,
    /// News to be told.
    notices: Vec<Notice>,
    figures: Figures,
    /// Namespaces whose blobs are to be counted again.
    uncounted: BTreeSet<String>,
    since: Since,
    dirty: BTreeSet<PoolRef>,
    all_dirty: bool,
}

/// What was taken in since the last decision, as far as that spares work.
#[derive(Debug, Default)]
struct Since {
    /// Something that may change a decision.
    news: bool,
    /// Something that may leave a blob unnamed, or what is remembered of a module without its object.
    objects: bool,
}

impl Since {
    fn note(&mut self, event: &Event) {
        let is_question = matches!(event, Event::Asked(_));
        // Most events of a busy pool are these.
        let is_of_pods = matches!(event, Event::Report(_) | Event::Slice(..));
        let is_status = matches!(event, Event::Written(_, Written::Module(_) | Written::Pool(_)));
        self.news |= !is_question;
        self.objects |= !(is_question || is_of_pods || is_status);
    }
}

/// What is known of a namespace that holds pools.
#[derive(Default)]
struct Place {
    entries: KnownEntries,
    blobs: Store<StoredBlob>,
    slices: Store<ReadyPods>,
    /// What keeps it from being complete.
    trouble: Option<Trouble>,
}

impl Place {
    fn is_complete(&self) -> bool {
        self.entries.is_complete() && self.blobs.is_complete() && self.slices.is_complete()
    }
}

impl Index {
    /// An index that knows nothing yet.
    pub fn new(default_pool: PoolRef) -> Self {
        Self {
            default_pool,
            modules: Store::default(),
            pools: Store::default(),
            namespaces: Store::default(),
            reports: Store::default(),
            places: BTreeMap::new(),
            look_ups: BTreeMap::new(),
            references: References::default(),
            seen_deleted: BTreeMap::new(),
            known_good: BTreeMap::new(),
            unnamed_blobs: UnnamedBlobs::default(),
            schedule: Schedule::default(),
            unwritten: BTreeMap::new(),
            notices: Vec::new(),
            figures: Figures::default(),
            uncounted: BTreeSet::new(),
            since: Since::default(),
            dirty: BTreeSet::new(),
            all_dirty: true,
        }
    }

    /// Whether everything that is cluster-wide was seen once.
    pub fn is_complete(&self) -> bool {
        self.modules.is_complete()
            && self.pools.is_complete()
            && self.namespaces.is_complete()
            && self.reports.is_complete()
    }

    /// When to ask for decisions again though nothing happened.
    pub fn next_wake(&self) -> Option<Instant> {
        let retries = self.look_ups.values().filter_map(LookUp::due);
        let troubles = self.places.values().filter_map(|place| place.trouble.as_ref()?.due());
        let sweep = self.unnamed_blobs.next_wake();
        retries.chain(self.schedule.next_wake()).chain(sweep).chain(troubles).min()
    }

    /// Takes in what happened.
    pub fn handle(&mut self, event: Event, now: Instant) {
        self.since.note(&event);
        match event {
            Event::Module(change) => self.module_changed(change, now),
            Event::Pool(change) => {
                let complete = self.pools.is_complete();
                let affected = self.pools.apply(change);
                self.all_dirty |= complete != self.pools.is_complete();
                self.dirty.extend(affected.iter().map(|pool| pool_ref(pool)));
            }
            Event::Namespace(change) => {
                let complete = self.namespaces.is_complete();
                let affected = self.namespaces.apply(change);
                self.all_dirty |= complete != self.namespaces.is_complete() || !affected.is_empty();
            }
            Event::Report(change) => {
                let complete = self.reports.is_complete();
                let affected = self.reports.apply(change);
                self.all_dirty |= complete != self.reports.is_complete();
                let pool = |report: &RuntimeReport| {
                    let namespace = report.metadata.namespace.clone()?;
                    Some(PoolRef { namespace, name: report.spec.pool.clone() })
                };
                self.dirty.extend(affected.iter().filter_map(|report| pool(report)));
            }
            Event::Entry(namespace, change) => {
                let arrived = match &change {
                    Change::Applied(entry) => Some(entry.key.clone()),
                    // Any of them may be what a pool in another namespace waits for.
                    Change::Complete => {
                        self.all_dirty = true;
                        None
                    }
                    _ => None,
                };
                self.in_place(&namespace, |place| place.entries.apply(change));
                arrived.iter().for_each(|key| self.touch_left_pools(key));
            }
            Event::Blob(namespace, change) => {
                self.in_place(&namespace, |place| {
                    place.blobs.apply(change);
                });
                self.uncounted.insert(namespace);
            }
            Event::Slice(namespace, change) => self.in_place(&namespace, |place| {
                place.slices.apply(change);
            }),
            Event::Unreadable(namespace, what, why) => self.cannot_read(&namespace, what, &why, now),
            Event::LookedUp(key, ticket, found) => self.looked_up(&key, &ticket, found, now),
            Event::Written(target, written) => self.written(&target, written, now),
            Event::Asked(inquiry) => self.answer(inquiry),
        }
    }

    fn module_changed(&mut self, change: Change<HandlerModule>, now: Instant) {
        let deleted = match &change {
            Change::Deleted(module) => identity(&module.metadata),
            Change::DeletedUnreadable(meta) => identity(meta),
            _ => None,
        };
        self.seen_deleted.extend(deleted.map(|module| (module, now)));
        let complete = self.modules.is_complete();
        let affected = self.modules.apply(change);
        self.all_dirty |= complete != self.modules.is_complete();
        self.touch_pools_of(&affected);
    }

    /// Marks the pools that modules name, or have named.
    fn touch_pools_of(&mut self, modules: &[Arc<HandlerModule>]) {
        let default_pool = &self.default_pool;
        self.dirty.extend(modules.iter().map(|module| module.spec.pool(default_pool)));
    }

    fn in_place(&mut self, namespace: &str, change: impl FnOnce(&mut Place)) {
        // An event of a namespace that is no longer watched comes too late to matter.
        if let Some(place) = self.places.get_mut(namespace) {
            change(place);
            self.touch_namespace(namespace);
        }
    }

    /// Marks every pool of a namespace.
    fn touch_namespace(&mut self, namespace: &str) {
        let pools = self.pools.iter().map(|pool| pool_ref(pool)).filter(|pool| pool.namespace == namespace);
        self.dirty.extend(pools);
    }

    /// Marks the pool of a module.
    fn touch_module(&mut self, key: &EntryKey) {
        if let Some(module) = self.modules.get(&key.namespace, &key.name) {
            self.dirty.insert(module.spec.pool(&self.default_pool));
        }
    }
}

/// Which object a module is, of all that have its name in the course of time.
fn identity(meta: &ObjectMeta) -> Option<(EntryKey, String)> {
    let key = EntryKey::new(meta.namespace.as_deref()?, meta.name.as_deref()?).ok()?;
    Some((key, meta.uid.clone()?))
}

fn pool_ref(pool: &RuntimePool) -> PoolRef {
    let meta = &pool.metadata;
    PoolRef {
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;
