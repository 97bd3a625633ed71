//! A module's file, as every command reads it.
//!
//! Owns the words for a file that cannot be read or is no module. Must not judge what some machine could do with it.

use std::path::Path;

use anyhow::Context as _;
use bytes::Bytes;
use hotbay_artifact::{ModuleFacts, check_anywhere};

/// A file's bytes.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn bytes(file: &Path) -> anyhow::Result<Bytes> {
    let bytes = std::fs::read(file).with_context(|| format!("failed to read {}", file.display()))?;
    Ok(bytes.into())
}

/// A module, and what it says of itself.
///
/// # Errors
/// When the file cannot be read, or is no module.
pub(crate) fn read(file: &Path) -> anyhow::Result<(Bytes, ModuleFacts)> {
    let bytes = bytes(file)?;
    let facts = ModuleFacts::read(&bytes).with_context(|| format!("{} is no module", file.display()))?;
    Ok((bytes, facts))
}

/// As [`read`], of one that some runtime could load.
///
/// # Errors
/// When the file cannot be read, is no module, or could be loaded nowhere.
pub(crate) fn read_servable(file: &Path) -> anyhow::Result<(Bytes, ModuleFacts)> {
    let (bytes, facts) = read(file)?;
    check_anywhere(&facts).with_context(|| format!("{} cannot be served", file.display()))?;
    Ok((bytes, facts))
}
