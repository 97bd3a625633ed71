//! Modules that go from one pool to another.
//!
//! Owns the rule that the pool which a module leaves goes on serving it until the other one has taken it: a slip of the pen in
//! `spec.runtimeRef`, or a pool that refuses, ends nothing. Must not remove entries itself: `removal` does.

use std::sync::Arc;

use hotbay_api::{EntryKey, HandlerModule, PoolRef};

use super::Index;
use crate::objects::StoredEntry;

impl Index {
    /// Whether the entry's module names another pool, which has no entry of it yet.
    pub(super) fn is_leaving(&self, stored: &StoredEntry) -> bool {
        self.destination(stored).is_some_and(|pool| {
            !self
                .entries_of(&stored.key)
                .any(|entry| entry.pool == pool && entry.module_uid == stored.module_uid)
        })
    }

    /// The entry that a module has left in another pool than it names.
    pub(super) fn left_behind(&self, key: &EntryKey, module: &HandlerModule) -> Option<&Arc<StoredEntry>> {
        let uid = module.metadata.uid.as_deref()?;
        self.entries_of(key).find(|stored| stored.module_uid == uid && self.is_leaving(stored))
    }

    /// Marks the pools that wait for a module to have arrived elsewhere.
    pub(super) fn touch_left_pools(&mut self, key: &EntryKey) {
        let left = self.entries_of(key).filter(|stored| self.destination(stored).is_some());
        let left: Vec<PoolRef> = left.map(|stored| stored.pool.clone()).collect();
        self.dirty.extend(left);
    }

    /// The pool that the entry's module names, if it is another than the entry's.
    fn destination(&self, stored: &StoredEntry) -> Option<PoolRef> {
        let module = self.modules.get(&stored.key.namespace, &stored.key.name)?;
        let same = module.metadata.uid.as_deref() == Some(&stored.module_uid);
        Some(module.spec.pool(&self.default_pool)).filter(|pool| same && *pool != stored.pool)
    }

    /// The entries of a module in all pools.
    fn entries_of(&self, key: &EntryKey) -> impl Iterator<Item = &Arc<StoredEntry>> {
        self.places.values().flat_map(|place| place.entries.of(key))
    }
}
