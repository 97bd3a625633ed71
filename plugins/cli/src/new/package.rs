//! A package of cargo with what a module needs.
//!
//! Owns the manifest, and where the SDK in it comes from: from a place that is there, for it is in no registry that everybody has. `cargo new` makes the package, so that its rules for names, version control and workspaces are the author's own; what a module
//! needs comes on top.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, bail, ensure};

use super::write;
use crate::project::cargo::{MANIFEST, MISSING, cargo};

/// What a kind of module needs.
pub(super) struct Needs {
    /// Features of the SDK.
    features: &'static [&'static str],
    /// Other dependencies, a line each.
    dependencies: &'static str,
    /// What only the tests need.
    for_tests: &'static str,
}

/// Functions with an attribute.
pub(super) const RUST: Needs = Needs {
    features: &[],
    dependencies: "serde = { version = \"1\", features = [\"derive\"] }",
    for_tests: "",
};

/// An axum app. Of axum's features those that serve are left out: Hotbay serves.
pub(super) const AXUM: Needs = Needs {
    features: &["tower"],
    dependencies: "axum = { version = \"0.8\", default-features = false, features = [\"form\", \"json\", \"matched-path\", \"query\"] }\n\
                   serde = { version = \"1\", features = [\"derive\"] }",
    for_tests: "tokio = { version = \"1\", features = [\"macros\", \"rt\"] }\n\
                tower = { version = \"0.5\", default-features = false, features = [\"util\"] }",
};

/// The SDK in the clone that this program was built from.
const OWN_SDK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sdk");

/// Where the SDK comes from.
#[derive(Debug, PartialEq)]
pub(super) enum Sdk {
    /// A folder, without symbolic links.
    Folder(PathBuf),
    /// A git repository, by its URL.
    Repository(String),
    /// A registry of the author's own; by version.
    Registry(String),
}

/// Makes the package in `folder`, with the SDK from `sdk`.
///
/// # Errors
/// When cargo is missing or does not take the name.
pub(super) fn make(folder: &Path, needs: &Needs, sdk: &Sdk) -> anyhow::Result<()> {
    let dependency = sdk.dependency(needs.features)?;
    let mut command = cargo();
    command.args(["new", "--quiet", "--lib"]).arg(folder).stdin(Stdio::null());
    let output = command.output().with_context(|| format!("failed to start cargo; {MISSING}"))?;
    if !output.status.success() {
        bail!("cargo made no package: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let manifest = folder.join(MANIFEST);
    let package =
        fs::read_to_string(&manifest).with_context(|| format!("failed to read {}", manifest.display()))?;
    write(&manifest, &with_module(&package, &dependency, needs))
}

impl Sdk {
    /// The one that the author names, or the one in the clone that this program was built from.
    ///
    /// # Errors
    /// When none is there.
    pub fn find(named: Option<&str>) -> anyhow::Result<Self> {
        match named {
            Some(source) => Self::named(source),
            None => Self::in_clone(Path::new(OWN_SDK)),
        }
    }

    fn named(source: &str) -> anyhow::Result<Self> {
        if source.contains("://") || source.starts_with("git@") {
            return Ok(Self::Repository(source.to_owned()));
        }
        if source.starts_with(|first: char| first.is_ascii_digit()) {
            return Ok(Self::Registry(source.to_owned()));
        }
        let folder = Path::new(source);
        let folder =
            folder.canonicalize().with_context(|| format!("there is no SDK in {}", folder.display()))?;
        Ok(Self::Folder(folder))
    }

    /// Without its clone this program does not know where an SDK is, and a version alone would make a project that cannot be built.
    fn in_clone(sdk: &Path) -> anyhow::Result<Self> {
        ensure!(
            sdk.is_dir(),
            "the clone that this hotbay was built from is gone; name the SDK: --sdk GIT-URL, or --sdk FOLDER with the SDK in it (HOTBAY_SDK)"
        );
        Ok(Self::Folder(sdk.canonicalize().context("failed to find the SDK")?))
    }

    /// What an author should know of it.
    pub fn notice(&self) -> Option<String> {
        let Self::Folder(folder) = self else { return None };
        Some(format!(
            "It builds with the SDK in {}, on this machine alone; for others write `git = \"URL\"` in place of `path` in its {MANIFEST}, or make it with --sdk GIT-URL.",
            folder.display()
        ))
    }

    /// The line that names it.
    fn dependency(&self, features: &[&str]) -> anyhow::Result<String> {
        let place = match self {
            Self::Folder(folder) => format!("path = {}", quoted(&folder.to_string_lossy())?),
            Self::Repository(url) => format!("git = {}", quoted(url)?),
            Self::Registry(version) => format!("version = {}", quoted(version)?),
        };
        let features = match features {
            [] => String::new(),
            features => format!(", features = {features:?}"),
        };
        Ok(format!("hotbay-sdk = {{ {place}{features} }}"))
    }
}

/// As TOML writes it; JSON's strings are among TOML's.
fn quoted(text: &str) -> anyhow::Result<String> {
    serde_json::to_string(text).context("failed to write where the SDK comes from")
}

/// The package's manifest with what a module needs. `cargo new` makes an empty table of dependencies, and in some workspaces others behind it.
fn with_module(package: &str, dependency: &str, needs: &Needs) -> String {
    let table = format!("[dependencies]\n{dependency}\n{}", needs.dependencies);
    let package = package.trim_end();
    let package = match package.split_once("[dependencies]") {
        Some((before, after)) => format!("{before}{table}{after}"),
        None => format!("{package}\n\n{table}"),
    };
    let for_tests = match needs.for_tests {
        "" => String::new(),
        lines => format!("\n[dev-dependencies]\n{lines}\n"),
    };
    format!("{package}\n{for_tests}\n[lib]\ncrate-type = [\"cdylib\"]\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_may_have_put_tables_behind_the_dependencies() {
        let package = "[package]\nname = \"a\"\n\n[dependencies]\n\n[lints]\nworkspace = true\n";
        let made = with_module(package, "sdk = \"1\"", &RUST);
        assert!(made.contains("[dependencies]\nsdk = \"1\"\nserde"), "{made}");
        assert!(
            made.ends_with("\n\n[lints]\nworkspace = true\n\n[lib]\ncrate-type = [\"cdylib\"]\n"),
            "{made}"
        );
        assert_eq!(made.matches("[dependencies]").count(), 1, "{made}");
        assert!(with_module(package, "sdk = \"1\"", &AXUM).contains("[dev-dependencies]\ntokio"));
    }

    #[test]
    fn the_sdk_may_come_from_a_folder_a_repository_or_a_registry() {
        let line = |source| Sdk::named(source).unwrap().dependency(&[]).unwrap();
        assert_eq!(line("0.2"), "hotbay-sdk = { version = \"0.2\" }");
        assert_eq!(line("https://example.com/h.git"), "hotbay-sdk = { git = \"https://example.com/h.git\" }");
        assert!(line(OWN_SDK).ends_with("plugins/sdk\" }"), "{}", line(OWN_SDK));
        assert_eq!(
            Sdk::named("0.2").unwrap().dependency(&["tower"]).unwrap(),
            "hotbay-sdk = { version = \"0.2\", features = [\"tower\"] }"
        );
        assert!(Sdk::named("/nowhere").unwrap_err().to_string().contains("no SDK in /nowhere"));
    }

    #[test]
    fn without_its_clone_it_asks_for_an_sdk_and_guesses_none() {
        assert_eq!(Sdk::in_clone(Path::new(OWN_SDK)).unwrap(), Sdk::named(OWN_SDK).unwrap());
        let error = Sdk::in_clone(Path::new("/nowhere/sdk")).unwrap_err().to_string();
        assert!(error.contains("name the SDK: --sdk GIT-URL") && error.contains("HOTBAY_SDK"), "{error}");
    }

    #[test]
    fn of_a_folder_is_told_that_only_this_machine_has_it() {
        let notice = Sdk::named(OWN_SDK).unwrap().notice().unwrap();
        assert!(notice.contains("plugins/sdk, on this machine alone"), "{notice}");
        assert_eq!(Sdk::named("https://example.com/h.git").unwrap().notice(), None);
    }
}
