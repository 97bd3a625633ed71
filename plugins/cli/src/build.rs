//! `hotbay build`: a module's release artifacts.
//!
//! Owns which platforms are built, the folder that they lie in together, and the last look at what came out. The build itself is the project's own
//! tool's.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use hotbay_api::names::ENTRY_SYMBOL;

use crate::project::target::Target;
use crate::project::{Profile, Project};
use crate::{module, out};

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

/// Builds, looks at each file, and prints where it is. Where one platform cannot be built for, the others are all the same, and the exit code is 1.
///
/// # Errors
/// When a platform is unknown, the code does not compile, or what comes out is no module.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { folder, platform } = args;
    let targets: Vec<&Target> =
        platform.iter().map(|name| Target::find(name)).collect::<anyhow::Result<_>>()?;
    let project = Project::open(&folder)?;
    // All that is missing is said before the first minute of compiling.
    let (mut ready, missing): (Vec<_>, Vec<_>) =
        targets.iter().map(|target| (*target, can_build(&project, target))).partition(|(_, can)| can.is_ok());
    for (target, can) in &missing {
        if let Err(error) = can {
            out::say(format_args!("{}: not built: {error:#}", target.platform));
        }
    }
    ensure!(targets.is_empty() || !ready.is_empty(), "no platform is left to build for");
    if targets.is_empty() {
        let mut line = Ok(String::new());
        project.build(Profile::Release(None), &mut |module| line = summary(module))?;
        out::line(line?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let together = project.folder().join("target/hotbay");
    anew(&together)?;
    // This machine's last: what lies in a folder of make in the end is what its author can run.
    ready.sort_by_key(|(target, _)| !target.is_foreign());
    for (target, _) in &ready {
        let mut placed = Ok(String::new());
        project
            .build(Profile::Release(Some(target)), &mut |module| placed = place(module, target, &together))?;
        out::line(placed?)?;
    }
    out::line(format_args!("{}  all of them, for `hotbay push {0} REFERENCE`", together.display()))?;
    Ok(if missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether this machine has what it takes.
fn can_build(project: &Project, target: &Target) -> anyhow::Result<()> {
    match project {
        Project::Cargo(package) => target.check_cargo(package.folder()),
        Project::Make(makefile) => makefile
            .compilers()?
            .into_iter()
            .try_for_each(|compiler| target.check_tool(compiler, "compiles", "")),
    }
}

/// Copies a platform's build to where all of them lie; a line on it.
fn place(module: &Path, target: &Target, together: &Path) -> anyhow::Result<String> {
    let (_, facts) = module::read(module)?;
    let platform = format!("{}/{}", facts.platform.os, facts.platform.arch);
    ensure!(
        platform == target.platform,
        "{} is for {platform}, and {} was asked for; let the Makefile use $(CC) and $(CXX)",
        module.display(),
        target.platform
    );
    let folder = together.join(platform.replace('/', "-"));
    let file = folder.join(module.file_name().context("the build has no name")?);
    std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::copy(module, &file))
        .with_context(|| format!("failed to write {}", file.display()))?;
    summary(&file)
}

/// Makes the folder, with nothing of an earlier build in it. Git passes it over: a project of make need not ignore `target`, and what is built is no change
/// of its source, which `hotbay push` would tell.
fn anew(folder: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("failed to remove {}", folder.display()));
        }
        _ => {}
    }
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(folder.join(".gitignore"), "*\n"))
        .with_context(|| format!("failed to make {}", folder.display()))
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

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn what_is_built_is_no_change_of_the_source() {
        let project = tempfile::tempdir().unwrap();
        let git = |args: &[&str]| {
            let output = Command::new("git").arg("-C").arg(project.path()).args(args).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        git(&["init", "--quiet"]);
        let together = project.path().join("target/hotbay");
        for _ in 0..2 {
            anew(&together).unwrap();
            assert!(!together.join("m.so").exists(), "nothing is left of an earlier build");
            std::fs::write(together.join("m.so"), "").unwrap();
            assert_eq!(git(&["status", "--porcelain"]), "");
        }
    }
}
