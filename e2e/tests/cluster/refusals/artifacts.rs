//! Files that are no modules, and specs that do not fit: Accepted is False, and no pod hears of them.

use hotbay_api::{ConditionStatus, Reason, condition};
use hotbay_e2e::cluster::scene::{Scene, current};
use hotbay_e2e::{broken, modules};
use serde_json::json;

use super::{Refused, Says, file, hello, refuses};

fn unfit<'t>(reason: Reason, words: &'t [&'t str]) -> Refused<'t> {
    Refused { reason, condition: condition::ACCEPTED, says: Says::Stalled, words }
}

#[tokio::test]
async fn a_file_that_is_no_elf() {
    file("no-elf", &broken::not_elf(), unfit(Reason::InvalidElf, &["hello:broken", "ELF"])).await;
}

#[tokio::test]
async fn half_a_file() {
    let words = ["not a whole ELF shared object", "copy it whole"];
    file("truncated", &broken::truncated(&hello()), unfit(Reason::InvalidElf, &words)).await;
}

#[tokio::test]
async fn a_file_without_a_note() {
    let words = ["no Hotbay manifest"];
    file("no-note", &broken::without_note(&hello()), unfit(Reason::ManifestInvalid, &words)).await;
}

#[tokio::test]
async fn a_manifest_that_is_none() {
    let words = ["manifest is not valid"];
    file("manifest", &broken::bad_manifest(&hello()), unfit(Reason::ManifestInvalid, &words)).await;
}

#[tokio::test]
async fn a_file_without_the_entry_symbol() {
    let words = ["does not export hotbay_module_v1"];
    file("no-entry", &broken::without_entry(&hello()), unfit(Reason::MissingSymbol, &words)).await;
}

#[tokio::test]
async fn a_module_for_a_newer_abi() {
    file("abi", &modules::newer_abi(), unfit(Reason::AbiMismatch, &["ABI", "upgrade Hotbay"])).await;
}

#[tokio::test]
async fn a_module_for_a_machine_that_nothing_of_hotbay_runs_on() {
    let words = ["build it for 64-bit x86-64 or AArch64"];
    file("riscv", &broken::unknown_machine(&hello()), unfit(Reason::WrongArchitecture, &words)).await;
}

#[tokio::test]
async fn a_config_that_does_not_fit() {
    let edit = async |_: &Scene| json!({"config": {"greeting": 5}});
    refuses("bad-config", edit, unfit(Reason::ConfigRejected, &["spec.config.greeting", "schema"])).await;
}

#[tokio::test]
async fn a_refused_artifact_is_there_all_the_same() {
    hotbay_e2e::cluster::scene::scene("nothing", async |scene: &Scene| {
        scene.push("hello:broken", &broken::without_entry(&hello())).await;
        scene.apply("hello", scene.spec("hello:broken")).await;
        let refused = scene.not_ready("hello", &Reason::MissingSymbol).await;
        let ready = current(&refused, condition::ARTIFACT_READY).expect("it was looked into");
        assert_eq!(ready.status, ConditionStatus::True, "{refused:#?}");
        // It never served, and nothing says that it does.
        assert!(current(&refused, condition::PROGRAMMED).is_none(), "{refused:#?}");
        assert!(scene.entry_map("hello").await.is_none(), "no pod hears of it");
        scene.answers(&scene.path(), 404).await;
    })
    .await;
}
