//! The programs as users get them: what a load test or a benchmark measures.
//!
//! Owns nothing but the call of cargo: `make test` has built them before, then it only says so.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use crate::modules::workspace;

/// The release build of `hotbay`, built if need be.
///
/// # Panics
/// When it cannot be built.
pub fn hotbay() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--release", "--locked", "--package", "hotbay"]);
    let output = command.current_dir(workspace()).output().expect("cargo can be started");
    assert!(output.status.success(), "cargo: {}", String::from_utf8_lossy(&output.stderr));
    let usual = || workspace().join("target");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(usual, |folder| workspace().join(folder));
    target.join("release/hotbay")
}
