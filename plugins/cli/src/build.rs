//! `hotbay build`: a module's release artifacts.
//!
//! Owns which platforms there are, what each needs of the machine, and the last look at what came out. The build itself is cargo's.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use hotbay_api::Platform;
use hotbay_api::names::ENTRY_SYMBOL;

use crate::cargo::{Package, Profile};
use crate::module;

/// What to build.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The module's folder.
    #[arg(value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
    /// linux/amd64 or linux/arm64; several with commas [default: this machine's].
    #[arg(long, value_name = "OS/ARCH", value_delimiter = ',')]
    platform: Vec<String>,
}

/// A platform that modules are built for.
struct Known {
    platform: &'static str,
    triple: &'static str,
    /// Links for it on a machine of another kind, and the Debian package that has it.
    linker: &'static str,
    package: &'static str,
}

const KNOWN: [Known; 2] = [
    Known {
        platform: "linux/amd64",
        triple: "x86_64-unknown-linux-gnu",
        linker: "x86_64-linux-gnu-gcc",
        package: "gcc-x86-64-linux-gnu",
    },
    Known {
        platform: "linux/arm64",
        triple: "aarch64-unknown-linux-gnu",
        linker: "aarch64-linux-gnu-gcc",
        package: "gcc-aarch64-linux-gnu",
    },
];

/// Builds, looks at each file, and prints where it is.
///
/// # Errors
/// When a platform is unknown or cannot be built for here, the code does not compile, or what comes out is no module.
pub fn run(args: Args) -> anyhow::Result<()> {
    let Args { folder, platform } = args;
    let known: Vec<&Known> = platform.iter().map(|name| find(name)).collect::<anyhow::Result<_>>()?;
    // All that is missing is found before the first minute of compiling.
    for target in &known {
        target.check()?;
    }
    let package = Package::open(&folder)?;
    let targets: Vec<Option<&Known>> =
        if known.is_empty() { vec![None] } else { known.into_iter().map(Some).collect() };
    for target in targets {
        let file =
            package.build(Profile::Release(target.map(|known| (known.triple, known.foreign_linker()))))?;
        println!("{}", summary(&file)?);
    }
    Ok(())
}

fn find(name: &str) -> anyhow::Result<&'static Known> {
    let names: Vec<&str> = KNOWN.iter().map(|known| known.platform).collect();
    let known = KNOWN.iter().find(|known| known.platform == name);
    known.with_context(|| format!("{name:?} is no platform of Hotbay; there are {}", names.join(" and ")))
}

impl Known {
    /// `None` where the usual linker does.
    fn foreign_linker(&self) -> Option<&'static str> {
        let own = Platform::current();
        let here = format!("{}/{}", own.os, own.arch);
        (self.platform != here).then_some(self.linker)
    }

    /// Whether this machine can build for it.
    fn check(&self) -> anyhow::Result<()> {
        let Self { platform, triple, package, .. } = self;
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let output = Command::new(rustc).args(["--print", "target-libdir", "--target", *triple]).output();
        let output = output.context("failed to start rustc; install Rust from https://rustup.rs")?;
        let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        ensure!(
            output.status.success() && folder.is_dir(),
            "Rust's standard library for {platform} is not installed; run `rustup target add {triple}`"
        );
        match self.foreign_linker() {
            Some(linker) if !on_path(linker) => bail!(
                "{linker}, which links for {platform}, is not installed; on Debian run `apt install {package}`"
            ),
            _ => Ok(()),
        }
    }
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// A line on the file, if a runtime could load it.
fn summary(file: &Path) -> anyhow::Result<String> {
    let (bytes, facts) = module::read_servable(file)?;
    let others: Vec<&str> =
        facts.exports.iter().map(String::as_str).filter(|name| *name != ENTRY_SYMBOL).collect();
    ensure!(
        others.is_empty(),
        "{} exports {} beside {ENTRY_SYMBOL}; hide it, so that no other module's symbol is meant",
        file.display(),
        others.join(", ")
    );
    Ok(format!("{}  {}, {} bytes", file.display(), facts.platform, bytes.len()))
}
