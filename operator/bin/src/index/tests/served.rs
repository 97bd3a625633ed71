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

/// Changes what an entry says, as an operator wrote it or as somebody else did, and takes it in.
fn rewrite(world: &mut World, name: &str, intact: bool, change: impl Fn(&mut Revision)) {
    let version = world.next_version();
    let key = EntryKey::new("shop", name).unwrap();
    let mut stored = world.entries[&key].clone();
    stored.entry.iter_mut().flat_map(|entry| &mut entry.revisions).for_each(change);
    (stored.intact, stored.version) = (intact, version);
    world.handle(Event::Entry("hotbay".into(), Change::Applied(stored)));
}

/// How large a build may be that is fetched for `hotbay`.
fn limit_mib(world: &mut World, artifact: &str) -> Option<u64> {
    match ask(world, "hotbay", artifact) {
        Standing::Named { max_build_bytes, .. } => Some(max_build_bytes >> 20),
        _ => None,
    }
}

fn limit_pool(world: &mut World, mib: u64) {
    world.change_pool(|pool| pool.spec.limits.max_artifact_size = hotbay_api::ByteSize::mib(mib));
}

/// What an entry says of its blobs.
fn sized(mib: &[u64]) -> impl Fn(&mut Revision) {
    let mib = mib.to_vec();
    move |revision| {
        let first = revision.blobs[0].clone();
        let other = |number: usize| Digest::of(format!("of platform {number}").as_bytes());
        let digest = |number| if number == 0 { first.digest } else { other(number) };
        let blob =
            |(number, mib): (usize, &u64)| Blob { digest: digest(number), size: mib << 20, ..first.clone() };
        revision.blobs = mib.iter().enumerate().map(blob).collect();
    }
}

#[test]
fn what_somebody_wrote_into_an_entry_opens_nothing() {
    let mut world = World::new();
    world.serve("hello", "v1", &["/hello"]);
    rewrite(&mut world, "hello", false, sized(&[1, 60]));
    assert_eq!(limit_mib(&mut world, "v1"), None);
    assert_eq!(limit_mib(&mut world, "of platform 1"), None);
}

#[test]
fn what_was_admitted_under_an_earlier_limit_can_be_fetched_with_all_its_platforms() {
    let mut world = World::new();
    world.serve("hello", "v1", &["/hello"]);
    limit_pool(&mut world, 10);
    rewrite(&mut world, "hello", true, sized(&[1, 2]));
    assert_eq!(limit_mib(&mut world, "v1"), Some(10), "what the pool allows is more");
    rewrite(&mut world, "hello", true, sized(&[1, 30, 2]));
    assert_eq!(limit_mib(&mut world, "v1"), Some(30), "the largest, not the one that is asked for");
    rewrite(&mut world, "hello", true, sized(&[30, 30, 30]));
    assert_eq!(limit_mib(&mut world, "v1"), Some(45), "all together may have twice the limit");
}

#[test]
fn no_entry_makes_a_fetch_larger_than_any_pools() {
    let mut world = World::new();
    world.serve("hello", "v1", &["/hello"]);
    limit_pool(&mut world, 10);
    rewrite(&mut world, "hello", true, sized(&[1 << 30]));
    assert_eq!(limit_mib(&mut world, "v1"), Some(64), "what a pool allows that says nothing");
    limit_pool(&mut world, 100);
    assert_eq!(limit_mib(&mut world, "v1"), Some(100));
    rewrite(&mut world, "hello", true, sized(&[u64::MAX >> 20, u64::MAX >> 20]));
    assert_eq!(limit_mib(&mut world, "v1"), Some(100));
}
