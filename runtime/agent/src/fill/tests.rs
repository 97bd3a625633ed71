//! What outlives the agent's process.

use super::*;

/// A client of an API server that nobody runs: nothing listens on the discard port.
fn mk_api() -> Api<ConfigMap> {
    let config = kube::Config::new("http://127.0.0.1:9".parse().unwrap());
    Api::namespaced(kube::Client::try_from(config).unwrap(), "hotbay")
}

#[test]
fn what_the_operator_writes_is_what_a_bay_takes() {
    assert_eq!(hotbay_bay::MAX_ENTRY_BYTES, hotbay_api::MAX_ENTRY_BYTES as u64);
}

#[tokio::test]
async fn an_agent_that_starts_anew_without_an_api_server_is_ready_if_the_bay_was_in_step() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let (known_tx, known_rx) = watch::channel(Known::default());
        let sources = Sources { config_maps: mk_api(), service: None };
        let writer = Writer::new(folder.path()).unwrap();
        (Filler::open(sources, "default", "uid", writer, known_tx).unwrap(), known_rx)
    };
    let (mut first, known) = open();
    first.publish().await;
    assert!(!known.borrow().synced, "an empty bay before the first list is in step with nothing");
    first.plan.take(watcher::Event::Init, Instant::now());
    first.plan.take(watcher::Event::InitDone, Instant::now());
    first.publish().await;
    assert!(known.borrow().synced);
    let (second, known) = open();
    second.publish().await;
    assert_eq!(*known.borrow(), Known { synced: true, entries: None });
}

#[test]
fn pods_that_fail_together_come_back_one_by_one() {
    let pauses: BTreeSet<Duration> = (0..100).map(|seed| backoff(20, seed)).collect();
    assert!(pauses.len() > 90, "{} pauses", pauses.len());
    assert!(pauses.iter().all(|pause| (24..=30).contains(&pause.as_secs())), "{pauses:?}");
}
