//! What is known of one kind of object.
//!
//! Owns the reduction of a watch to a set: a list replaces everything at once when it is complete, and neither an event nor a list
//! that is older than what a write came back with can undo it. Nor does a write's answer that comes late undo what the watch told before it:
//! an object whose deletion was seen stays gone.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::api::ObjectMeta;

use crate::objects::version;

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
    /// An object was deleted that cannot be read, but for this.
    DeletedUnreadable(Box<ObjectMeta>),
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
    /// The newest version that the watch has told of. It tells in the order of versions, so it has told of all before this one too.
    told: u64,
}

impl<T> Default for Store<T> {
    fn default() -> Self {
        Self { items: BTreeMap::new(), listing: None, complete: false, told: 0 }
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
            Change::Applied(item) => {
                self.told = self.told.max(item.version());
                self.put_new(item)
            }
            Change::Deleted(item) => {
                self.told = self.told.max(item.version());
                self.remove(&item)
            }
            Change::DeletedUnreadable(meta) => {
                let version = version(&meta);
                self.told = self.told.max(version);
                self.remove_named(
                    &(meta.namespace.unwrap_or_default(), meta.name.unwrap_or_default()),
                    version,
                )
            }
        }
    }

    /// Takes in what a write made, unless the watch knows better: what is older than its news it has told of, and it may be gone since.
    pub fn put_made(&mut self, item: T) -> Vec<Arc<T>> {
        if item.version() <= self.told { Vec::new() } else { self.put_new(item) }
    }

    /// Takes in what a write made of an object that was there. If it is not known any more, it is gone since.
    pub fn put_changed(&mut self, item: T) -> Vec<Arc<T>> {
        if self.items.contains_key(&item.name()) { self.put(Arc::new(item)) } else { Vec::new() }
    }

    fn put_new(&mut self, item: T) -> Vec<Arc<T>> {
        let item = Arc::new(item);
        if let Some(listing) = &mut self.listing {
            // A list is as old as its beginning; this may be newer.
            let listed = listing.entry(item.name()).or_insert_with(|| item.clone());
            if listed.version() < item.version() {
                *listed = item.clone();
            }
        }
        self.put(item)
    }

    /// The newer one stays.
    fn put(&mut self, item: Arc<T>) -> Vec<Arc<T>> {
        let name = item.name();
        if self.items.get(&name).is_some_and(|known| known.version() >= item.version()) {
            return Vec::new();
        }
        let old = self.items.insert(name, item.clone());
        old.into_iter().chain([item]).collect()
    }

    /// Takes in that an object is gone.
    pub fn remove(&mut self, item: &T) -> Vec<Arc<T>> {
        self.remove_named(&item.name(), item.version())
    }

    /// The deletion of an earlier object says nothing of one made after it.
    fn remove_named(&mut self, name: &Name, version: u64) -> Vec<Arc<T>> {
        let is_later = |item: Option<&Arc<T>>| item.is_some_and(|item| item.version() > version);
        if let Some(listing) = &mut self.listing
            && !is_later(listing.get(name))
        {
            listing.remove(name);
        }
        if is_later(self.items.get(name)) {
            return Vec::new();
        }
        self.items.remove(name).into_iter().collect()
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
        self.told = listing.values().map(|item| item.version()).fold(self.told, u64::max);
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
        store.put_made(Item("a", 5));
        assert!(store.apply(Change::Applied(Item("a", 4))).is_empty());
        assert!(store.apply(Change::Deleted(Item("a", 4))).is_empty());
        assert!(listed(&mut store, &[Item("a", 4)]).is_empty());
        assert_eq!(items(&store), [Item("a", 5)]);
    }

    #[test]
    fn a_write_during_a_list_is_not_lost() {
        let mut store = Store::default();
        store.apply(Change::Restarted);
        store.put_made(Item("a", 5));
        store.apply(Change::Complete);
        assert_eq!(items(&store), [Item("a", 5)]);

        store.apply(Change::Restarted);
        store.apply(Change::Listed(Item("a", 5)));
        store.put_changed(Item("a", 6));
        store.apply(Change::Complete);
        assert_eq!(items(&store), [Item("a", 6)]);
    }

    #[test]
    fn what_is_gone_does_not_come_back_with_the_answer_of_a_write() {
        let deleted = || {
            let mut store = Store::default();
            listed(&mut store, &[Item("a", 1)]);
            store.apply(Change::Deleted(Item("a", 3)));
            store
        };
        let mut store = deleted();
        assert!(store.put_changed(Item("a", 2)).is_empty());
        assert_eq!(items(&store), []);
        let mut store = deleted();
        assert!(store.put_made(Item("a", 2)).is_empty(), "the watch has told of its making and of its end");
        assert_eq!(items(&store), []);
        assert_eq!(store.put_made(Item("a", 4)), [Item("a", 4).into()], "this one was made after it");
        store.apply(Change::Deleted(Item("b", 6)));
        assert!(store.put_made(Item("c", 5)).is_empty(), "as it told of all before what it told of last");
    }

    #[test]
    fn what_is_not_in_a_list_does_not_come_back_with_the_answer_of_a_write() {
        let mut store = Store::default();
        listed(&mut store, &[Item("a", 1), Item("b", 2)]);
        store.apply(Change::Restarted);
        store.apply(Change::Listed(Item("b", 2)));
        store.put_changed(Item("a", 3));
        assert_eq!(store.apply(Change::Complete), [Item("a", 3).into()]);
        assert_eq!(items(&store), [Item("b", 2)]);
        assert!(store.put_changed(Item("a", 3)).is_empty());
    }

    #[test]
    fn a_list_that_knows_a_newer_one_than_a_write_made_keeps_it() {
        let mut store = Store::default();
        store.apply(Change::Restarted);
        store.apply(Change::Listed(Item("a", 5)));
        store.put_made(Item("a", 4));
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

        let deleted = |version: u64| {
            let (name, resource_version) = (Some("a".to_owned()), Some(version.to_string()));
            Change::DeletedUnreadable(Box::new(ObjectMeta {
                name,
                resource_version,
                ..ObjectMeta::default()
            }))
        };
        assert!(store.apply(deleted(0)).is_empty(), "an earlier one of its name");
        assert_eq!(store.apply(deleted(2)), [Item("a", 1).into()]);
        assert_eq!(items(&store), []);
    }
}
