//! Paths that go from one module to another: who waits for whom, and for how long.

use super::*;

/// `a` serves /x, and /a too; `b` wants /x, is refused for it, and its bytes are forgotten.
fn contested() -> World {
    let mut world = World::new();
    world.serve("a", "va", &["/x", "/a"]);
    world.serve("b", "vb", &["/x"]);
    world.took();
    world
}

#[test]
fn a_path_that_is_free_is_another_modules_before_its_last_owner_goes() {
    let mut world = contested();
    world.delete("a");
    assert_eq!(world.took(), ["look up b", "store blob", "create b", "remove a"]);
}

#[test]
fn a_deleted_module_goes_though_who_gains_its_path_is_not_to_be_had() {
    let mut world = contested();
    world.registry.remove("reg/vb");
    world.delete("a");
    assert_eq!(world.took(), ["look up b"], "one failure may be a hiccup");
    world.pass(Duration::from_secs(2));
    assert_eq!(world.took(), ["look up b", "remove a"]);
}

#[test]
fn an_update_that_leaves_a_path_is_made_though_who_gains_it_is_not_to_be_had() {
    let mut world = contested();
    world.registry.remove("reg/vb");
    world.serve("a", "va2", &["/a"]);
    world.pass(Duration::from_secs(2));
    let paths = |world: &World| world.entry("a").unwrap().wanted().unwrap().routes.len();
    assert_eq!(paths(&world), 1, "{:?}", world.log);
}

#[test]
fn who_gains_a_path_is_waited_for_though_its_registry_was_away_before() {
    let mut world = contested();
    let artifact = world.registry.remove("reg/vb").unwrap();
    world.pass(Duration::from_secs(700));
    world.pass(Duration::from_secs(2));
    assert!(world.took().iter().filter(|line| *line == "look up b").count() >= 2);
    world.registry.insert("reg/vb".into(), artifact);
    world.delete("a");
    assert_eq!(world.took(), ["look up b", "store blob", "create b", "remove a"]);
}

#[test]
fn a_deleted_module_goes_though_the_entry_of_who_gains_its_path_is_forbidden() {
    let mut world = contested();
    world.forbidden = Some("b");
    world.delete("a");
    assert_eq!(world.took(), ["look up b", "store blob"]);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.took(), ["remove a"], "a quota may need just this");
    world.forbidden = None;
    world.pass(Duration::from_secs(2));
    assert_eq!(world.took(), ["create b"]);
}

#[test]
fn what_was_forbidden_is_forgotten_once_it_is_not_wanted() {
    let mut world = World::new();
    world.forbidden = Some("b");
    world.serve("b", "vb", &["/b"]);
    let target = Target::Entry(POOL.parse().unwrap(), EntryKey::new("shop", "b").unwrap());
    assert!(world.index.schedule.is_refused(&target));
    world.delete("b");
    assert!(!world.index.schedule.is_refused(&target));
}
