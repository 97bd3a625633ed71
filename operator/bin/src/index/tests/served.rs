//! What goes through the blob service, and what it may hand out.

use tokio::sync::oneshot;

use super::rollout::held_bytes;
use super::*;

fn ask(world: &mut World, namespace: &str, artifact: &str) -> Standing {
    let (answer_tx, mut answer_rx) = oneshot::channel();
    let digest = Digest::of(artifact.as_bytes());
    world.handle(Event::Asked(Inquiry { namespace: namespace.to_owned(), digest, answer_tx }));
    answer_rx.try_recv().unwrap()
}

fn named(reference: &str, artifact: &str, compressed_bytes: Option<u64>) -> Standing {
    let artifact = Digest::of(artifact.as_bytes());
    let origins = vec![Origin { reference: reference.into(), artifact, compressed_bytes }];
    Standing::Named { origins, max_build_bytes: 64 << 20 }
}

#[test]
fn a_build_that_fits_into_no_config_map_is_served_at_once() {
    let mut world = World::new();
    world.serve("hello", "large", &["/hello"]);
    assert_eq!(world.took(), ["look up hello", "create hello"], "no blob is stored");
    world.report();
    assert_eq!(world.ready("hello"), "True Succeeded");
    assert_eq!(ask(&mut world, "hotbay", "large"), named("reg/large", "large", None));
}

#[test]
fn what_finds_no_room_in_the_pool_is_served_and_stored_when_there_is_room() {
    let mut world = World::new();
    world.change_pool(|pool| pool.spec.limits.inline_blob_total = hotbay_api::ByteSize(9));
    world.serve("a", "va", &["/a"]);
    world.took();
    world.serve("b", "vb", &["/b"]);
    assert_eq!(world.took(), ["look up b", "create b"]);
    assert_eq!(held_bytes(&world), 0, "a pool that is full must not fill the operator");
    world.report();
    assert_eq!(world.ready("b"), "True Succeeded");
    assert_eq!(world.took(), Vec::<String>::new());
    world.change_pool(|pool| pool.spec.limits.inline_blob_total = hotbay_api::ByteSize(10));
    assert_eq!(world.took(), ["prepare b", "store blob"], "and the entry stays as it is");
    world.change_pool(|pool| pool.spec.limits.inline_blob_total = hotbay_api::ByteSize(0));
    assert_eq!(world.took(), Vec::<String>::new(), "what is stored stays");
}

#[test]
fn a_namespace_may_have_what_entries_in_it_name() {
    let mut world = World::new();
    world.serve("hello", "v1", &["/hello"]);
    world.report();
    assert_eq!(ask(&mut world, "hotbay", "v1"), named("reg/v1", "v1", Some(5)));
    assert_eq!(ask(&mut world, "hotbay", "v2"), Standing::Unnamed);
    assert_eq!(ask(&mut world, "shop", "v1"), Standing::NoPool, "the module's namespace is not the pool's");
    world.serve("hello", "v2", &["/hello"]);
    assert_eq!(ask(&mut world, "hotbay", "v1"), named("reg/v1", "v1", Some(5)), "it is the last good one");
    world.delete("hello");
    assert_eq!(ask(&mut world, "hotbay", "v2"), Standing::Unnamed);
}

#[test]
fn an_operator_that_starts_knows_where_blobs_come_from() {
    let mut world = World::new();
    world.serve("hello", "large", &["/hello"]);
    world.report();
    world.serve("hello", "large2", &["/hello"]);
    let mut world = world.restarted();
    assert_eq!(ask(&mut world, "hotbay", "large"), Standing::Unknown, "before everything was seen");
    world.registry.clear();
    world.start(world.modules.values().cloned().collect());
    for artifact in ["large", "large2"] {
        assert_eq!(ask(&mut world, "hotbay", artifact), named(&format!("reg/{artifact}"), artifact, None));
    }
}
