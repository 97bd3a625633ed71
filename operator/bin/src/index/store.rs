//! What is known of one kind of object.
//!
//! Owns the reduction of a watch to a set: a list replaces everything at once when it is complete, and neither an event nor a list
//! that is older than what a write came back with can undo it.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Namespace and name.
pub type Name = (String, String);

/// What a watch says.
#[derive(Clone, Debug)]
pub enum Change<T> {
    /// A list begins.
    Restarted,
    /// An object of the list.
    Listed(T),
    /// The list is complete: what was not in it is gone.
    Complete,
    /// An object was made or changed.
    Applied(T),
    /// An object was deleted.
    Deleted(T),
    /// An object of the list that cannot be read: namespace and name.
    Unreadable(String, String),
}

/// An object that a store can hold.
pub trait Stored {
    /// Its namespace and name.
    fn name(&self) -> Name;
    /// Its resourceVersion.
    fn version(&self) -> u64;
}

/// All objects of one kind that are known.
#[derive(Debug)]
pub struct Store<T> {
    items: BTreeMap<Name, Arc<T>>,
    listing: Option<BTreeMap<Name, Arc<T>>>,
    complete: bool,
}

impl<T> Default for Store<T> {
    fn default() -> Self {
        Self { items: BTreeMap::new(), listing: None, complete: false }
    }
}

impl<T: Stored> Store<T> {
    /// Whether every object was seen once.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// The object of that name.
    pub fn get(&self, namespace: &str, name: &str) -> Option<&Arc<T>> {
        self.items.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        self.items.values()
    }

    /// Takes a change in, and tells what was affected: old and new states.
    pub fn apply(&mut self, change: Change<T>) -> Vec<Arc<T>> {
        match change {
            Change::Restarted => {
                self.listing = Some(BTreeMap::new());
                Vec::new()
            }
            Change::Listed(item) => {
                if let Some(listing) = &mut self.listing {
                    listing.insert(item.name(), Arc::new(item));
                }
                Vec::new()
            }
            Change::Unreadable(namespace, name) => {
                let name = (namespace, name);
                if let (Some(listing), Some(known)) = (&mut self.listing, self.items.get(&name)) {
                    listing.insert(name, known.clone());
                }
                Vec::new()
            }
            Change::Complete => self.replace(),
            Change::Applied(item) => self.put(item),
            Change::Deleted(item) => self.remove(&item),
        }
    }

    /// Takes in what a write came back with, or what a watch says; the newer one stays.
    pub fn put(&mut self, item: T) -> Vec<Arc<T>> {
        let name = item.name();
        if self.items.get(&name).is_some_and(|known| known.version() >= item.version()) {
            return Vec::new();
        }
        let item = Arc::new(item);
        if let Some(listing) = &mut self.listing {
            // A list is as old as its beginning; what comes meanwhile is newer.
            listing.insert(name.clone(), item.clone());
        }
        let old = self.items.insert(name, item.clone());
        old.into_iter().chain([item]).collect()
    }

    /// Takes in that an object is gone.
    pub fn remove(&mut self, item: &T) -> Vec<Arc<T>> {
        let name = item.name();
        if let Some(listing) = &mut self.listing {
            listing.remove(&name);
        }
        // The deletion of an earlier object says nothing of one made after it.
        if self.items.get(&name).is_some_and(|known| known.version() > item.version()) {
            return Vec::new();
        }
        self.items.remove(&name).into_iter().collect()
    }

    fn replace(&mut self) -> Vec<Arc<T>> {
        let Some(mut listing) = self.listing.take() else { return Vec::new() };
        let mut affected = Vec::new();
        for (name, known) in &self.items {
            match listing.get_mut(name) {
                Some(listed) if listed.version() == known.version() => {}
                Some(listed) if listed.version() < known.version() => *listed = known.clone(),
                _ => affected.push(known.clone()),
            }
        }
        let changed = |(name, listed): &(&Name, &Arc<T>)| {
            self.items.get(*name).is_none_or(|known| known.version() != listed.version())
        };
        affected.extend(listing.iter().filter(changed).map(|(_, listed)| listed.clone()));
        self.items = listing;
        self.complete = true;
        affected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Item(&'static str, u64);

    impl Stored for Item {
        fn name(&self) -> Name {
            (String::new(), self.0.to_owned())
        }

        fn version(&self) -> u64 {
            self.1
        }
    }

    fn items(store: &Store<Item>) -> Vec<Item> {
        store.iter().map(|item| Item::clone(item)).collect()
    }

    fn listed(store: &mut Store<Item>, all: &[Item]) -> Vec<Item> {
        store.apply(Change::Restarted);
        all.iter().for_each(|item| drop(store.apply(Change::Listed(item.clone()))));
        store.apply(Change::Complete).iter().map(|item| Item::clone(item)).collect()
    }

    #[test]
    fn a_list_counts_when_it_is_complete() {
        let mut store = Store::default();
        store.apply(Change::Restarted);
        store.apply(Change::Listed(Item("a", 1)));
        assert!(!store.is_complete() && items(&store).is_empty());
        store.apply(Change::Complete);
        assert!(store.is_complete());
        assert_eq!(items(&store), [Item("a", 1)]);
    }

    #[test]
    fn a_list_tells_what_changed_and_what_went() {
        let mut store = Store::default();
        listed(&mut store, &[Item("a", 1), Item("b", 2), Item("c", 3)]);
        assert_eq!(
            listed(&mut store, &[Item("a", 1), Item("b", 4)]),
            [Item("b", 2), Item("c", 3), Item("b", 4)]
        );
        assert_eq!(items(&store), [Item("a", 1), Item("b", 4)]);
    }

    #[test]
    fn what_is_older_than_a_write_changes_nothing() {
        let mut store = Store::default();
        listed(&mut store, &[]);
        store.put(Item("a", 5));
        assert!(store.apply(Change::Applied(Item("a", 4))).is_empty());
        assert!(store.apply(Change::Deleted(Item("a", 4))).is_empty());
        assert!(listed(&mut store, &[Item("a", 4)]).is_empty());
        assert_eq!(items(&store), [Item("a", 5)]);
    }

    #[test]
    fn a_write_during_a_list_is_not_lost() {
        let mut store = Store::default();
        store.apply(Change::Restarted);
        store.put(Item("a", 5));
        store.apply(Change::Complete);
        assert_eq!(items(&store), [Item("a", 5)]);
    }

    #[test]
    fn an_object_that_cannot_be_read_stays_as_it_was() {
        let mut store = Store::default();
        listed(&mut store, &[Item("a", 1)]);
        store.apply(Change::Restarted);
        store.apply(Change::Unreadable(String::new(), "a".to_owned()));
        store.apply(Change::Complete);
        assert_eq!(items(&store), [Item("a", 1)]);
    }
}
