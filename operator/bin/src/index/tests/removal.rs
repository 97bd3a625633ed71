//! When entries are removed, and when they are not.

use super::*;
use crate::index::removal::LATE;

/// A cluster with `count` served modules, whose operator has just started: what was seen before is not known.
fn restarted(count: usize) -> World {
    let mut world = World::new();
    for number in 0..count {
        let (name, path) = (format!("m{number}"), &*format!("/m{number}").leak());
        world.serve(&name, &name, &[path]);
    }
    world.restarted()
}

/// The lists that a starting operator gets, with these modules.
fn start(world: &mut World, modules: Vec<HandlerModule>) {
    world.start(modules);
}

fn removals(world: &World) -> usize {
    world.log.iter().filter(|line| line.starts_with("remove m")).count()
}

fn holds(world: &World) -> bool {
    let status = world.pools["default"].status.as_ref().unwrap();
    find(&status.conditions, hotbay_api::condition::SWEEP_HELD).is_some()
}

#[test]
fn a_seen_deletion_removes_the_entry() {
    let mut world = World::new();
    world.serve("hello", "v1", &["/hello"]);
    world.took();
    world.delete("hello");
    assert_eq!(world.took(), ["remove hello"]);
    world.pass(LATE);
    world.apply("another", |_| ());
    assert!(world.index.seen_deleted.is_empty(), "nothing is kept of it");
}

#[test]
fn a_restarted_operator_changes_nothing_that_is_right() {
    let mut world = restarted(3);
    let (modules, entries) = (world.modules.values().cloned().collect(), world.entries.clone());
    start(&mut world, modules);
    assert_eq!(world.entries, entries);
}

#[test]
fn a_module_deleted_meanwhile_is_found_by_list() {
    let mut world = restarted(3);
    let mut modules: Vec<HandlerModule> = world.modules.values().cloned().collect();
    modules.pop();
    start(&mut world, modules);
    assert_eq!(removals(&world), 1);
}

#[test]
fn an_empty_list_removes_up_to_twenty_and_holds_more_until_it_is_allowed() {
    let mut world = restarted(20);
    start(&mut world, vec![]);
    assert_eq!((removals(&world), holds(&world)), (20, false));

    let mut world = restarted(21);
    start(&mut world, vec![]);
    assert_eq!((removals(&world), holds(&world)), (0, true));
    let allow = [(hotbay_api::labels::ALLOW_SWEEP.to_owned(), "true".to_owned())];
    world.change_pool(|pool| pool.metadata.annotations = Some(allow.clone().into()));
    assert_eq!(removals(&world), 21);
    world.pass(Duration::from_secs(2));
    assert!(!holds(&world));
}

#[test]
fn seen_deletions_are_never_held() {
    let mut world = restarted(25);
    let modules = world.modules.values().cloned().collect();
    start(&mut world, modules);
    (0..25).for_each(|number| world.delete(&format!("m{number}")));
    assert_eq!((removals(&world), holds(&world)), (25, false));
}

#[test]
fn a_list_that_is_not_complete_removes_nothing() {
    let mut world = World::new();
    world.serve("hello", "v1", &["/hello"]);
    world.took();
    world.handle(Event::Module(Change::Restarted));
    world.run();
    assert_eq!(world.took(), Vec::<String>::new());
}

#[test]
fn a_module_that_names_another_pool_leaves_the_first_once_the_other_has_it() {
    let mut world = World::new();
    world.serve("hello", "v1", &["/hello"]);
    world.took();
    world.apply("hello", |module| {
        module.spec.runtime_ref = Some(hotbay_api::RuntimeRef { name: "other".into(), namespace: None })
    });
    assert_eq!(world.took(), Vec::<String>::new(), "there is no such pool, and hello is served on");
    let other = world.pool("other");
    world.handle(Event::Pool(Change::Applied(other)));
    world.run();
    assert_eq!(world.took()[1..], ["create hello", "remove hello"]);
}

#[test]
fn an_entry_of_an_earlier_object_of_the_name_is_replaced() {
    let mut world = World::new();
    world.serve("hello", "v1", &["/hello"]);
    world.report();
    world.took();
    world.apply("hello", |module| {
        module.metadata.uid = Some("uid-second".into());
        module.status = None;
    });
    assert_eq!(world.took()[..2], ["look up hello", "remove hello"]);
    assert_eq!(world.entry("hello").unwrap().id.uid, "uid-second");
    assert_eq!(
        world.entry("hello").unwrap().last_good(),
        None,
        "the earlier object's revisions are not its own"
    );
}

#[test]
fn a_deletion_that_the_api_server_does_not_confirm_counts_as_not_seen() {
    let mut world = World::new();
    world.serve("hello", "v1", &["/hello"]);
    world.took();
    let stored = Arc::new(world.entries.values().next().unwrap().clone());
    let seen = (stored.key.clone(), stored.module_uid.clone());
    world.index.seen_deleted.insert(seen, world.now);
    let target = Target::Entry(POOL.parse().unwrap(), stored.key.clone());
    world.handle(Event::Written(target, Written::EntryKept(stored)));
    assert!(world.index.seen_deleted.is_empty());
    assert!(world.index.next_wake().unwrap() > world.now, "it is asked for again, but not at once");
}

#[test]
fn a_module_that_is_deleted_while_its_status_is_written_does_not_come_back() {
    let mut world = World::new();
    world.serve("hello", "v1", &["/hello"]);
    let key = EntryKey::new("shop", "hello").unwrap();
    let as_written = world.modules[&key].clone();
    world.took();
    world.delete("hello");
    assert_eq!(world.took(), ["remove hello"]);
    world.handle(Event::Written(Target::ModuleStatus(key), Written::Module(Box::new(as_written))));
    world.run();
    assert_eq!(world.took(), Vec::<String>::new(), "no entry is made of a module that is gone");
}

#[test]
fn an_entry_that_is_deleted_before_its_making_is_answered_is_made_again() {
    let mut world = World::new();
    world.serve("hello", "v1", &["/hello"]);
    let (key, pool) = (EntryKey::new("shop", "hello").unwrap(), POOL.parse().unwrap());
    let made = world.entries.remove(&key).unwrap();
    world.took();
    let deleted = StoredEntry { version: world.next_version(), ..made.clone() };
    world.handle(Event::Entry("hotbay".into(), Change::Deleted(deleted)));
    world.handle(Event::Written(Target::Entry(pool, key), Written::Entry(Box::new(made))));
    world.run();
    assert_eq!(world.took(), ["create hello"]);
}

#[test]
fn an_entry_that_appears_after_its_modules_deletion_was_seen_is_no_mystery() {
    let mut world = World::new();
    // No answer came, and the API server made them all the same.
    world.refuses_entries = true;
    let names: Vec<String> = (0..21).map(|number| format!("m{number}")).collect();
    names.iter().for_each(|name| world.serve(name, name, &[&*format!("/{name}").leak()]));
    names.iter().for_each(|name| world.delete(name));
    for name in &names {
        let version = world.next_version();
        let module_uid = format!("uid-{name}");
        let made = StoredEntry { module_uid, version, ..StoredEntry::unread("default", name) };
        world.handle(Event::Entry("hotbay".into(), Change::Applied(made)));
    }
    world.pass(Duration::from_secs(1));
    assert_eq!((removals(&world), holds(&world)), (21, false));
}

#[test]
fn a_deleted_module_that_cannot_be_read_is_gone_all_the_same() {
    let mut world = World::new();
    world.serve("hello", "v1", &["/hello"]);
    world.took();
    let version = world.next_version().to_string();
    let module = world.modules.remove(&EntryKey::new("shop", "hello").unwrap()).unwrap();
    let meta = ObjectMeta { resource_version: Some(version), ..module.metadata };
    world.handle(Event::Module(Change::DeletedUnreadable(Box::new(meta))));
    assert_eq!(world.index.seen_deleted.len(), 1);
    world.run();
    assert_eq!(world.took(), ["remove hello"]);
}

#[test]
fn an_operator_that_starts_in_the_middle_of_a_move_between_namespaces_ends_it() {
    let mut world = World::new();
    world.serve("hello", "v1", &["/hello"]);
    let [left, arrived] = ["hotbay/default", "annex/other"].map(|pool| {
        let entry = world.entries.values().next().unwrap().clone();
        StoredEntry { pool: pool.parse().unwrap(), ..entry }
    });
    let mut world = world.restarted();
    let mut pools: Vec<RuntimePool> = vec![world.pool("default"), world.pool("other")];
    pools[1].metadata.namespace = Some("annex".into());
    let mut module = world.modules.values().next().unwrap().clone();
    module.spec.runtime_ref =
        Some(hotbay_api::RuntimeRef { name: "other".into(), namespace: Some("annex".into()) });
    world.modules.insert(EntryKey::new("shop", "hello").unwrap(), module.clone());
    world.list(Event::Module, vec![module]);
    world.list(Event::Pool, pools);
    world.list(Event::Namespace, vec![]);
    world.list(Event::Report, vec![]);
    world.run();
    world.list_place("hotbay", vec![left]);
    world.run();
    assert_eq!(removals(&world), 0, "nobody knows yet whether it has arrived");
    world.list_place("annex", vec![arrived]);
    world.run();
    assert!(world.log.contains(&"remove hello".to_owned()), "{:?}", world.log);
}
