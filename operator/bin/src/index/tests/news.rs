//! What is told as events, and what is not.

use super::*;

/// What was told since the last call: its type, its reason and its object.
fn told(world: &mut World) -> Vec<String> {
    let words = |notice: Notice| {
        let kind = if notice.news.warning { "Warning" } else { "Normal" };
        let name = match notice.about {
            About::Module(key, _) => key.name,
            About::Pool(pool, _) => pool.name,
        };
        format!("{kind} {} {} {name}", notice.news.action, notice.news.reason)
    };
    std::mem::take(&mut world.told).into_iter().map(words).collect()
}

/// These pods say that they serve all but hello, for this reason.
fn fails(world: &mut World, pods: &[&str], reason: &str, message: &str) {
    for pod in pods {
        let version = world.next_version().to_string();
        let report: RuntimeReport = object(json!({
            "apiVersion": "hotbay.dev/v1alpha1", "kind": "RuntimeReport",
            "metadata": {"namespace": "hotbay", "name": pod, "resourceVersion": version},
            "pool": "default", "podUid": format!("uid-{pod}"), "appliedThrough": world.version,
            "exceptions": [{
                "namespace": "shop", "name": "hello", "sequence": world.version, "state": "Failed",
                "reason": reason, "message": message,
            }],
        }));
        world.handle(Event::Report(Change::Applied(report)));
    }
    world.run();
}

fn served() -> World {
    let mut world = World::new();
    world.serve("hello", "v1", &["/hello"]);
    world.report();
    world
}

#[test]
fn a_new_revision_is_told_when_it_is_prepared_and_when_it_is_served() {
    let mut world = served();
    assert_eq!(told(&mut world), ["Normal Prepare Progressing hello", "Normal Serve Succeeded hello"]);
    world.serve("hello", "v2", &["/hello"]);
    world.report();
    assert_eq!(told(&mut world), ["Normal Prepare Progressing hello", "Normal Serve Succeeded hello"]);
}

#[test]
fn a_refusal_is_told_once_with_its_words_and_so_is_that_it_is_over() {
    let mut world = World::new();
    world.apply("hello", |_| ());
    let [notice] = &world.told[..] else { panic!("{:?}", world.told) };
    assert_eq!(notice.about, About::Module(EntryKey::new("shop", "hello").unwrap(), "uid-hello".into()));
    assert_eq!(notice.news.message, "reg/hello:1 does not exist");
    assert_eq!(told(&mut world), ["Warning Refuse SourceNotFound hello"]);
    world.pass(Duration::from_secs(600));
    assert_eq!(
        told(&mut world),
        Vec::<String>::new(),
        "it was asked for again and again, and nothing is new"
    );
    world.registry.insert("reg/hello:1".into(), ("v1".into(), vec!["/hello"]));
    world.pass(Duration::from_secs(200));
    world.report();
    assert_eq!(told(&mut world)[..1], ["Normal Prepare Progressing hello"]);
}

#[test]
fn a_module_that_holds_threads_is_told_once() {
    let mut world = served();
    told(&mut world);
    for _ in 0..2 {
        let version = world.next_version().to_string();
        let report: RuntimeReport = object(json!({
            "apiVersion": "hotbay.dev/v1alpha1", "kind": "RuntimeReport",
            "metadata": {"namespace": "hotbay", "name": "p0", "resourceVersion": version},
            "pool": "default", "podUid": "uid-p0", "appliedThrough": world.version,
            "notices": [{"namespace": "shop", "name": "hello", "reason": "Stalled", "message": "handler hello (/)"}],
        }));
        world.handle(Event::Report(Change::Applied(report)));
        world.run();
    }
    assert_eq!(told(&mut world), ["Warning Observe Stalled hello"]);
}

#[test]
fn the_same_refusal_of_another_generation_is_told_again() {
    let mut world = World::new();
    world.apply("hello", |_| ());
    told(&mut world);
    world.apply("hello", |module| module.spec.source.oci.as_mut().unwrap().reference = "reg/none".into());
    assert_eq!(told(&mut world), ["Warning Refuse SourceNotFound hello"]);
}

#[test]
fn a_registry_that_is_lost_and_found_is_told_though_ready_stays() {
    let mut world = served();
    told(&mut world);
    let lost = std::mem::take(&mut world.registry);
    world.pass(Duration::from_secs(700));
    assert_eq!(told(&mut world), ["Warning Refuse SourceNotFound hello"]);
    world.registry = lost;
    world.pass(Duration::from_secs(130));
    assert_eq!(told(&mut world), ["Normal Recover Succeeded hello"]);
}

#[test]
fn a_pod_that_fails_is_told_with_the_words_of_its_report_and_so_is_its_recovery() {
    let mut world = served();
    told(&mut world);
    let message = "1@sha256:aa ended 2 engines (SIGSEGV in request 7)";
    fails(&mut world, &["p0"], "Quarantined", message);
    let [notice] = &world.told[..] else { panic!("{:?}", world.told) };
    assert_eq!(notice.news.message, format!("pod p0: {message}"));
    assert_eq!(told(&mut world), ["Warning Serve Quarantined hello"]);
    fails(&mut world, &["p0"], "Quarantined", message);
    assert_eq!(told(&mut world), Vec::<String>::new(), "the report came again");
    world.report();
    assert_eq!(told(&mut world), ["Normal Recover Succeeded hello"]);
}

#[test]
fn pods_that_fail_alike_are_one_event() {
    let mut world = served();
    told(&mut world);
    fails(&mut world, &["p0", "p1"], "StartFailed", "no database");
    let messages: Vec<&str> = world.told.iter().map(|notice| notice.news.message.as_str()).collect();
    assert!(messages.len() <= 2, "{messages:?}");
}

#[test]
fn a_new_operator_repeats_nothing() {
    let mut world = World::new();
    world.apply("hello", |_| ());
    world.serve("served", "v1", &["/served"]);
    world.report();
    let mut world = world.restarted();
    world.start(world.modules.values().cloned().collect());
    world.pass(Duration::from_secs(10));
    assert_eq!(told(&mut world), Vec::<String>::new());
}

#[test]
fn what_is_not_written_is_not_told() {
    let mut world = World::new();
    world.index.tell_once_written(
        &Target::ModuleStatus(EntryKey::new("shop", "hello").unwrap()),
        &About::Module(EntryKey::new("shop", "hello").unwrap(), "u".into()),
        notices::of_pool(None, &unreadable()),
    );
    world.handle(Event::Written(
        Target::ModuleStatus(EntryKey::new("shop", "hello").unwrap()),
        Written::Failed,
    ));
    world.run();
    assert_eq!(told(&mut world), Vec::<String>::new());
}

fn unreadable() -> hotbay_api::RuntimePoolStatus {
    let condition = json!({
        "type": "Ready", "status": "False", "reason": "PoolUnreadable", "message": "forbidden",
        "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    object(json!({"conditions": [condition]}))
}

#[test]
fn a_held_sweep_and_an_unreadable_pool_are_told_on_the_pool() {
    let news = notices::of_pool(None, &unreadable());
    assert_eq!(news.len(), 1);
    assert_eq!((news[0].warning, &news[0].reason), (true, &Reason::PoolUnreadable));

    let mut world = World::new();
    for number in 0..25 {
        world.serve(&format!("m{number}"), &format!("a{number}"), &[&*format!("/m{number}").leak()]);
    }
    let mut world = world.restarted();
    world.start(vec![]);
    assert!(told(&mut world).contains(&"Warning Sweep SweepHeld default".to_owned()));
    let figures = world.index.take_figures();
    let held = figures.pools[&POOL.parse().unwrap()].as_ref().map(|pool| pool.held_removals);
    assert_eq!(held, Some(25));
}
