//! What was built with the header of ABI 1.0 is right in every host of ABI 1: the module of `kept/1.0`, compiled anew with the header beside it, and as the
//! binary that was made of both when 1.0 was frozen. None of these files ever changes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "all of it is tests")]

use std::path::Path;
use std::process::Command;

use hotbay_conformance::{Options, check, kept};

#[test]
fn a_module_of_1_0_keeps_the_rules_and_finds_its_host_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    for file in kept::modules(folder.path()).unwrap() {
        let report =
            check(env!("CARGO_BIN_EXE_hotbay-conformance").as_ref(), &file, &Options::default()).unwrap();
        assert!(report.broken().is_empty(), "{}\n{report}", file.display());
    }
}

#[test]
fn what_is_kept_was_not_changed() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("kept/1.0");
    let mut sums = Command::new("sha256sum");
    let output = sums.args(["--check", "--strict", "SHA256SUMS"]).current_dir(kept).output().unwrap();
    let words = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && words.lines().count() == 3, "put them back as they were: {words}");
}
