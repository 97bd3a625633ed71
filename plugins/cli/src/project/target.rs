//! The platforms that modules are built for.
//!
//! Owns what each needs of the machine that builds, and the words for what is missing. Must not install anything.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use hotbay_api::Platform;

use super::cargo::MISSING;
use super::linker;

/// A platform.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// As OCI names it.
    pub platform: &'static str,
    /// As Rust names it.
    pub triple: &'static str,
    /// How the tools begin that build for it on a machine of another kind.
    prefix: &'static str,
    /// How the Debian packages of these tools end.
    package: &'static str,
    /// The Debian package of the C library that they link with.
    libc: &'static str,
}

const KNOWN: [Target; 2] = [
    Target {
        platform: "linux/amd64",
        triple: "x86_64-unknown-linux-gnu",
        prefix: "x86_64-linux-gnu-",
        package: "x86-64-linux-gnu",
        libc: "libc6-dev-amd64-cross",
    },
    Target {
        platform: "linux/arm64",
        triple: "aarch64-unknown-linux-gnu",
        prefix: "aarch64-linux-gnu-",
        package: "aarch64-linux-gnu",
        libc: "libc6-dev-arm64-cross",
    },
];

impl Target {
    /// The platform of that name.
    ///
    /// # Errors
    /// When Hotbay does not run there.
    pub fn find(name: &str) -> anyhow::Result<&'static Self> {
        let names: Vec<&str> = KNOWN.iter().map(|known| known.platform).collect();
        let known = KNOWN.iter().find(|known| known.platform == name);
        known.with_context(|| format!("{name:?} is no platform of Hotbay; there are {}", names.join(" and ")))
    }

    /// What Rust calls this machine.
    pub fn own_triple() -> String {
        format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
    }

    /// Whether this machine is of another kind.
    pub fn is_foreign(&self) -> bool {
        let own = Platform::current();
        self.platform != format!("{}/{}", own.os, own.arch)
    }

    /// A tool that builds for it, `gcc` or `g++`; `None` where the usual one does.
    pub fn tool(&self, name: &str) -> Option<String> {
        self.is_foreign().then(|| format!("{}{name}", self.prefix))
    }

    /// The setting by which cargo links the package in `folder` for it, unless the author has chosen.
    pub fn cargo_setting(&self, folder: &Path) -> Option<String> {
        let linker = self.tool("gcc").filter(|_| !linker::is_chosen(self.triple, folder))?;
        Some(format!("target.{}.linker=\"{linker}\"", self.triple))
    }

    /// Whether this machine can build the package of cargo in `folder` for it.
    ///
    /// # Errors
    /// What is missing, and how it is had.
    pub fn check_cargo(&self, folder: &Path) -> anyhow::Result<()> {
        let Self { platform, triple, .. } = self;
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let mut command = Command::new(rustc);
        // As for the build: which toolchain it is may be said there.
        command.args(["--print", "target-libdir", "--target", *triple]).current_dir(folder);
        let output = command.output().with_context(|| format!("failed to start rustc; {MISSING}"))?;
        let library = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        ensure!(
            output.status.success() && library.is_dir(),
            "Rust's standard library for {platform} is not installed; run `rustup target add {triple}`"
        );
        if linker::is_chosen(triple, folder) {
            return Ok(());
        }
        let variable = linker::variable(triple);
        let other = format!(", or name another linker in {variable} or, for {triple}, in .cargo/config.toml");
        self.check_tool("gcc", "links", &other)
    }

    /// Whether this machine has a compiler of C, or of C++, for it.
    ///
    /// # Errors
    /// What is missing, and how it is had.
    pub fn check_tool(&self, name: &str, does: &str, other: &str) -> anyhow::Result<()> {
        let Some(tool) = self.tool(name) else { return Ok(()) };
        let install = format!("on Debian run `apt install {name}-{} {}`{other}", self.package, self.libc);
        if !on_path(&tool) {
            bail!("{tool}, which {does} for {}, is not installed; {install}", self.platform);
        }
        // It prints the name alone of what it does not have.
        let output = Command::new(&tool).arg("-print-file-name=crti.o").output();
        let output = output.with_context(|| format!("failed to start {tool}"))?;
        ensure!(
            output.stdout.starts_with(b"/"),
            "{tool} has no C library to link with for {}; {install}",
            self.platform
        );
        Ok(())
    }
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_platform_names_its_tools_as_debian_and_cargo_do() {
        let arm = Target::find("linux/arm64").unwrap();
        assert_eq!(arm.tool("gcc").is_some(), std::env::consts::ARCH != "aarch64");
        let own = KNOWN.iter().find(|target| !target.is_foreign()).unwrap();
        assert_eq!((own.tool("gcc"), own.cargo_setting(Path::new("/"))), (None, None));
        assert!(Target::find("linux/riscv64").is_err());
    }
}
