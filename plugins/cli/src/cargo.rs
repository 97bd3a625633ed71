//! The author's cargo.
//!
//! Owns how it is found, what a build of a module is, and which folders its sources are in. Must not touch the author's files.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use cargo_metadata::{Message, Metadata, MetadataCommand, PackageId};

/// A release of a module: small, and as one piece for the optimizer.
const RELEASE: [&str; 3] =
    ["profile.release.lto=\"fat\"", "profile.release.codegen-units=1", "profile.release.strip=\"symbols\""];

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

/// How to build.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Profile<'p> {
    /// As the author's own `cargo build` does it.
    Dev,
    /// For others; for another machine if one is named, with its linker.
    Release(Option<(&'p str, Option<&'p str>)>),
}

impl Package {
    /// The package in `folder`.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let folder =
            folder.canonicalize().with_context(|| format!("there is no folder {}", folder.display()))?;
        let package = Self { folder };
        ensure!(
            package.manifest().is_file(),
            "there is no Cargo.toml in {}; name a module's folder, or make one with `hotbay new NAME`",
            package.folder.display()
        );
        Ok(package)
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn manifest(&self) -> PathBuf {
        self.folder.join("Cargo.toml")
    }

    /// Builds it; where the module lies. What cargo says goes to standard error.
    ///
    /// # Errors
    /// When it does not build, or is no `cdylib`.
    pub fn build(&self, profile: Profile<'_>) -> anyhow::Result<PathBuf> {
        let mut command = cargo();
        command.args(["build", "--lib", "--message-format", "json-render-diagnostics"]);
        if let Profile::Release(other) = profile {
            command.arg("--release").args(RELEASE.iter().flat_map(|setting| ["--config", *setting]));
            if let Some((triple, linker)) = other {
                command.args(["--target", triple]);
                let linker = linker.map(|linker| format!("target.{triple}.linker=\"{linker}\""));
                command.args(linker.iter().flat_map(|setting| ["--config", setting]));
            }
        }
        command.current_dir(&self.folder).stdin(Stdio::null()).stderr(Stdio::inherit());
        hotbay_sys::process::end_with_parent(&mut command);
        let output =
            command.output().context("failed to start cargo; install Rust from https://rustup.rs")?;
        if !output.status.success() {
            bail!("{} does not build; cargo says above why", self.folder.display());
        }
        let messages = Message::parse_stream(&*output.stdout).filter_map(Result::ok);
        messages.filter_map(|message| self.module(message)).next().with_context(|| {
            let manifest = self.manifest();
            format!(
                "{} builds no shared object; write `[lib]` and `crate-type = [\"cdylib\"]` there",
                manifest.display()
            )
        })
    }

    /// The shared object, if this message is about this package's.
    fn module(&self, message: Message) -> Option<PathBuf> {
        let Message::CompilerArtifact(artifact) = message else { return None };
        let own = artifact.manifest_path == self.manifest() && artifact.target.is_cdylib();
        let mut objects = artifact.filenames.into_iter().filter(|file| file.extension() == Some("so"));
        objects.next().filter(|_| own).map(Into::into)
    }

    /// The folders of this package and of those beside it on the disk that it is built from.
    ///
    /// # Errors
    /// When cargo cannot say, as it cannot while a Cargo.toml is wrong.
    pub fn sources(&self) -> anyhow::Result<BTreeSet<PathBuf>> {
        let mut command = MetadataCommand::new();
        // Without the platform cargo would fetch what only others need.
        let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        command.cargo_path(program()).manifest_path(self.manifest());
        command.other_options(["--filter-platform".to_owned(), triple]);
        let metadata = command.exec().context("cargo does not know what the module is built from")?;
        let root = metadata.packages.iter().find(|package| package.manifest_path == self.manifest());
        let mut folders = BTreeSet::from([self.folder.clone()]);
        folders.extend(root.iter().flat_map(|root| local(&metadata, &root.id)));
        Ok(folders)
    }
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
