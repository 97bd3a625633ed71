//! Programs and modules built from source by cargo, as a test needs them.
//!
//! Owns how cargo is called and where it puts what it builds. Must not know what is built.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where the cargo that runs a test builds, and what.
pub const SETTINGS: [&str; 3] = ["CARGO_BUILD_BUILD_DIR", "CARGO_MANIFEST_DIR", "CARGO_TARGET_DIR"];

/// Takes [`SETTINGS`] from a command that builds a project of the test's own: it has nothing to do with them, and would leave its build in the cache.
pub fn on_its_own(command: &mut Command) {
    for name in SETTINGS {
        command.env_remove(name);
    }
}

/// Runs `cargo build` in the workspace, with what `configure` adds.
///
/// # Panics
/// When it fails.
pub(crate) fn build(configure: impl FnOnce(&mut Command) -> &mut Command) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet"]).current_dir(workspace()).stdin(Stdio::null());
    configure(&mut command);
    let output = command.output().expect("cargo can be started");
    assert!(output.status.success(), "cargo: {}", String::from_utf8_lossy(&output.stderr));
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    let usual = || workspace().join("target");
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(usual, |folder| workspace().join(folder))
}

/// The workspace's folder.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this crate is in a folder of the workspace")
        .to_owned()
}
