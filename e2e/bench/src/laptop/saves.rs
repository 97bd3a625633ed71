//! From a save to an answer by `hotbay dev`, beside the author's own `cargo build` of the same change in a project of its own, turn by turn.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use super::millis;
use crate::child::Running;
use crate::report::{Figure, Section, aim_at_most};
use crate::server::Shipped;
use crate::stats::{median, worst};
use crate::wire::{free_address, until};

/// The first build compiles the SDK and what it needs.
const BEGIN: Duration = Duration::from_secs(600);
const SOURCE: &str = "src/lib.rs";
/// The route of the project that `hotbay new` makes; each save is another one, so that the answer says which save it is of.
const ROUTE: &str = "\"/greet/{who}\"";

/// A project as `hotbay new` makes it.
struct Project {
    home: TempDir,
    text: String,
}

pub fn measure(shipped: &Shipped, quick: bool) -> anyhow::Result<Section> {
    let count = if quick { 6 } else { 30 };
    let mut section = Section::new(
        "A save → 200",
        format!(
            "{count} saves of the project that `hotbay new` makes. By `hotbay dev`: from before the file is written to the first 200 of a route that only this \
             save has, asked for every 0.2 ms. Beside it, in turn: `cargo build --lib` of the same change in another project."
        ),
    );
    let (developed, plain) = (Project::new(shipped)?, Project::new(shipped)?);
    plain.build()?;
    let (address, state) = (free_address(), tempfile::tempdir()?);
    let (folder, listen, admin) = (developed.folder(), address.to_string(), free_address().to_string());
    let args: [&OsStr; 8] = [
        "dev".as_ref(),
        folder.as_ref(),
        "--listen".as_ref(),
        listen.as_ref(),
        "--admin-listen".as_ref(),
        admin.as_ref(),
        "--state".as_ref(),
        state.path().as_ref(),
    ];
    let hotbay = Running::start(shipped.hotbay.as_ref(), &args, &[])?;
    hotbay.says("ms after the save", BEGIN)?;
    let (mut saves, mut builds, mut more) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..count {
        let path = format!("/save-{round}/ada");
        until(address, &path, 404)?;
        let began = Instant::now();
        developed.save(round)?;
        let save = millis(began, until(address, &path, 200)?);
        plain.save(round)?;
        let began = Instant::now();
        plain.build()?;
        let build = millis(began, Instant::now());
        saves.push(save);
        builds.push(build);
        more.push(save - build);
    }
    hotbay.stop()?;
    section.add(Figure::median("save → 200 by `hotbay dev`", "ms", median(&saves)));
    section.add(Figure::median("`cargo build --lib`", "ms", median(&builds)));
    section.add(
        Figure::median("more than cargo needs, turn by turn", "ms", median(&more)).wanted(aim_at_most(100.0)),
    );
    section.add(Figure::one("more than cargo needs, the worst turn", "ms", worst(&more)));
    Ok(section)
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
    let output = command.env_remove("CARGO_TARGET_DIR").env_remove("CARGO_BUILD_BUILD_DIR").output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
