//! From an applied module to Ready, and what stands in its way.

use super::*;

/// The revisions of the entry of `hello`, by name.
fn names(world: &World) -> Vec<String> {
    world.entry("hello").unwrap().revisions.iter().map(|revision| revision.revision.clone()).collect()
}

fn name(artifact: &str) -> String {
    candidate("", artifact, &[]).revision.revision
}

/// How many blobs wait in memory.
pub(super) fn held_bytes(world: &World) -> usize {
    let candidates = world.index.look_ups.values().filter_map(LookUp::candidate);
    candidates.filter_map(|candidate| candidate.blobs.as_ref()).map(Vec::len).sum()
}

#[test]
fn an_entry_that_no_bay_takes_is_told() {
    let mut world = World::new();
    let path: &'static str = format!("/{}", "x".repeat(1000)).leak();
    world.serve("hello", "v1", &vec![path; 300]);
    assert_eq!(world.ready("hello"), "False TooLarge");
    assert!(world.entry("hello").is_none());
}

#[test]
fn an_applied_module_reaches_the_pods_without_a_tick_and_is_ready_when_they_say_so() {
    let mut world = World::new();
    world.serve("hello", "v1", &["/hello"]);
    assert_eq!(world.took(), ["look up hello", "store blob", "create hello"]);
    assert_eq!(world.ready("hello"), "False Progressing");
    world.report();
    assert_eq!(world.ready("hello"), "True Succeeded");
    assert_eq!(world.took(), Vec::<String>::new());
}

#[test]
fn nothing_is_decided_before_everything_was_seen() {
    let mut world = World::unlisted();
    world.list(Event::Module, vec![]);
    let pool = world.pool("default");
    world.list(Event::Pool, vec![pool]);
    world.list(Event::Namespace, vec![]);
    world.serve("hello", "v1", &["/hello"]);
    assert_eq!(world.took(), ["watch hotbay"]);
    assert!(!world.index.is_complete());
    world.list(Event::Report, vec![]);
    world.run();
    assert_eq!(world.took(), Vec::<String>::new(), "the pool's namespace is not seen yet");
    world.list_place("hotbay", vec![]);
    world.run();
    assert_eq!(world.took(), ["look up hello", "store blob", "create hello"]);
}

#[test]
fn an_update_keeps_the_revision_that_was_ready_as_last_good() {
    let mut world = World::new();
    world.serve("hello", "v1", &["/hello"]);
    world.report();
    world.serve("hello", "v2", &["/hello"]);
    assert_eq!(names(&world), [name("v2"), name("v1")]);
    assert_eq!(world.ready("hello"), "False Progressing");
    world.serve("hello", "v3", &["/hello"]);
    assert_eq!(names(&world), [name("v3"), name("v1")], "v2 was never served");
    world.report();
    assert_eq!(names(&world), [name("v3"), name("v1")], "Ready changes no entry");
    assert_eq!(world.ready("hello"), "True Succeeded");
}

#[test]
fn a_restart_without_a_registry_changes_no_status_and_forgets_no_good_revision() {
    let mut world = World::new();
    world.serve("hello", "v1", &["/hello"]);
    world.report();
    let mut world = world.restarted();
    world.registry.clear();
    world.start(world.modules.values().cloned().collect());
    assert_eq!(world.took(), ["watch hotbay", "look up hello"]);
    assert_eq!(world.ready("hello"), "True Succeeded");
    world.apply("hello", |module| module.spec.source.oci.as_mut().unwrap().reference = "reg/none".into());
    assert_eq!(world.ready("hello"), "False SourceNotFound");
    // Once more: now even the status does not say that v1 was Ready; the pods do.
    let mut world = world.restarted();
    world.start(world.modules.values().cloned().collect());
    world.serve("hello", "v2", &["/hello"]);
    assert_eq!(names(&world), [name("v2"), name("v1")]);
}

#[test]
fn a_last_good_revision_whose_blob_is_gone_is_dropped_unless_it_can_be_fetched_again() {
    let mut world = World::new();
    world.serve("hello", "v1", &["/hello"]);
    world.report();
    let digest = Digest::of(b"v1");
    let blob = world.blobs.remove(&digest).unwrap();
    world.serve("hello", "v2", &["/hello"]);
    assert_eq!(names(&world), [name("v2"), name("v1")]);
    world.handle(Event::Blob("hotbay".into(), Change::Deleted(StoredBlob { version: 9999, ..blob })));
    world.run();
    assert_eq!(names(&world), [name("v2"), name("v1")], "the blob service can have it");
    let mut stored = world.entries.values().next().unwrap().clone();
    (stored.version, stored.origins) = (world.next_version(), Origins::new());
    world.handle(Event::Entry("hotbay".into(), Change::Applied(stored)));
    world.run();
    assert_eq!(names(&world), [name("v2")], "nobody knows where it came from");
}

#[test]
fn a_missing_tag_keeps_the_entry_and_is_asked_for_again() {
    let mut world = World::new();
    world.serve("hello", "v1", &["/hello"]);
    world.report();
    world.took();
    let before = world.entries.clone();
    world.apply("hello", |module| module.spec.source.oci.as_mut().unwrap().reference = "reg/none".into());
    assert_eq!(world.ready("hello"), "False SourceNotFound");
    assert_eq!(world.took(), ["look up hello"]);
    world.pass(Duration::from_millis(900));
    assert_eq!(world.took(), Vec::<String>::new());
    world.registry.insert("reg/none".into(), ("v2".into(), vec!["/hello"]));
    assert_eq!(world.entries, before);
    world.pass(Duration::from_millis(300));
    assert_eq!(world.took(), ["look up hello", "store blob", "update hello"]);
}

#[test]
fn a_conflicting_module_gets_no_entry_and_has_the_route_when_the_older_is_gone() {
    let mut world = World::new();
    world.serve("a", "va", &["/x"]);
    world.serve("b", "vb", &["/x"]);
    assert_eq!(world.ready("b"), "False RouteConflict");
    assert!(world.entry("b").is_none());
    world.took();
    assert_eq!(held_bytes(&world), 0, "nobody knows how long it will be refused");
    world.delete("a");
    assert_eq!(world.took(), ["look up b", "store blob", "create b", "remove a"], "the gaining entry first");
}

#[test]
fn a_path_that_moves_is_gained_before_it_is_lost() {
    let mut world = World::new();
    world.serve("a", "va", &["/x", "/a"]);
    world.serve("b", "vb", &["/b"]);
    world.registry.insert("reg/vb2".into(), ("vb2".into(), vec!["/b", "/x"]));
    world.apply("b", |module| module.spec.source.oci.as_mut().unwrap().reference = "reg/vb2".into());
    assert_eq!(world.ready("b"), "False RouteConflict");
    world.took();
    world.serve("a", "va2", &["/a"]);
    let order: Vec<String> = world.took().into_iter().filter(|line| line.starts_with("update")).collect();
    assert_eq!(order, ["update b", "update a"]);
}

#[test]
fn an_unknown_pool_and_an_unwelcome_namespace_are_told_and_nothing_is_looked_up() {
    let mut world = World::new();
    world.apply("hello", |module| {
        module.spec.runtime_ref = Some(hotbay_api::RuntimeRef { name: "none".into(), namespace: None })
    });
    assert_eq!(world.ready("hello"), "False RuntimeNotFound");
    world.change_pool(|pool| pool.spec.allowed_modules = hotbay_api::AllowedModules::default());
    world.apply("hello", |module| module.spec.runtime_ref = None);
    assert_eq!(world.ready("hello"), "False NotAllowed");
    assert_eq!(world.took(), Vec::<String>::new());
}

#[test]
fn a_suspended_module_is_frozen() {
    let mut world = World::new();
    world.serve("hello", "v1", &["/hello"]);
    world.report();
    world.took();
    let before = world.entries.clone();
    world.apply("hello", |module| module.spec.suspend = true);
    assert_eq!(world.ready("hello"), "True Succeeded", "what serves goes on serving");
    world.pass(Duration::from_secs(7200));
    assert_eq!((world.took(), &world.entries), (Vec::<String>::new(), &before));
    world.apply("hello", |module| module.spec.suspend = false);
    assert_eq!(world.took(), ["look up hello"]);
    assert_eq!(world.ready("hello"), "True Succeeded");
}

#[test]
fn a_pool_that_the_operator_may_not_read_is_told_with_the_role_that_is_missing() {
    let mut world = World::unlisted();
    world.list(Event::Module, vec![]);
    let pool = world.pool("default");
    world.list(Event::Pool, vec![pool]);
    world.list(Event::Namespace, vec![]);
    world.list(Event::Report, vec![]);
    world.serve("hello", "v1", &["/hello"]);
    let forbidden = || Event::Unreadable("hotbay".into(), "EndpointSlices", "forbidden".into());
    let ready = |world: &World| {
        let status = world.pools["default"].status.as_ref()?;
        find(&status.conditions, READY).cloned()
    };
    world.handle(forbidden());
    world.pass(Duration::from_secs(9));
    assert_eq!(ready(&world), None, "an API server may be away for a moment");
    world.handle(forbidden());
    world.pass(Duration::from_secs(1));
    assert_eq!(world.ready("hello"), "False PoolUnreadable");
    let told = ready(&world).unwrap();
    assert_eq!((told.status, told.reason), (hotbay_api::ConditionStatus::False, Reason::PoolUnreadable));
    for words in ["EndpointSlices in the pool's namespace hotbay", "forbidden", "Role <release>-operator"] {
        assert!(told.message.contains(words), "{:?} must say {words:?}", told.message);
    }
    assert!(world.index.next_wake().is_none_or(|next| next > world.now), "told once");
    world.list_place("hotbay", vec![]);
    world.run();
    world.report();
    assert_eq!(world.ready("hello"), "True Succeeded");
    // What is Ready stays so when an operator starts that may not look.
    let mut world = world.restarted();
    world.list(Event::Module, world.modules.values().cloned().collect());
    world.list(Event::Pool, world.pools.values().cloned().collect());
    world.list(Event::Namespace, vec![]);
    world.list(Event::Report, vec![]);
    world.run();
    world.handle(forbidden());
    world.pass(Duration::from_secs(10));
    assert_eq!(world.ready("hello"), "True Succeeded");
}

#[test]
fn an_apply_and_an_update_write_three_statuses_each() {
    let mut world = World::new();
    for (artifact, paths) in [("v1", &["/hello"][..]), ("v2", &["/hello", "/more"])] {
        world.module_statuses = 0;
        world.serve("hello", artifact, paths);
        assert_eq!(world.module_statuses, 2, "{artifact}: it is looked up; it is with the pods");
        world.report_of("p0");
        world.run();
        assert_eq!(world.module_statuses, 2, "{artifact}: how many pods have it is the pool's status");
        world.report_of("p1");
        world.run();
        assert_eq!(world.module_statuses, 3, "{artifact}: every pod serves it");
        assert_eq!(world.ready("hello"), "True Succeeded");
    }
}

#[test]
fn an_entry_that_cannot_be_written_keeps_no_status_back() {
    let mut world = World::new();
    world.refuses_entries = true;
    world.serve("hello", "v1", &["/hello"]);
    let revision = |world: &World| {
        world.modules.values().next().unwrap().status.as_ref().and_then(|status| status.revision.clone())
    };
    assert_eq!(revision(&world), None, "it may be written any moment");
    world.pass(Duration::from_millis(600));
    assert!(revision(&world).is_some(), "it failed, and what was prepared is told");
    world.refuses_entries = false;
    world.pass(Duration::from_secs(60));
    world.report();
    assert_eq!(world.ready("hello"), "True Succeeded");
}
