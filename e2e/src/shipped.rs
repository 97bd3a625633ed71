//! The programs as users get them: what a load test or a benchmark measures.
//!
//! Owns nothing but the call of cargo: `make test` has built them before, then it only says so.

use std::path::PathBuf;

use crate::cargo;

/// The release build of `hotbay`, built if need be.
///
/// # Panics
/// When it cannot be built.
pub fn hotbay() -> PathBuf {
    cargo::build(|command| command.args(["--release", "--locked", "--package", "hotbay"]));
    cargo::target().join("release/hotbay")
}
