//! Where cargo's settings lie.
//!
//! Owns the one list of the files: in the folder in which cargo runs, in all above it, and in cargo's own. Must not read them.

use std::path::{Path, PathBuf};

/// The folder that settings lie in, in every folder but cargo's own.
const FOLDER: &str = ".cargo";
/// Their names; the first one is of old times.
const NAMES: [&str; 2] = ["config", "config.toml"];

/// All files with settings for `folder` that there may be.
pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    beside(folder, own_folder())
}

/// The same; `own` is cargo's folder.
pub(super) fn beside(folder: &Path, own: Option<PathBuf>) -> Vec<PathBuf> {
    let folders = folder.ancestors().map(|folder| folder.join(FOLDER)).chain(own);
    folders.flat_map(|folder| NAMES.map(|name| folder.join(name))).collect()
}

fn own_folder() -> Option<PathBuf> {
    let named = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    named.or_else(|| std::env::home_dir().map(|home| home.join(FOLDER)))
}
