//! From a save to an answer by `hotbay dev`, beside the author's own `cargo build` of the same change in a project of its own, turn by turn.
//!
//! Nobody asks while a compiler runs: what asks would take a part of the few CPUs from it, and from `cargo build` nothing.

mod artifact;

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use hotbay_e2e::cargo::{SETTINGS, on_its_own};
use tempfile::TempDir;

use self::artifact::Artifact;
use super::millis;
use crate::child::Running;
use crate::report::{Figure, Section, aim_at_most};
use crate::server::Shipped;
use crate::stats::{median, worst};
use crate::wire::{PATIENCE, free_address, until};

/// The first build compiles the SDK and what it needs.
const BEGIN: Duration = Duration::from_secs(600);
const SOURCE: &str = "src/lib.rs";
/// Where cargo leaves the module, of which `hotbay dev` serves a copy.
const MODULE: &str = "target/debug/libgreet.so";
/// The route of the project that `hotbay new` makes; each save is another one, so that the answer says which save it is of.
const ROUTE: &str = "\"/greet/{who}\"";
/// What `hotbay dev` says of a save that it serves, before and behind the milliseconds that its own cargo took.
const TOLD: [&str; 2] = [" ms after the save; ", " ms of it compiled"];

/// A project as `hotbay new` makes it.
struct Project {
    home: TempDir,
    text: String,
}

/// A project that `hotbay dev` serves.
struct Developed {
    project: Project,
    hotbay: Running,
    address: SocketAddr,
    _state: TempDir,
}

/// A save of each project, in milliseconds.
struct Turn {
    /// Until `hotbay dev` serves it.
    save: f64,
    /// What of it was cargo's, by its own words.
    compiled: f64,
    /// The same change by `cargo build`.
    build: f64,
}

pub fn measure(shipped: &Shipped, quick: bool) -> anyhow::Result<Section> {
    let count = if quick { 6 } else { 30 };
    let mut section = Section::new(
        "A save → 200",
        format!(
            "{count} saves of the project that `hotbay new` makes. By `hotbay dev`: from before the file is written to the first 200 of a route that only this \
             save has, asked for every 0.2 ms as soon as cargo has placed the module, and never before. Beside it, in turn: `cargo build --lib` of the same \
             change in another project."
        ),
    );
    let (developed, plain) = (Developed::start(shipped)?, Project::new(shipped)?);
    plain.build()?;
    let turns: Vec<Turn> =
        (0..count).map(|round| turn(&developed, &plain, round)).collect::<anyhow::Result<_>>()?;
    developed.hotbay.stop()?;
    let all = |of: fn(&Turn) -> f64| -> Vec<f64> { turns.iter().map(of).collect() };
    let more = all(|turn| turn.save - turn.build);
    section.add(Figure::median("save → 200 by `hotbay dev`", "ms", median(&all(|turn| turn.save))));
    section.add(Figure::median(
        "of it compiled, as `hotbay dev` says",
        "ms",
        median(&all(|turn| turn.compiled)),
    ));
    section.add(Figure::median("`cargo build --lib`", "ms", median(&all(|turn| turn.build))));
    section.add(
        Figure::median("more than cargo needs, turn by turn", "ms", median(&more)).wanted(aim_at_most(100.0)),
    );
    section.add(Figure::one("more than cargo needs, the worst turn", "ms", worst(&more)));
    let beside = all(|turn| turn.save - turn.compiled);
    section.add(Figure::median("save → 200, less what was compiled", "ms", median(&beside)));
    Ok(section)
}

fn turn(developed: &Developed, plain: &Project, round: u32) -> anyhow::Result<Turn> {
    let (save, compiled) = developed.save(round)?;
    plain.save(round)?;
    let began = Instant::now();
    plain.build()?;
    Ok(Turn { save, compiled, build: millis(began, Instant::now()) })
}

impl Developed {
    /// Starts `hotbay dev`, and waits until it serves.
    fn start(shipped: &Shipped) -> anyhow::Result<Self> {
        let (project, state, address) = (Project::new(shipped)?, tempfile::tempdir()?, free_address());
        let (folder, listen, admin) = (project.folder(), address.to_string(), free_address().to_string());
        let mut args: Vec<&OsStr> = SETTINGS.iter().flat_map(|name| ["-u".as_ref(), name.as_ref()]).collect();
        args.extend::<[&OsStr; 3]>([shipped.hotbay.as_ref(), "dev".as_ref(), folder.as_ref()]);
        args.extend::<[&OsStr; 4]>([
            "--listen".as_ref(),
            listen.as_ref(),
            "--admin-listen".as_ref(),
            admin.as_ref(),
        ]);
        args.extend::<[&OsStr; 2]>(["--state".as_ref(), state.path().as_ref()]);
        let hotbay = Running::start("env".as_ref(), &args, &[])?;
        hotbay.says(TOLD[0], BEGIN)?;
        Ok(Self { project, hotbay, address, _state: state })
    }

    /// Saves: the milliseconds until it is served, and how many of them `hotbay dev` says that cargo took.
    fn save(&self, round: u32) -> anyhow::Result<(f64, f64)> {
        let path = format!("/save-{round}/ada");
        until(self.address, &path, 404)?;
        let before = Artifact::look(self.project.folder().join(MODULE))?;
        let began = Instant::now();
        self.project.save(round)?;
        before.is_replaced(PATIENCE)?;
        let served = until(self.address, &path, 200)?;
        // What it does behind that is over before the other project is built.
        let (_, line) = self.hotbay.line(TOLD[0], PATIENCE)?;
        let compiled = compiled(&line).with_context(|| format!("{line:?} does not say what compiled"))?;
        Ok((millis(began, served), compiled))
    }
}

/// The milliseconds that were compiled, of a line of `hotbay dev`.
fn compiled(line: &str) -> Option<f64> {
    let (_, rest) = line.split_once(TOLD[0])?;
    rest.split_once(TOLD[1])?.0.parse().ok()
}

impl Project {
    fn new(shipped: &Shipped) -> anyhow::Result<Self> {
        let home = tempfile::tempdir()?;
        run(Command::new(&shipped.hotbay).args(["new", "greet"]).current_dir(home.path()))?;
        let file = home.path().join("greet").join(SOURCE);
        let text = fs::read_to_string(&file).with_context(|| format!("failed to read {}", file.display()))?;
        ensure!(text.contains(ROUTE), "the project's route is not {ROUTE} any more");
        Ok(Self { home, text })
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join("greet")
    }

    fn save(&self, round: u32) -> anyhow::Result<()> {
        let text = self.text.replace(ROUTE, &format!("\"/save-{round}/{{who}}\""));
        Ok(fs::write(self.folder().join(SOURCE), text)?)
    }

    fn build(&self) -> anyhow::Result<()> {
        run(Command::new("cargo").args(["build", "--lib", "--quiet"]).current_dir(self.folder()))
    }
}

/// Runs a program to its end; its words are of interest if it fails. Without the settings of the cargo that may run us.
fn run(command: &mut Command) -> anyhow::Result<()> {
    on_its_own(command);
    let output = command.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_compiled_is_read_off_the_line_of_a_save() {
        let line = "2026-01-01T00:00:00Z  INFO hotbay::dev::follow: served 612 ms after the save; 498 ms of it compiled";
        assert_eq!(compiled(line), Some(498.0));
        assert_eq!(compiled("INFO served 612 ms after the save"), None);
    }
}
