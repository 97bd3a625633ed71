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
mod handover;
mod saves;
mod standing;
mod wanted;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::watch;

use crate::out;
use crate::project::{BuildError, Fault, Profile, Project};
use crate::reference::RegistryArgs;
use crate::run::{self, Handed, Plan, ServeArgs};
use follow::{Event, Swap};
use handover::HandOver;
use saves::Saves;
use standing::{Obstacle, Standing};

/// A terminal's Ctrl-C ends a build tool and reaches us in the same moment, but who hears of it first is open: so long at most it is waited for. Who has
/// ended the tool alone hears of it a second later.
const SAME: Duration = Duration::from_secs(1);

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
    let (running, goes_on) = mpsc::channel();
    let hand_over = HandOver::new(builds_tx, events_tx.clone());
    let mut workshop =
        Workshop { project, profile, hand_over, last: Last::default(), events: events_tx.clone(), goes_on };
    // Nothing is asked of a runtime before there is something to serve.
    workshop.build(Instant::now());
    saves.built(&workshop.project, &workshop.last);
    let paths = loop {
        if let Some(files) = workshop.hand_over.files() {
            break files.iter().cloned().collect();
        }
        workshop.build(saves.wait());
        saves.built(&workshop.project, &workshop.last);
    };
    let following = move || {
        loop {
            workshop.build(saves.wait());
            saves.built(&workshop.project, &workshop.last);
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
    let handed = Some(Handed { builds, told, running: Some(running) });
    run::serve(Plan { paths, serve, behind: Some(engine), layout, registry: &registry, handed }, &log)
}

/// What is built, how, and where it goes.
struct Workshop {
    project: Project,
    profile: Profile,
    hand_over: HandOver,
    last: Last,
    events: Sender<Event>,
    /// Nothing is sent; the other side is dropped when the command begins to stop.
    goes_on: Receiver<Infallible>,
}

/// What the last builds have left.
#[derive(Debug, Default)]
struct Last {
    /// Where the last one that succeeded lies.
    module: Option<PathBuf>,
    /// The files with mistakes, as the last one that came to an end of its own has found them.
    mistakes: BTreeSet<PathBuf>,
}

impl Workshop {
    /// Builds what was saved at `saved`, and hands it over. Says what is wrong.
    fn build(&mut self, saved: Instant) {
        let begin = Instant::now();
        let Self { project, profile, hand_over, last, events, .. } = self;
        let mut handed = Ok(());
        let built = project.build(*profile, &mut |module| {
            let compiled = begin.elapsed();
            last.module = Some(module.to_owned());
            handed = hand_over.take(project.folder(), module).map(|(digest, is_new)| {
                // Nobody follows any more: the command ends.
                let _ = events.send(Event::Built(Swap { digest, is_new, saved, compiled }));
            });
        });
        match &built {
            Ok(()) => last.mistakes.clear(),
            Err(BuildError::Refused { said, .. }) => last.mistakes.clone_from(&said.files),
            // Nothing was said of the code.
            Err(_) => {}
        }
        let (obstacle, error) = match (built, handed) {
            (Err(error), _) if is_stopped_with(&self.goes_on, &error) => return,
            (Err(error), _) => (obstacle(&error), anyhow::Error::from(error)),
            (Ok(()), Err(error)) => (Obstacle::HandOver(format!("{error:#}")), error),
            (Ok(()), Ok(())) => return,
        };
        tracing::warn!("failed: {error:#}");
        // As above.
        let _ = self.events.send(Event::Stopped(obstacle));
    }
}

/// Whether a build ended because the whole command does: nobody wants to hear of that.
fn is_stopped_with(goes_on: &Receiver<Infallible>, error: &BuildError) -> bool {
    let wait = if matches!(error, BuildError::Ended { .. }) { SAME } else { Duration::ZERO };
    goes_on.recv_timeout(wait) != Err(RecvTimeoutError::Timeout)
}

fn obstacle(error: &BuildError) -> Obstacle {
    match error {
        BuildError::Refused { said, .. } => match said.fault {
            Fault::Code => Obstacle::Code(said.clone()),
            Fault::Linking => Obstacle::Linking(said.clone()),
            Fault::Tool => Obstacle::Build(said.text.clone()),
        },
        BuildError::Ended { .. } => Obstacle::Build(error.to_string()),
        BuildError::Other(why) => Obstacle::Build(format!("{why:#}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::Said;

    fn refused(fault: Fault) -> BuildError {
        let said = Said { text: "no".to_owned(), fault, ..Said::default() };
        BuildError::Refused { folder: PathBuf::from("/m"), tool: "cargo", said }
    }

    fn ended() -> BuildError {
        BuildError::Ended { tool: "make".to_owned(), signal: "SIGTERM".to_owned() }
    }

    #[test]
    fn what_a_tool_fails_at_is_no_fault_of_the_code() {
        assert!(matches!(obstacle(&refused(Fault::Code)), Obstacle::Code(said) if said.text == "no"));
        assert!(matches!(obstacle(&refused(Fault::Linking)), Obstacle::Linking(said) if said.text == "no"));
        assert_eq!(obstacle(&refused(Fault::Tool)), Obstacle::Build("no".to_owned()));
        assert_eq!(obstacle(&ended()), Obstacle::Build("make was ended by SIGTERM".to_owned()));
    }

    #[test]
    fn a_build_that_fails_while_the_command_stops_is_not_told_and_any_other_is() {
        let (running, goes_on) = mpsc::channel();
        assert!(!is_stopped_with(&goes_on, &refused(Fault::Tool)));
        assert!(!is_stopped_with(&goes_on, &ended()), "somebody ended the tool alone");
        drop(running);
        assert!(is_stopped_with(&goes_on, &refused(Fault::Tool)));
        assert!(is_stopped_with(&goes_on, &ended()));
    }
}
