//! What happens by itself with time, and what must not.

use super::*;

const INTERVAL: Duration = Duration::from_secs(600);

#[test]
fn a_tag_that_moved_is_followed_within_the_interval() {
    let mut world = World::new();
    world.serve("hello", "v1", &["/hello"]);
    world.took();
    world.registry.insert("reg/v1".into(), ("v2".into(), vec!["/hello"]));
    world.pass(INTERVAL - Duration::from_secs(1));
    assert_eq!(world.took(), Vec::<String>::new());
    world.pass(INTERVAL / 5);
    assert_eq!(world.took(), ["look up hello", "store blob", "update hello"]);
}

#[test]
fn an_unchanged_tag_costs_one_look_up_and_no_write() {
    let mut world = World::new();
    world.serve("hello", "v1", &["/hello"]);
    world.took();
    world.pass(INTERVAL * 2);
    assert_eq!(world.took(), ["look up hello"]);
    world.apply("hello", |module| module.spec.interval = hotbay_api::DurationText::from_secs(0));
    assert_eq!(world.took(), ["look up hello"], "once a generation");
    world.pass(INTERVAL * 100);
    assert_eq!(world.took(), Vec::<String>::new());
}

#[test]
fn the_annotation_asks_for_a_look_up_at_once_and_is_told_when_it_is_done() {
    let mut world = World::new();
    world.serve("hello", "v1", &["/hello"]);
    world.took();
    let annotations = [(hotbay_api::labels::RECONCILE_REQUESTED_AT.to_owned(), "now".to_owned())];
    world.apply("hello", |module| {
        module.metadata.annotations = Some(annotations.clone().into());
        module.metadata.generation = module.metadata.generation.map(|generation| generation - 1);
    });
    assert_eq!(world.took(), ["look up hello"]);
    let status = world.modules.values().next().unwrap().status.as_ref().unwrap();
    assert_eq!(status.last_handled_reconcile_at.as_deref(), Some("now"));
}

#[test]
fn failed_look_ups_come_further_and_further_apart() {
    let mut world = World::new();
    world.apply("hello", |_| ());
    let mut waits = vec![];
    let mut last = world.now;
    while waits.len() < 9 {
        world.took();
        world.now = world.index.next_wake().unwrap();
        world.run();
        if world.took() == ["look up hello"] {
            waits.push((world.now - last).as_secs());
            last = world.now;
        }
    }
    assert!(waits[..7].is_sorted(), "{waits:?}");
    assert!(waits[0] <= 1 && waits[7..].iter().all(|wait| (120..=132).contains(wait)), "{waits:?}");
}

#[test]
fn what_is_due_wakes_once() {
    let mut world = World::new();
    world.serve("hello", "v1", &["/hello"]);
    world.serve("off", "v2", &["/off"]);
    world.apply("off", |module| module.spec.suspend = true);
    for _ in 0..50 {
        let Some(wake) = world.index.next_wake() else { return };
        world.now = world.now.max(wake);
        world.run();
        assert!(
            world.index.next_wake().is_none_or(|next| next > world.now),
            "a due date in the past is a busy loop"
        );
    }
}

#[test]
fn a_blob_goes_ten_minutes_after_its_last_entry() {
    let mut world = World::new();
    world.serve("hello", "v1", &["/hello"]);
    world.delete("hello");
    world.took();
    world.pass(Duration::from_secs(599));
    assert_eq!(world.took(), Vec::<String>::new());
    assert_eq!(world.index.next_wake(), Some(world.now + Duration::from_secs(1)));
    world.pass(Duration::from_secs(1));
    assert_eq!(world.took(), ["remove blob"]);
    assert_eq!(world.index.next_wake(), None);
}

#[test]
fn a_blob_that_somebody_deleted_is_fetched_and_stored_again() {
    let mut world = World::new();
    world.serve("hello", "v1", &["/hello"]);
    world.took();
    world.list(|change| Event::Blob("hotbay".into(), change), vec![]);
    world.run();
    assert_eq!(world.took(), ["look up hello", "store blob"]);
}

#[test]
fn a_blob_that_goes_while_its_module_is_looked_up_is_fetched_and_stored_again() {
    let mut world = World::new();
    world.serve("hello", "v1", &["/hello"]);
    let artifact = world.registry.remove("reg/v1").unwrap();
    world.pass(INTERVAL * 2);
    world.registry.insert("reg/v1".into(), artifact);
    // The first answer after an outage takes its time; meanwhile somebody deletes the blob.
    let mut slow = vec![];
    while slow.is_empty() {
        world.now = world.index.next_wake().unwrap();
        slow = world.index.decide(world.now, &Time(Timestamp::UNIX_EPOCH));
    }
    assert!(matches!(slow[..], [Action::LookUp(_)]), "{slow:?}");
    world.blobs.clear();
    world.list(|change| Event::Blob("hotbay".into(), change), vec![]);
    world.run();
    world.took();
    world.perform(slow.remove(0));
    world.run();
    assert_eq!(world.took(), ["look up hello", "look up hello", "store blob"]);
}

#[test]
fn a_module_made_anew_while_the_status_of_the_one_before_is_written_has_a_status() {
    let mut world = World::new();
    let elsewhere = |uid: &str| {
        let uid = uid.to_owned();
        move |module: &mut HandlerModule| {
            module.metadata.uid = Some(uid.clone());
            module.spec.runtime_ref = Some(hotbay_api::RuntimeRef { name: "none".into(), namespace: None });
            module.status = None;
        }
    };
    world.apply("hello", elsewhere("first"));
    let key = EntryKey::new("shop", "hello").unwrap();
    let target = Target::ModuleStatus(key.clone());
    world.index.schedule.begin(&target, world.now);
    world.delete("hello");
    world.apply("hello", elsewhere("second"));
    assert!(world.modules[&key].status.is_none(), "one write at a time");
    world.handle(Event::Written(target.clone(), Written::Vanished("first".into())));
    world.run();
    assert!(world.modules[&key].status.is_some());

    world.index.schedule.begin(&target, world.now);
    world.apply("hello", |_| ());
    let before = world.module_statuses;
    world.handle(Event::Written(target, Written::Vanished("second".into())));
    world.run();
    assert_eq!(world.module_statuses, before, "what is gone is not written again until its deletion is seen");
}

#[test]
fn a_module_whose_status_comes_back_with_another_pool_leaves_its_paths_to_others() {
    let mut world = World::new();
    world.serve("a", "va", &["/x"]);
    world.serve("c", "vc", &["/x"]);
    world.took();
    let key = EntryKey::new("shop", "a").unwrap();
    let version = world.next_version().to_string();
    let module = world.modules.get_mut(&key).unwrap();
    module.spec.runtime_ref = Some(hotbay_api::RuntimeRef { name: "none".into(), namespace: None });
    (module.metadata.resource_version, module.metadata.generation) = (Some(version), Some(9));
    let module = Box::new(module.clone());
    world.handle(Event::Written(Target::ModuleStatus(key), Written::Module(module)));
    world.run();
    assert!(world.took().contains(&"create c".to_owned()));
}

/// What is done when somebody changes the stored entry of hello like this.
fn after_edit(world: &mut World, change: impl FnOnce(&mut StoredEntry)) -> Vec<String> {
    let mut stored = world.entries.values().next().unwrap().clone();
    change(&mut stored);
    stored.version = world.next_version();
    world.entries.insert(stored.key.clone(), stored.clone());
    world.handle(Event::Entry("hotbay".into(), Change::Applied(stored)));
    world.run();
    world.took()
}

#[test]
fn labels_and_annotations_that_somebody_edited_are_mended() {
    type Edit = fn(&mut StoredEntry);
    let edits: [(&str, Edit); 5] = [
        ("its pool", |stored| stored.marked = false),
        ("its module", |stored| stored.module_uid = "another".into()),
        ("a generation that is to come", |stored| stored.generation = 9),
        ("no generation", |stored| stored.generation = 0),
        ("no origins", |stored| stored.origins.clear()),
    ];
    for (what, edit) in edits {
        let mut world = World::new();
        world.serve("hello", "v1", &["/hello"]);
        world.report();
        world.took();
        let before = world.entries.values().next().unwrap().clone();
        assert_eq!(after_edit(&mut world, edit), ["update hello"], "{what}");
        let now = world.entries.values().next().unwrap();
        assert_eq!(*now, StoredEntry { version: now.version, ..before }, "{what}");
    }
}

#[test]
fn an_edit_of_the_module_that_changes_no_entry_writes_none() {
    let mut world = World::new();
    world.serve("hello", "v1", &["/hello"]);
    world.took();
    world.apply("hello", |module| module.spec.interval = hotbay_api::DurationText::from_secs(60));
    assert_eq!(world.took(), ["look up hello"]);
}

#[test]
fn what_is_under_way_is_not_asked_for_again() {
    let mut world = World::new();
    world.registry.insert("reg/hello:1".into(), ("v1".into(), vec!["/hello"]));
    let module = object(json!({
        "apiVersion": "hotbay.dev/v1alpha1", "kind": "HandlerModule",
        "metadata": {"namespace": "shop", "name": "hello", "uid": "u", "generation": 1, "resourceVersion": "900"},
        "spec": {"source": {"oci": {"reference": "reg/hello:1"}}},
    }));
    world.handle(Event::Module(Change::Applied(module)));
    let time = Time(Timestamp::UNIX_EPOCH);
    assert_eq!(world.index.decide(world.now, &time).len(), 2, "a look-up and a status");
    world.index.all_dirty = true;
    assert!(world.index.decide(world.now, &time).is_empty());
}

#[test]
fn a_failed_write_is_tried_again_after_a_pause() {
    let mut world = World::new();
    let target = Target::PoolStatus(POOL.parse().unwrap());
    world.change_pool(|pool| pool.status = None);
    world.pass(Duration::from_secs(2));
    world.change_pool(|pool| pool.metadata.generation = Some(7));
    world.pass(Duration::from_secs(2));
    world.index.schedule.begin(&target, world.now);
    world.pools.get_mut("default").unwrap().status = None;
    world.change_pool(|pool| pool.metadata.generation = Some(8));
    assert!(world.pools["default"].status.is_none(), "one write at a time");
    world.handle(Event::Written(target, Written::Failed));
    world.run();
    assert!(world.pools["default"].status.is_none(), "not at once");
    world.pass(Duration::from_millis(600));
    assert_eq!(world.pools["default"].status.as_ref().unwrap().observed_generation, 8);
}

#[test]
fn a_question_of_the_blob_service_leads_to_nothing() {
    let mut world = World::new();
    world.serve("hello", "v1", &["/hello"]);
    world.report();
    world.pass(Duration::from_secs(5));
    assert!(!world.index.take_figures().blobs.is_empty(), "what is stored was counted");
    let (answer_tx, mut answer_rx) = tokio::sync::oneshot::channel();
    let inquiry = Inquiry { namespace: "hotbay".into(), digest: Digest::of(b"v1"), answer_tx };
    world.handle(Event::Asked(inquiry));
    assert!(matches!(answer_rx.try_recv(), Ok(Standing::Named { .. })));
    assert!(world.index.decide(world.now, &Time(Timestamp::UNIX_EPOCH)).is_empty());
    let Figures { pools, blobs, .. } = world.index.take_figures();
    assert!(pools.is_empty() && blobs.is_empty(), "nothing is counted again: {pools:?} {blobs:?}");
}

#[test]
fn a_report_counts_no_blobs_again() {
    let mut world = World::new();
    world.serve("hello", "v1", &["/hello"]);
    world.pass(Duration::from_secs(5));
    world.index.take_figures();
    world.report();
    let Figures { pools, blobs, .. } = world.index.take_figures();
    assert!(!pools.is_empty() && blobs.is_empty(), "{pools:?} {blobs:?}");
}
