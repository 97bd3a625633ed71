//! A package of cargo with what a module needs.
//!
//! Owns the manifest. `cargo new` makes the package, so that its rules for names, version control and workspaces are the author's own; what a module
//! needs comes on top.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, bail};

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

/// Makes the package in `folder`, with the SDK from `sdk`.
///
/// # Errors
/// When there is no such SDK, or cargo is missing or does not take the name.
pub(super) fn make(folder: &Path, needs: &Needs, sdk: Option<&str>) -> anyhow::Result<()> {
    let dependency = dependency(sdk, needs.features)?;
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

/// The line that names the SDK.
fn dependency(source: Option<&str>, features: &[&str]) -> anyhow::Result<String> {
    let place = match source {
        Some(url) if url.contains("://") || url.starts_with("git@") => format!("git = {}", quoted(url)?),
        Some(version) if version.starts_with(|first: char| first.is_ascii_digit()) => {
            format!("version = {}", quoted(version)?)
        }
        Some(folder) => by_path(Path::new(folder))?,
        None if Path::new(OWN_SDK).is_dir() => by_path(Path::new(OWN_SDK))?,
        None => format!("version = {}", quoted(env!("CARGO_PKG_VERSION"))?),
    };
    let features = match features {
        [] => String::new(),
        features => format!(", features = {features:?}"),
    };
    Ok(format!("hotbay-sdk = {{ {place}{features} }}"))
}

fn by_path(folder: &Path) -> anyhow::Result<String> {
    let path: PathBuf =
        folder.canonicalize().with_context(|| format!("there is no SDK in {}", folder.display()))?;
    Ok(format!("path = {}", quoted(&path.to_string_lossy())?))
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
        let line = |source| dependency(Some(source), &[]).unwrap();
        assert_eq!(line("0.2"), "hotbay-sdk = { version = \"0.2\" }");
        assert_eq!(line("https://example.com/h.git"), "hotbay-sdk = { git = \"https://example.com/h.git\" }");
        assert!(line(OWN_SDK).ends_with("plugins/sdk\" }"), "{}", line(OWN_SDK));
        assert_eq!(
            dependency(Some("0.2"), &["tower"]).unwrap(),
            "hotbay-sdk = { version = \"0.2\", features = [\"tower\"] }"
        );
        assert!(dependency(Some("/nowhere"), &[]).unwrap_err().to_string().contains("no SDK in /nowhere"));
    }
}
