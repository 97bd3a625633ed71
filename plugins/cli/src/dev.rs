//! `hotbay dev`: serves a module's project, and builds it again whenever it is saved.
//!
//! ```text
//! sources ──Saves──► cargo build ──► oci layout (what the YAML names) or a folder of drop-ins ──► `hotbay run`
//! ```
//! Owns when to build and where the result goes. What does not compile changes nothing: the last build serves on. Must not serve: `run` does, with the
//! project's own YAML, so that what works here works on a cluster.

mod saves;
mod shelf;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;

use crate::cargo::{Package, Profile};
use crate::reference::RegistryArgs;
use crate::run::{self, ServeArgs};
use saves::Saves;
use shelf::Shelf;

/// Which project, and where to serve it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The module's folder.
    #[arg(value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
    /// Build as for release: slower to build, faster to run.
    #[arg(long)]
    release: bool,
    #[command(flatten)]
    serve: ServeArgs,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// Builds, serves, and builds again until Ctrl-C.
///
/// # Errors
/// When there is no project, or `hotbay run` cannot begin.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { folder, release, serve, mut registry } = args;
    let log = run::init_logs();
    let package = Package::open(&folder)?;
    let shelf = Shelf::new(package.folder(), shelf::private_folder()?);
    let profile = if release { Profile::Release(None) } else { Profile::Dev };
    let mut saves = Saves::new(&package)?;
    let mut workshop = Workshop { package, profile, shelf };
    // Nothing is asked of a runtime before there is something to serve.
    while !workshop.build() {
        saves.wait()?;
    }
    let paths = workshop.shelf.paths();
    registry.mirrors.extend(workshop.shelf.mirror());
    let following = move || {
        loop {
            let unseen = saves.follow(&workshop.package);
            if !unseen && saves.wait().is_err() {
                return;
            }
            workshop.build();
        }
    };
    std::thread::Builder::new()
        .name("dev".to_owned())
        .spawn(following)
        .context("failed to start a thread")?;
    run::serve(paths, serve, &registry, &log)
}

/// What is built, how, and where it goes.
struct Workshop {
    package: Package,
    profile: Profile<'static>,
    shelf: Shelf,
}

impl Workshop {
    /// Builds and puts the result where `run` finds it; whether there is one. Says what is wrong.
    fn build(&mut self) -> bool {
        let begin = Instant::now();
        let built = self.package.build(self.profile).and_then(|module| self.shelf.put(&module));
        match built {
            Ok(true) => tracing::info!("built, in {:.2} s", begin.elapsed().as_secs_f64()),
            Ok(false) => tracing::debug!("built, and nothing is new"),
            Err(ref error) => tracing::warn!("failed: {error:#}"),
        }
        built.is_ok()
    }
}
