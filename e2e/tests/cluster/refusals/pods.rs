//! What only a pod can find out: Programmed is False, and every pod's report says why.

use hotbay_api::{Reason, condition};
use hotbay_e2e::cluster::scene::Scene;
use hotbay_e2e::{broken, modules};
use serde_json::{Value, json};

use super::{Refused, Says, file, hello, reference, refuses};

fn fails<'t>(reason: Reason, says: Says, words: &'t [&'t str]) -> Refused<'t> {
    Refused { reason, condition: condition::PROGRAMMED, says, words }
}

#[tokio::test]
async fn a_module_for_another_machine() {
    let words = ["pod hotbay-", "there is no build for linux/", "push one"];
    let expected = fails(Reason::WrongArchitecture, Says::Stalled, &words);
    file("machine", &broken::other_machine(&hello()), expected).await;
}

#[tokio::test]
async fn a_module_that_needs_a_newer_libc() {
    let words = ["pod hotbay-", "glibc 2.99", "or older"];
    file("libc", &broken::newer_libc(&hello()), fails(Reason::LibcTooOld, Says::Stalled, &words)).await;
}

#[tokio::test]
async fn a_module_that_needs_a_library_that_nobody_has() {
    let words = ["pod hotbay-", "libnone_.so.1", "link statically"];
    let expected = fails(Reason::DependencyMissing, Says::Stalled, &words);
    file("library", &broken::missing_library(&hello()), expected).await;
}

#[tokio::test]
async fn a_constructor_that_aborts() {
    let expected = fails(Reason::ProbeCrashed, Says::Stalled, &["pod hotbay-", "SIGABRT"]);
    file("constructor", &modules::constructor_abort(), expected).await;
}

#[tokio::test]
async fn a_constructor_that_exits() {
    let expected = fails(Reason::ProbeCrashed, Says::Stalled, &["pod hotbay-", "exit"]);
    file("exits", &modules::constructor_exit(), expected).await;
}

#[tokio::test]
async fn a_constructor_that_hangs() {
    let expected = fails(Reason::ProbeTimeout, Says::Stalled, &["pod hotbay-", "within 2s"]);
    file("hangs", &modules::constructor_hang(), expected).await;
}

/// A module becomes `faulty`, which fails in `create` as `mode` says.
async fn create(name: &str, mode: &str, reason: Reason, words: &[&str]) {
    let edit = async |scene: &Scene| -> Value {
        scene.push("faulty:1.0", &modules::faulty()).await;
        let mut edit = reference(scene, "faulty:1.0");
        edit["config"] = json!({"mode": mode});
        edit
    };
    refuses(name, edit, fails(reason, Says::Reconciling, words)).await;
}

#[tokio::test]
async fn a_create_that_says_no() {
    let words = ["pod hotbay-", "the config asked create to fail"];
    create("error", "create-error", Reason::StartFailed, &words).await;
}

#[tokio::test]
async fn a_create_that_panics() {
    let words = ["pod hotbay-", "the config asked create to panic"];
    create("panic", "create-panic", Reason::StartFailed, &words).await;
}

#[tokio::test]
async fn a_create_that_never_returns() {
    create("stuck", "create-hang", Reason::StartTimeout, &["pod hotbay-", "within 3s"]).await;
}

#[tokio::test]
async fn a_create_that_stays_pending() {
    create("pending", "create-pending", Reason::StartTimeout, &["pod hotbay-", "within 30s"]).await;
}
