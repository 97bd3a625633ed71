//! The author's cargo.
//!
//! Owns how it is found, what a build of a module is, and which folders its sources are in.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, anyhow};
use cargo_metadata::{Message, Metadata, MetadataCommand, PackageId};

use super::target::Target;
use super::{BuildError, Inputs, Profile, Said, compiler, tool};

/// A package's manifest.
pub(crate) const MANIFEST: &str = "Cargo.toml";
/// What to do where there is no cargo.
pub(crate) const MISSING: &str = "install Rust from https://rustup.rs";
/// A release of a module: small, and as one piece for the optimizer.
const RELEASE: [&str; 3] =
    ["profile.release.lto=\"fat\"", "profile.release.codegen-units=1", "profile.release.strip=\"symbols\""];

/// What is served while it is being written: six sevenths of it would be for a debugger, and every byte is hashed, read and copied before it serves. For the
/// last crate alone, so that all others are those of `cargo test` and `cargo build`. A panic says its place all the same.
const DEV: &str = "-Cstrip=debuginfo";

/// For the linker: no runtime takes a module with a symbol that nobody has, and who wrote it hears now where that is used. Every driver and every linker
/// knows the two words.
const WHOLE: [&str; 2] = ["-Clink-arg=-z", "-Clink-arg=defs"];

/// `cargo`, or the one that runs us.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(program());
    if cfg!(test) {
        // Where the tests themselves are built: a project of theirs would be left behind there.
        cargo.env_remove("CARGO_BUILD_BUILD_DIR");
    }
    cargo
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
                Ok(Message::CompilerMessage(message)) => {
                    compiler::tell(&message.message, message.target.src_path.as_std_path(), &mut said);
                }
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
            if said.text.is_empty() {
                said.text = ended.said;
            }
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
        command.args(["rustc", "--lib", "--message-format", "json-diagnostic-rendered-ansi"]);
        command.args(["--color", if tool::has_colours() { "always" } else { "never" }]);
        if let Profile::Release(target) = profile {
            command.arg("--release").args(RELEASE.iter().flat_map(|setting| ["--config", *setting]));
            if let Some(target) = target {
                command.args(["--target", target.triple]);
                command.args(
                    target.cargo_setting(&self.folder).iter().flat_map(|setting| ["--config", setting]),
                );
            }
        }
        command.arg("--").args(WHOLE);
        if matches!(profile, Profile::Dev) {
            command.arg(DEV);
        }
        command.current_dir(&self.folder);
        command
    }

    /// The folders of this package and of those beside it on the disk that it is built from, and their manifests with that of the workspace.
    ///
    /// # Errors
    /// When cargo cannot say, as it cannot while a Cargo.toml is wrong.
    pub fn sources(&self) -> anyhow::Result<Inputs> {
        let mut command = MetadataCommand::new();
        // As for the build: settings and toolchain are looked for from there on upwards.
        command.cargo_path(program()).manifest_path(self.manifest()).current_dir(&self.folder);
        // Without the platform cargo would fetch what only others need.
        command.other_options(["--filter-platform".to_owned(), Target::own_triple()]);
        let metadata = command.exec().context("cargo does not know what the module is built from")?;
        let root = metadata.packages.iter().find(|package| package.manifest_path == self.manifest());
        let mut folders = BTreeSet::from([self.folder.clone()]);
        folders.extend(root.iter().flat_map(|root| local(&metadata, &root.id)));
        let workspace = metadata.workspace_root.as_std_path();
        let manifests = folders.iter().map(PathBuf::as_path).chain([workspace]);
        Ok(Inputs { manifests: manifests.map(|folder| folder.join(MANIFEST)).collect(), folders })
    }

    /// The files that cargo has noted beside `module`: `include_str!` reads from anywhere.
    pub fn read_for(&self, module: &Path) -> BTreeSet<PathBuf> {
        // Nothing is noted of what was never built.
        let noted = std::fs::read_to_string(module.with_extension("d")).unwrap_or_default();
        let files = names(&noted).map(|name| self.folder.join(name));
        files.filter_map(compiler::plain).collect()
    }
}

/// The names after the colon of cargo's notes, in which a space has a backslash.
fn names(noted: &str) -> impl Iterator<Item = String> {
    const SPACE: &str = "\0";
    let names =
        noted.lines().filter_map(|line| line.split_once(": ")).map(|(_, names)| names.replace("\\ ", SPACE));
    names.flat_map(|names| {
        let names = names.split_whitespace().map(|name| name.replace(SPACE, " "));
        names.collect::<Vec<String>>()
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_is_asked_where_it_builds_and_sees_the_settings_there() {
        let project = tempfile::tempdir().unwrap();
        let folder = project.path().canonicalize().unwrap();
        let save = |name: &str, text: &str| {
            let file = folder.join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        };
        save("Cargo.toml", "[package]\nname = \"m\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n");
        save("src/lib.rs", "");
        let package = Package::new(folder.clone());
        let own = Inputs {
            folders: BTreeSet::from([folder.clone()]),
            manifests: BTreeSet::from([folder.join("Cargo.toml")]),
        };
        assert_eq!(package.sources().unwrap(), own);
        save(".cargo/config.toml", "[build");
        let error = format!("{:#}", package.sources().unwrap_err());
        assert!(error.contains(".cargo/config.toml"), "{error}");
    }

    #[test]
    fn the_workspace_of_a_package_says_how_it_is_built_too() {
        let home = tempfile::tempdir().unwrap();
        let workspace = home.path().canonicalize().unwrap();
        std::fs::create_dir_all(workspace.join("m/src")).unwrap();
        std::fs::write(workspace.join("Cargo.toml"), "[workspace]\nmembers = [\"m\"]\nresolver = \"3\"\n")
            .unwrap();
        std::fs::write(workspace.join("m/Cargo.toml"), "[package]\nname = \"m\"\nversion = \"0.1.0\"\n")
            .unwrap();
        std::fs::write(workspace.join("m/src/lib.rs"), "").unwrap();
        let inputs = Package::new(workspace.join("m")).sources().unwrap();
        assert_eq!(inputs.folders, BTreeSet::from([workspace.join("m")]));
        assert_eq!(inputs.manifests, ["Cargo.toml", "m/Cargo.toml"].map(|name| workspace.join(name)).into());
    }

    #[test]
    fn what_cargo_has_noted_is_read_with_its_spaces() {
        let noted = "/t/libm.so: /m/src/lib.rs /m\\ n/words.txt\n";
        assert_eq!(names(noted).collect::<Vec<_>>(), ["/m/src/lib.rs", "/m n/words.txt"]);
        assert_eq!(names("").count(), 0);
    }
}
