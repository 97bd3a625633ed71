//! What the tests before this one have cost: scripts/e2e runs it when they have ended.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use hotbay_e2e::cluster::Cluster;
use hotbay_e2e::cluster::restarts::unexplained;

#[tokio::test]
async fn nothing_in_the_runtime_pods_was_started_again_but_by_a_test() {
    let wrong = unexplained(&Cluster::connect().await.pod_objects().await);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
