//! `hotbay dev`: serves a module's project, and builds it again whenever it is saved.
//!
//! ```text
//! sources ──Saves──► cargo or make ──Build──► `hotbay run`'s control plane ──► bay ──► engine ◄── front ◄── browser, curl
//!                          └─ what is wrong ──────► follow ◄─ what serves ──────┘            ▲
//!                                                      └───── Standing ──────────────────────┘
//! ```
//! Owns when to build, and the way of a build to the control plane: straight, without a file that somebody would have to look for. What does not compile
//! changes nothing: the last build serves on, and people in browsers see why. Must not serve: `run` does, with the project's own YAML, so that what
//! works here works on a cluster.

mod follow;
mod front;
mod saves;
mod standing;
mod wanted;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{self, Sender};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use hotbay_api::Digest;
use tokio::sync::watch;

use crate::out;
use crate::project::{BuildError, Profile, Project, Said};
use crate::reference::RegistryArgs;
use crate::run::build::Build;
use crate::run::{self, Handed, Plan, ServeArgs};
use follow::{Event, Swap};
use saves::Saves;
use standing::Standing;

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
/// When there is no project, the address is taken, or `hotbay run` cannot begin.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { folder, release, serve, registry } = args;
    let log = run::init_logs();
    out::end_with_reader()?;
    let project = Project::open(&folder)?;
    let layout = serve.layout()?;
    // Only the front needs to know it.
    let engine = run::free_address()?;
    let (standing, shown) = watch::channel(Standing::default());
    front::start(serve.listen, engine, shown)?;
    tracing::info!("http://{} shows how it goes", serve.listen);
    let (events_tx, events) = mpsc::channel();
    follow::start(layout.report.clone(), standing, events_tx.clone(), events)?;

    let (builds_tx, builds) = watch::channel(None);
    let mut saves = Saves::new(&project);
    let profile = if release { Profile::Release(None) } else { Profile::Dev };
    let mut workshop =
        Workshop { project, profile, builds: builds_tx, asked: None, events: events_tx.clone() };
    // Nothing is asked of a runtime before there is something to serve.
    workshop.build(Instant::now());
    saves.built(&workshop.project);
    while workshop.asked.is_none() {
        workshop.build(saves.wait());
        saves.built(&workshop.project);
    }
    let paths = workshop.asked.iter().flatten().cloned().collect();
    let following = move || {
        loop {
            workshop.build(saves.wait());
            saves.built(&workshop.project);
        }
    };
    std::thread::Builder::new()
        .name("dev".to_owned())
        .spawn(following)
        .context("failed to start a thread")?;
    let told = Box::new(move |served| {
        // Nobody follows any more: the command ends.
        let _ = events_tx.send(Event::Told(served));
    });
    let handed = Some(Handed { builds, told });
    run::serve(Plan { paths, serve, behind: Some(engine), layout, registry: &registry, handed }, &log)
}

/// What is built, how, and where it goes.
struct Workshop {
    project: Project,
    profile: Profile,
    builds: watch::Sender<Option<Build>>,
    /// The YAML that asks for the module, as it was when there was a build for the first time.
    asked: Option<BTreeSet<PathBuf>>,
    events: Sender<Event>,
}

impl Workshop {
    /// Builds what was saved at `saved`, and hands it over. Says what is wrong.
    fn build(&mut self, saved: Instant) {
        let begin = Instant::now();
        let Self { project, profile, builds, asked, events } = self;
        let mut result = Ok(());
        let built = project.build(*profile, &mut |module| {
            let compiled = begin.elapsed();
            result = hand_over(project.folder(), module, builds, asked).map(|(digest, is_new)| {
                // Nobody follows any more: the command ends.
                let _ = events.send(Event::Built(Swap { digest, is_new, saved, compiled }));
            });
        });
        let Err(error) = built.and_then(|()| result.map_err(BuildError::Other)) else { return };
        let said = match error {
            BuildError::Refused { ref said, .. } => said.clone(),
            BuildError::Other(ref error) => Said { text: format!("{error:#}\n"), place: None },
        };
        tracing::warn!("failed: {:#}", anyhow::Error::from(error));
        let _ = self.events.send(Event::NotBuilt(said));
    }
}

/// Gives a build to the control plane; which it is, and whether it is another than before.
fn hand_over(
    project: &Path,
    module: &Path,
    builds: &watch::Sender<Option<Build>>,
    asked: &mut Option<BTreeSet<PathBuf>>,
) -> anyhow::Result<(Digest, bool)> {
    let (bytes, facts) = crate::module::read(module)?;
    let wanted = wanted::wanted(project, &facts.manifest.name)?;
    let (repository, files) =
        wanted.map_or((None, BTreeSet::new()), |wanted| (Some(wanted.repository), wanted.files));
    if let Some(asked) = asked {
        // `run` was told once which files to follow.
        ensure!(
            files.is_empty() == asked.is_empty() && files.is_subset(asked),
            "other YAML files ask for the module than when this began; end it and begin again"
        );
    }
    let build = Build { repository, path: module.to_owned(), digest: Digest::of(&bytes), bytes };
    let digest = build.digest;
    let is_new = builds.send_if_modified(|newest| {
        let is_new = newest.as_ref() != Some(&build);
        *newest = Some(build);
        is_new
    });
    asked.get_or_insert(files);
    Ok((digest, is_new))
}
