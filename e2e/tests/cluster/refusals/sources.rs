//! Artifacts that cannot be had: ArtifactReady is False.

use hotbay_api::{Reason, condition};
use hotbay_e2e::cluster::bad_registry::Badness;
use hotbay_e2e::cluster::registry;
use hotbay_e2e::cluster::scene::{Scene, scene};
use http::StatusCode;
use serde_json::{Value, json};

use super::{Refused, Says, reference, refuses, refuses_in};

fn unfetched<'t>(reason: Reason, words: &'t [&'t str]) -> Refused<'t> {
    Refused { reason, condition: condition::ARTIFACT_READY, says: Says::Reconciling, words }
}

fn elsewhere(reference: &str) -> Value {
    json!({"source": {"oci": {"reference": reference}}})
}

#[tokio::test]
async fn a_registry_that_nobody_knows() {
    let edit = async |_: &Scene| elsewhere("registry.invalid/hello:1.0");
    refuses("unknown-host", edit, unfetched(Reason::SourceUnreachable, &["registry.invalid"])).await;
}

#[tokio::test]
async fn a_registry_that_refuses_connections() {
    let edit = async |scene: &Scene| {
        let nobody = scene.cluster.no_registry().await;
        elsewhere(&format!("{nobody}/hello:1.0"))
    };
    refuses("refused", edit, unfetched(Reason::SourceUnreachable, &["failed to reach", "refused"])).await;
}

#[tokio::test]
async fn a_missing_tag() {
    let edit = async |scene: &Scene| reference(scene, "hello:none");
    let words = ["hello:none does not exist", "push it"];
    refuses("missing", edit, unfetched(Reason::SourceNotFound, &words)).await;
}

#[tokio::test]
async fn a_missing_repository() {
    let edit = async |_: &Scene| elsewhere(&format!("{}/e2e/nobody/pushed:1.0", registry::NAME));
    let words = ["e2e/nobody/pushed:1.0 does not exist", "push it"];
    refuses("repository", edit, unfetched(Reason::SourceNotFound, &words)).await;
}

#[tokio::test]
async fn a_registry_that_never_answers() {
    // One of two limits of 30 s ends it, that of a pause or that of the whole.
    bad(
        "silent",
        Badness::Silent,
        unfetched(Reason::SourceUnreachable, &["failed to reach", "operation timed out"]),
    )
    .await;
}

#[tokio::test]
async fn a_registry_that_wants_to_know_who_asks() {
    let badness = Badness::Answers(StatusCode::UNAUTHORIZED);
    bad("unauthorized", badness, unfetched(Reason::SourceUnauthorized, &["refused access", "credentials"]))
        .await;
}

#[tokio::test]
async fn a_registry_that_forbids_it() {
    let badness = Badness::Answers(StatusCode::FORBIDDEN);
    bad("forbidden", badness, unfetched(Reason::SourceUnauthorized, &["refused access", "credentials"]))
        .await;
}

#[tokio::test]
async fn a_registry_that_is_broken() {
    let badness = Badness::Answers(StatusCode::SERVICE_UNAVAILABLE);
    bad("broken", badness, unfetched(Reason::SourceUnreachable, &["failed to reach", "503"])).await;
}

#[tokio::test]
async fn a_registry_that_changes_bytes() {
    let words = ["does not have the digest sha256:", "the registry or something before it is at fault"];
    bad("mismatch", Badness::ChangesBlobs, unfetched(Reason::DigestMismatch, &words)).await;
}

/// A module moves to a bad registry. Pods of another cluster may not reach this host.
async fn bad(name: &str, badness: Badness, expected: Refused<'_>) {
    scene(name, async |scene: &Scene| {
        let why = "on this cluster pods may not reach this host";
        if scene.cluster.local_or_skip(name, why).is_none() {
            return;
        }
        let registry = scene.cluster.bad_registry(badness).await;
        let edit = async |scene: &Scene| {
            // Of its own, and not what the module serves already: nobody fetches a digest twice.
            scene.push("other:1.0", &hotbay_e2e::modules::echo()).await;
            elsewhere(&format!("{}/e2e/{}/other:1.0", registry.name, scene.namespace))
        };
        refuses_in(scene, edit, expected).await;
    })
    .await;
}
