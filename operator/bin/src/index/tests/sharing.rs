//! Look-ups that modules share, and those that an operator inherits.

use super::*;

const INTERVAL: Duration = Duration::from_secs(600);

/// Modules that all have the reference `reg/v1`.
fn of_one_tag(count: usize) -> World {
    let mut world = World::new();
    for number in 0..count {
        world.serve(&format!("m{number}"), "v1", &[&*format!("/m{number}").leak()]);
    }
    world.report();
    world.index.take_figures();
    world.took();
    world
}

fn restarted(world: World) -> World {
    let mut world = world.restarted();
    world.start(world.modules.values().cloned().collect());
    world
}

fn lines(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|&line| line.to_owned()).collect()
}

fn count(log: &[String], verb: &str) -> usize {
    log.iter().filter(|line| line.starts_with(verb)).count()
}

/// `serve` gives every module other paths, and the artifact's are the last one's.
fn push(world: &mut World, artifact: &str) {
    world.registry.insert("reg/v1".into(), (artifact.to_owned(), vec![]));
}

#[test]
fn modules_of_one_tag_are_one_look_up_an_interval() {
    let mut world = of_one_tag(50);
    for _ in 0..3 {
        world.pass(INTERVAL + INTERVAL / 10);
        assert_eq!(count(&world.took(), "look up"), 1);
    }
    assert_eq!(world.index.take_figures().shared_look_ups, 3 * 49);
}

#[test]
fn a_tag_that_moved_is_looked_up_once_and_followed_by_all() {
    let mut world = of_one_tag(50);
    push(&mut world, "v2");
    world.pass(INTERVAL + INTERVAL / 10);
    let log = world.took();
    assert_eq!((count(&log, "look up"), count(&log, "prepare"), count(&log, "update")), (1, 49, 50));
}

#[test]
fn a_module_that_looks_up_once_a_generation_does_not_follow_the_others() {
    let mut world = of_one_tag(2);
    world.apply("m1", |module| module.spec.interval = hotbay_api::DurationText::from_secs(0));
    world.took();
    push(&mut world, "v2");
    world.pass(INTERVAL + INTERVAL / 10);
    assert_eq!(world.took(), ["look up m0", "store blob", "update m0"]);
}

#[test]
fn what_a_user_asks_for_is_not_answered_from_before() {
    let mut world = of_one_tag(2);
    push(&mut world, "v2");
    world.pass(Duration::from_secs(1));
    let again = [(hotbay_api::labels::RECONCILE_REQUESTED_AT.to_owned(), "now".to_owned())];
    world.apply("m1", |module| {
        module.metadata.annotations = Some(again.clone().into());
        module.metadata.generation = module.metadata.generation.map(|generation| generation - 1);
    });
    let log = world.took();
    assert_eq!(log[0], "look up m1");
    assert_eq!(count(&log, "update"), 2, "and the other learns of it: {log:?}");
}

#[test]
fn a_registry_that_is_lost_is_asked_once_for_all_and_told_on_all() {
    let mut world = of_one_tag(20);
    world.registry.clear();
    world.pass(INTERVAL + INTERVAL / 10);
    assert_eq!(count(&world.took(), "look up"), 1);
    let waits = |world: &World, name: &str| {
        let status = world.modules[&EntryKey::new("shop", name).unwrap()].status.clone().unwrap();
        find(&status.conditions, hotbay_api::condition::RECONCILING).map(|waits| waits.reason.clone())
    };
    assert!((0..20).all(|number| waits(&world, &format!("m{number}")) == Some(Reason::SourceNotFound)));
    world.pass(Duration::from_secs(2));
    assert_eq!(count(&world.took(), "look up"), 1, "and once a pause");
}

#[test]
fn a_new_operator_asks_each_reference_once_and_prepares_nothing() {
    let mut world = restarted(of_one_tag(30));
    assert_eq!(world.took(), ["watch hotbay", "look up m0"]);
    assert_eq!(world.ready("m7"), "True Succeeded");
    world.pass(INTERVAL * 2);
    assert_eq!(count(&world.took(), "look up"), 1, "then it goes on as before");
}

#[test]
fn a_new_operator_follows_a_tag_that_moved_while_there_was_none() {
    let mut world = of_one_tag(2);
    push(&mut world, "v2");
    let log = restarted(world).took();
    assert_eq!(count(&log, "update"), 2, "{log:?}");
}

#[test]
fn an_edit_that_no_operator_saw_is_looked_up() {
    let mut world = of_one_tag(1);
    let module = world.modules.values_mut().next().unwrap();
    module.metadata.generation = module.metadata.generation.map(|generation| generation + 1);
    let log = restarted(world).took();
    // The registry's candidate differs from the entry in nothing, so that it must have been made is seen from the blob alone.
    assert_eq!(log, ["watch hotbay", "look up m0"]);
}

/// What a new operator does about an entry that was changed while there was none.
fn after(change: impl FnOnce(&mut StoredEntry)) -> Vec<String> {
    let mut world = of_one_tag(1);
    change(world.entries.values_mut().next().unwrap());
    restarted(world).took()
}

#[test]
fn an_entry_that_somebody_edited_is_made_good() {
    let log = after(|stored| {
        stored.entry.as_mut().unwrap().revisions[0].routes.clear();
        stored.intact = false;
    });
    assert_eq!(log, ["watch hotbay", "look up m0", "update m0"]);
}

#[test]
fn an_entry_that_somebody_edited_is_no_place_to_go_back_to() {
    let mut world = of_one_tag(1);
    world.report();
    let mut stored = world.entries.values().next().unwrap().clone();
    stored.entry.as_mut().unwrap().revisions[0].config = serde_json::json!({"forged": true});
    (stored.intact, stored.version) = (false, world.next_version());
    world.handle(Event::Entry("hotbay".into(), Change::Applied(stored)));
    world.run();
    assert_eq!(world.entry("m0").unwrap().revisions.len(), 1, "only what the module asks for");
}

#[test]
fn an_entry_of_an_earlier_version_costs_one_pull_and_no_more() {
    let mut world = of_one_tag(1);
    let stored = world.entries.values_mut().next().unwrap();
    // Earlier operators noted neither.
    (stored.marked, stored.origins) = (false, Origins::new());
    let mut world = restarted(world);
    assert_eq!((world.took(), world.pulls), (lines(&["watch hotbay", "look up m0", "update m0"]), 1));
    let written = world.entries.values().next().unwrap();
    assert!(written.marked && !written.origins.is_empty(), "{written:?}");
    let mut world = restarted(world);
    assert_eq!((world.took(), world.pulls), (lines(&["watch hotbay", "look up m0"]), 0));
}

#[test]
fn an_entry_of_another_artifact_than_the_status_tells_of_is_not_believed() {
    let log = after(|stored| {
        stored.origins.values_mut().for_each(|origin| origin.artifact = Digest::of(b"another"));
        stored.entry.as_mut().unwrap().revisions[0].timeouts.request = hotbay_api::DurationText::from_secs(1);
    });
    assert_eq!(log, ["watch hotbay", "look up m0", "update m0"]);
}

#[test]
fn a_blob_that_went_while_there_was_no_operator_is_stored_again() {
    let mut world = of_one_tag(1);
    world.blobs.clear();
    let log = restarted(world).took();
    assert!(log.contains(&"store blob".to_owned()), "{log:?}");
}

#[test]
fn an_idle_hour_writes_nothing() {
    let mut world = of_one_tag(5);
    world.pass(Duration::from_secs(5));
    (world.statuses, world.told) = (0, vec![]);
    world.took();
    for _ in 0..60 {
        world.pass(Duration::from_secs(60));
        // What a watch repeats after it began anew is no change.
        let modules = world.modules.values().cloned().collect();
        world.list(Event::Module, modules);
        world.report();
    }
    let log = world.took();
    assert!(log.iter().all(|line| line.starts_with("look up")) && log.len() <= 6, "{log:?}");
    assert_eq!((world.statuses, world.told.len()), (0, 0));
}
