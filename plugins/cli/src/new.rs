//! `hotbay new`: a project that builds, passes its tests and can be served.
//!
//! Owns the templates. `cargo new` makes the package, so that its rules for names, version control and workspaces are the author's own; what a module
//! needs comes on top. Never writes into a folder that is there already.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};

use crate::cargo::cargo;

/// What to make.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The module's name, and the folder's: lower-case letters, digits and hyphens.
    #[arg(value_name = "NAME")]
    name: String,
    /// Where hotbay-sdk comes from: a folder, a git URL or a version [default: the one that this hotbay was built with].
    #[arg(long, env = "HOTBAY_SDK", value_name = "SOURCE")]
    sdk: Option<String>,
}

/// The SDK in the clone that this program was built from.
const OWN_SDK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sdk");
/// Room for the suffixes that Kubernetes puts behind names.
const MAX_NAME: usize = 52;
const SOURCE: &str = include_str!("../templates/rust/lib.rs");
const SCHEMA: &str = include_str!("../templates/rust/config.schema.json");
const YAML: &str = include_str!("../templates/rust/module.yaml");

/// Makes the project and says what to do next.
///
/// # Errors
/// When the name is not one of a module and a package, the folder exists, or cargo is missing.
pub fn run(args: Args) -> anyhow::Result<()> {
    let Args { name, sdk } = args;
    ensure!(
        is_name(&name),
        "{name:?} is no name for a module; use at most {MAX_NAME} lower-case letters, digits and hyphens, and begin with a letter"
    );
    let folder = Path::new(&name);
    ensure!(!folder.exists(), "{name} exists already; choose another name, or another folder to be in");
    let dependency = dependency(sdk.as_deref())?;
    let mut command: Command = cargo();
    command.args(["new", "--quiet", "--lib"]).arg(folder).stdin(Stdio::null());
    let output = command.output().context("failed to start cargo; install Rust from https://rustup.rs")?;
    if !output.status.success() {
        bail!("cargo made no package: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let manifest = folder.join("Cargo.toml");
    let package =
        fs::read_to_string(&manifest).with_context(|| format!("failed to read {}", manifest.display()))?;
    write(&manifest, &with_module(&package, &dependency))?;
    let fill = |template: &str| template.replace("{{name}}", &name);
    write(&folder.join("src/lib.rs"), &fill(SOURCE))?;
    write(&folder.join("config.schema.json"), SCHEMA)?;
    write(&folder.join(format!("{name}-module.yaml")), &fill(YAML))?;
    println!("made {name}/; next:\n\n  cd {name}\n  cargo test\n  hotbay dev\n");
    Ok(())
}

/// Whether Kubernetes and cargo both take it. What only cargo refuses, such as keywords, cargo says.
fn is_name(name: &str) -> bool {
    let plain = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    let begins = name.starts_with(|first: char| first.is_ascii_lowercase());
    plain && begins && !name.ends_with('-') && name.len() <= MAX_NAME
}

/// The line that names the SDK.
fn dependency(source: Option<&str>) -> anyhow::Result<String> {
    Ok(match source {
        Some(url) if url.contains("://") || url.starts_with("git@") => {
            format!("hotbay-sdk = {{ git = {} }}", quoted(url)?)
        }
        Some(version) if version.starts_with(|first: char| first.is_ascii_digit()) => {
            format!("hotbay-sdk = {}", quoted(version)?)
        }
        Some(folder) => by_path(Path::new(folder))?,
        None if Path::new(OWN_SDK).is_dir() => by_path(Path::new(OWN_SDK))?,
        None => format!("hotbay-sdk = {}", quoted(env!("CARGO_PKG_VERSION"))?),
    })
}

fn by_path(folder: &Path) -> anyhow::Result<String> {
    let path: PathBuf =
        folder.canonicalize().with_context(|| format!("there is no SDK in {}", folder.display()))?;
    Ok(format!("hotbay-sdk = {{ path = {} }}", quoted(&path.to_string_lossy())?))
}

/// As TOML writes it; JSON's strings are among TOML's.
fn quoted(text: &str) -> anyhow::Result<String> {
    serde_json::to_string(text).context("failed to write where the SDK comes from")
}

/// The package's manifest with what a module needs. `cargo new` makes an empty table of dependencies, and in some workspaces others behind it.
fn with_module(package: &str, dependency: &str) -> String {
    let needs =
        format!("[dependencies]\n{dependency}\nserde = {{ version = \"1\", features = [\"derive\"] }}");
    let package = package.trim_end();
    let package = match package.split_once("[dependencies]") {
        Some((before, after)) => format!("{before}{needs}{after}"),
        None => format!("{package}\n\n{needs}"),
    };
    format!("{package}\n\n[lib]\ncrate-type = [\"cdylib\"]\n")
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("failed to write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_must_do_for_kubernetes_and_for_cargo() {
        for name in ["greet", "a", "a-1"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "Greet", "1a", "a-", "-a", "a_b", "a/b", "../a", &"a".repeat(53)] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn a_workspace_may_have_put_tables_behind_the_dependencies() {
        let made = with_module(
            "[package]\nname = \"a\"\n\n[dependencies]\n\n[lints]\nworkspace = true\n",
            "sdk = \"1\"",
        );
        assert!(made.contains("[dependencies]\nsdk = \"1\"\nserde"), "{made}");
        assert!(
            made.ends_with("\n\n[lints]\nworkspace = true\n\n[lib]\ncrate-type = [\"cdylib\"]\n"),
            "{made}"
        );
        assert_eq!(made.matches("[dependencies]").count(), 1, "{made}");
    }

    #[test]
    fn the_sdk_may_come_from_a_folder_a_repository_or_a_registry() {
        let line = |source| dependency(Some(source)).unwrap();
        assert_eq!(line("0.2"), "hotbay-sdk = \"0.2\"");
        assert_eq!(line("https://example.com/h.git"), "hotbay-sdk = { git = \"https://example.com/h.git\" }");
        assert!(line(OWN_SDK).ends_with("plugins/sdk\" }"), "{}", line(OWN_SDK));
        assert!(dependency(Some("/nowhere")).unwrap_err().to_string().contains("no SDK in /nowhere"));
    }
}
