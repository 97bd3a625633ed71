//! The author's cargo.
//!
//! Owns how it is found, what a build of a module is, and which folders its sources are in.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, anyhow};
use cargo_metadata::diagnostic::{Diagnostic, DiagnosticLevel};
use cargo_metadata::{Message, Metadata, MetadataCommand, PackageId};

use super::target::Target;
use super::{BuildError, Profile, Said, tool};
use crate::ansi;

/// A package's manifest.
pub(crate) const MANIFEST: &str = "Cargo.toml";
/// What to do where there is no cargo.
pub(crate) const MISSING: &str = "install Rust from https://rustup.rs";
/// A release of a module: small, and as one piece for the optimizer.
const RELEASE: [&str; 3] =
    ["profile.release.lto=\"fat\"", "profile.release.codegen-units=1", "profile.release.strip=\"symbols\""];

/// What is served while it is being written: six sevenths of it would be for a debugger, and every byte is hashed, read and copied before it serves. For the
/// last crate alone, so that all others are those of `cargo test` and `cargo build`. A panic says its place all the same.
const DEV: [&str; 2] = ["--", "-Cstrip=debuginfo"];

/// `cargo`, or the one that runs us.
pub(crate) fn cargo() -> Command {
    Command::new(program())
}

fn program() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"))
}

/// A module's package.
#[derive(Debug)]
pub(crate) struct Package {
    /// Without symbolic links, as cargo names it.
    folder: PathBuf,
}

impl Package {
    /// The package in `folder`, a path without symbolic links.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn manifest(&self) -> PathBuf {
        self.folder.join(MANIFEST)
    }

    /// See [`super::Project::build`].
    ///
    /// # Errors
    /// When it does not build, or is no `cdylib`.
    pub fn build(&self, profile: Profile, built: &mut dyn FnMut(&Path)) -> Result<(), BuildError> {
        let (mut said, mut found) = (Said::default(), false);
        let ended = tool::run(self.command(profile), MISSING, &mut |line| {
            match serde_json::from_str(line) {
                Ok(Message::CompilerMessage(message)) => tell(&message.message, &mut said),
                // The last message that matters: cargo sends it when the file lies where it says.
                Ok(Message::CompilerArtifact(artifact)) => {
                    let own = artifact.manifest_path == self.manifest() && artifact.target.is_cdylib();
                    let mut objects = artifact.filenames.iter().filter(|file| file.extension() == Some("so"));
                    if let Some(module) = objects.next().filter(|_| own) {
                        found = true;
                        built(module.as_std_path());
                    }
                }
                _ => {}
            }
        })?;
        if !ended.success {
            // A Cargo.toml that is wrong is told by cargo, not by the compiler.
            let text = if said.text.is_empty() { ended.said } else { said.text };
            let said = Said { text, place: said.place };
            return Err(BuildError::Refused { folder: self.folder.clone(), tool: "cargo", said });
        }
        if found {
            return Ok(());
        }
        let manifest = self.manifest();
        Err(anyhow!(
            "{} builds no shared object; write `[lib]` and `crate-type = [\"cdylib\"]` there",
            manifest.display()
        )
        .into())
    }

    fn command(&self, profile: Profile) -> Command {
        let mut command = cargo();
        let build = if matches!(profile, Profile::Dev) { "rustc" } else { "build" };
        command.args([build, "--lib", "--message-format", "json-diagnostic-rendered-ansi"]);
        command.args(["--color", if tool::has_colours() { "always" } else { "never" }]);
        if let Profile::Release(target) = profile {
            command.arg("--release").args(RELEASE.iter().flat_map(|setting| ["--config", *setting]));
            if let Some(target) = target {
                command.args(["--target", target.triple]);
                command.args(target.cargo_setting().iter().flat_map(|setting| ["--config", setting]));
            }
        }
        if matches!(profile, Profile::Dev) {
            command.args(DEV);
        }
        command.current_dir(&self.folder);
        command
    }

    /// The folders of this package and of those beside it on the disk that it is built from.
    ///
    /// # Errors
    /// When cargo cannot say, as it cannot while a Cargo.toml is wrong.
    pub fn sources(&self) -> anyhow::Result<BTreeSet<PathBuf>> {
        let mut command = MetadataCommand::new();
        command.cargo_path(program()).manifest_path(self.manifest());
        // Without the platform cargo would fetch what only others need.
        command.other_options(["--filter-platform".to_owned(), Target::own_triple()]);
        let metadata = command.exec().context("cargo does not know what the module is built from")?;
        let root = metadata.packages.iter().find(|package| package.manifest_path == self.manifest());
        let mut folders = BTreeSet::from([self.folder.clone()]);
        folders.extend(root.iter().flat_map(|root| local(&metadata, &root.id)));
        Ok(folders)
    }
}

/// Shows what the compiler says, and keeps the mistakes.
fn tell(diagnostic: &Diagnostic, said: &mut Said) {
    let Some(rendered) = &diagnostic.rendered else { return };
    if tool::has_colours() {
        tool::show(rendered);
    } else {
        tool::show(&ansi::plain(rendered));
    }
    // The summary at the end says nothing new.
    let counts = matches!(diagnostic.level, DiagnosticLevel::Error | DiagnosticLevel::Ice)
        && !diagnostic.message.starts_with("aborting due to");
    if !counts {
        return;
    }
    said.text.push_str(rendered);
    let span = diagnostic.spans.iter().find(|span| span.is_primary);
    let place = span.map(|span| format!("{}:{}:{}", span.file_name, span.line_start, span.column_start));
    said.place = said.place.take().or(place);
}

/// The folders of all packages on this disk that `root` needs.
fn local(metadata: &Metadata, root: &PackageId) -> BTreeSet<PathBuf> {
    let nodes = metadata.resolve.iter().flat_map(|resolve| &resolve.nodes);
    let needs = |id: &PackageId| nodes.clone().find(|node| node.id == *id).map(|node| &node.dependencies);
    let (mut found, mut next) = (BTreeSet::new(), vec![root]);
    while let Some(id) = next.pop() {
        if found.insert(id) {
            next.extend(needs(id).into_iter().flatten());
        }
    }
    let here = |id: &PackageId| metadata[id].source.is_none();
    let folder = |id: &PackageId| metadata[id].manifest_path.parent().map(|folder| folder.to_owned().into());
    found.into_iter().filter(|id| here(id)).filter_map(folder).collect()
}
