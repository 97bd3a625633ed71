//! The entries of one namespace, which can be found by their module.
//!
//! Owns the second way to find them: every status asks what a module has left elsewhere, and a search through all entries for each of a
//! thousand modules would be a million steps an event.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hotbay_api::EntryKey;

use super::store::{Change, Name, Store, Stored};
use crate::objects::StoredEntry;

/// See the module.
#[derive(Debug, Default)]
pub struct KnownEntries {
    all: Store<StoredEntry>,
    /// A module may have an entry in each of the namespace's pools.
    by_module: BTreeMap<EntryKey, BTreeSet<Name>>,
}

impl KnownEntries {
    /// Whether every entry was seen once.
    pub fn is_complete(&self) -> bool {
        self.all.is_complete()
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<StoredEntry>> {
        self.all.iter()
    }

    /// Those of a module.
    pub fn of(&self, module: &EntryKey) -> impl Iterator<Item = &Arc<StoredEntry>> {
        let names = self.by_module.get(module).into_iter().flatten();
        names.filter_map(|(namespace, name)| self.all.get(namespace, name))
    }

    /// Takes a change in.
    pub fn apply(&mut self, change: Change<StoredEntry>) {
        let affected = self.all.apply(change);
        self.note(&affected);
    }

    /// Takes in what a write came back with; see [`Store::put_made`].
    pub fn put_made(&mut self, entry: StoredEntry) {
        let affected = self.all.put_made(entry);
        self.note(&affected);
    }

    /// Takes in that an entry is gone.
    pub fn remove(&mut self, entry: &StoredEntry) {
        let affected = self.all.remove(entry);
        self.note(&affected);
    }

    /// Has `by_module` say of each what is so now.
    fn note(&mut self, affected: &[Arc<StoredEntry>]) {
        for entry in affected {
            let name = entry.name();
            let names = self.by_module.entry(entry.key.clone()).or_default();
            if self.all.get(&name.0, &name.1).is_some_and(|now| now.key == entry.key) {
                names.insert(name);
            } else {
                names.remove(&name);
            }
            if names.is_empty() {
                self.by_module.remove(&entry.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(pool: &str, module: &str, version: u64) -> StoredEntry {
        StoredEntry { version, ..StoredEntry::unread(pool, module) }
    }

    /// Pool and version of each entry of the module, found both ways.
    fn found(entries: &KnownEntries, module: &str) -> Vec<(String, u64)> {
        let key = EntryKey::new("shop", module).unwrap();
        let tell = |entry: &Arc<StoredEntry>| (entry.pool.name.clone(), entry.version);
        let found: Vec<_> = entries.of(&key).map(tell).collect();
        assert_eq!(found, entries.iter().filter(|entry| entry.key == key).map(tell).collect::<Vec<_>>());
        found
    }

    #[test]
    fn a_module_is_found_with_all_its_entries_however_they_came_and_went() {
        let mut entries = KnownEntries::default();
        entries.put_made(entry("a", "hello", 1));
        entries.apply(Change::Applied(entry("b", "hello", 2)));
        entries.apply(Change::Applied(entry("a", "other", 3)));
        entries.put_made(entry("a", "hello", 4));
        assert_eq!(found(&entries, "hello"), [("a".to_owned(), 4), ("b".to_owned(), 2)]);
        entries.remove(&entry("a", "hello", 3));
        assert_eq!(found(&entries, "hello").len(), 2, "an old deletion says nothing");
        entries.remove(&entry("b", "hello", 5));
        assert_eq!(found(&entries, "hello"), [("a".to_owned(), 4)]);
        for change in [Change::Restarted, Change::Listed(entry("c", "hello", 6)), Change::Complete] {
            entries.apply(change);
        }
        assert_eq!(found(&entries, "hello"), [("c".to_owned(), 6)]);
        assert_eq!(found(&entries, "other"), []);
        assert_eq!(entries.by_module.len(), 1, "nothing is kept of modules without entries");
    }
}
