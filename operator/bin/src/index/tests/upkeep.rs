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

/// Notes how many artifacts are fetched at one time.
#[derive(Default)]
struct Busy {
    now: std::sync::atomic::AtomicUsize,
    most: std::sync::atomic::AtomicUsize,
}

impl hotbay_pipeline::Source for Busy {
    async fn resolve(&self, reference: &str) -> Result<Digest, hotbay_pipeline::SourceError> {
        Ok(Digest::of(reference.as_bytes()))
    }

    async fn fetch(
        &self,
        reference: &str,
        _: &Digest,
        _: u64,
    ) -> Result<hotbay_pipeline::Artifact, hotbay_pipeline::SourceError> {
        use std::sync::atomic::Ordering::SeqCst;
        let now = self.now.fetch_add(1, SeqCst) + 1;
        self.most.fetch_max(now, SeqCst);
        tokio::task::yield_now().await;
        self.now.fetch_sub(1, SeqCst);
        Err(hotbay_pipeline::SourceError::NotFound { reference: reference.to_owned() })
    }
}

#[tokio::test]
async fn no_more_artifacts_are_in_memory_than_there_are_permits() {
    let mut world = World::new();
    for number in 0..5 {
        let module = object(json!({
            "apiVersion": "hotbay.dev/v1alpha1", "kind": "HandlerModule",
            "metadata": {
                "namespace": "shop", "name": format!("m{number}"), "uid": "u", "generation": 1, "resourceVersion": "900"
            },
            "spec": {"source": {"oci": {"reference": format!("reg/{number}:1")}}},
        }));
        world.handle(Event::Module(Change::Applied(module)));
    }
    let requests: Vec<LookUpRequest> = world
        .index
        .decide(world.now, &Time(Timestamp::UNIX_EPOCH))
        .into_iter()
        .filter_map(|action| if let Action::LookUp(request) = action { Some(*request) } else { None })
        .collect();
    let (source, permits) = (Busy::default(), tokio::sync::Semaphore::new(2));
    let all = requests.iter().map(|request| crate::look_up::look_up(request, &source, &permits));
    assert_eq!(futures::future::join_all(all).await.len(), 5);
    assert_eq!(source.most.into_inner(), 2);
}
