//! `hotbay run`: the embedded control plane and a runtime, on one machine.
//!
//! ```text
//! YAML, .so, folders ──desired (thread)──► plane: the operator's pipeline ──► a private bay ──► keeper (child) ──► engine
//! ```
//!
//! Owns the life of the whole: start, Ctrl-C, exit code. Must not decide about modules: `plane` does, by the pipeline that the operator uses too.

pub(crate) mod build;
mod desired;
mod keeper;
mod plane;
pub(crate) mod trial;
pub(crate) mod yaml;

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use hotbay_api::{EntryKey, LocalReport, Trouble};
use hotbay_bay::Writer;
use hotbay_logs::Level;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::out;
use crate::reference::RegistryArgs;

/// How often the keeper's report is looked at for its first engine.
const REPORT_LOOK: Duration = Duration::from_millis(50);

/// What to serve, and where.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// HandlerModule YAML files, `.so` files, and folders of both.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    serve: ServeArgs,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// Where to serve.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// Where to serve.
    #[arg(long, env = "HOTBAY_LISTEN", default_value = "127.0.0.1:8880")]
    pub listen: SocketAddr,
    /// Where the keeper's /healthz and /readyz answer.
    #[arg(long, env = "HOTBAY_HEALTH_LISTEN")]
    health_listen: Option<SocketAddr>,
    /// Where the admin page, /status.json and /metrics are [default: 127.0.0.1:8881, if that is free].
    #[arg(long, env = "HOTBAY_ADMIN_LISTEN")]
    admin_listen: Option<SocketAddr>,
    /// Where staged modules and the like are kept [default: hotbay/run/ in the user's cache folder].
    #[arg(long, env = "HOTBAY_STATE")]
    state: Option<PathBuf>,
}

/// The folders and files of one run.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    state: PathBuf,
    bay: PathBuf,
    /// What the keeper says of its entries.
    pub report: PathBuf,
}

/// All that a run needs to know.
pub(crate) struct Plan<'a> {
    /// What to serve.
    pub paths: Vec<PathBuf>,
    /// Where.
    pub serve: ServeArgs,
    /// Where the engine serves; somebody else listens at the address that people know.
    pub behind: Option<SocketAddr>,
    /// See [`ServeArgs::layout`].
    pub layout: Layout,
    /// How references are looked up.
    pub registry: &'a RegistryArgs,
    /// What is not in any file.
    pub handed: Option<Handed>,
}

/// What `hotbay dev` and a run have to say to each other.
pub(crate) struct Handed {
    /// The newest build.
    pub builds: watch::Receiver<Option<build::Build>>,
    /// Is told which modules are served from it, whenever the control plane has looked.
    pub told: Box<dyn Fn(Vec<Served>)>,
    /// Dropped when the run begins to stop.
    pub running: Option<std::sync::mpsc::Sender<Infallible>>,
}

/// What becomes of a module that is to be served from what was handed over.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Served {
    /// It has a name of its own.
    As {
        /// The name.
        key: EntryKey,
        /// Why it is not in the bay.
        refused: Option<Trouble>,
    },
    /// Another module has its name; which, and what to do.
    Nowhere(String),
}

/// Serves until Ctrl-C, SIGTERM, or the keeper's end.
///
/// # Errors
/// When something that is needed cannot be had; trouble with modules is told and survived.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let log = init_logs();
    out::end_with_reader()?;
    let Args { paths, serve, registry } = args;
    let layout = serve.layout()?;
    self::serve(Plan { paths, serve, behind: None, layout, registry: &registry, handed: None }, &log)
}

/// One line an event is for people, wherever standard error goes. Children inherit the choice as a flag, see `keeper`.
pub(crate) fn init_logs() -> Level {
    if std::env::var_os("HOTBAY_LOG_FORMAT").is_none() {
        hotbay_runtime::init_text_logs()
    } else {
        hotbay_runtime::init_logs()
    }
}

/// As [`run`], by a command that has logs already.
///
/// # Errors
/// As for [`run`].
pub(crate) fn serve(plan: Plan<'_>, log: &Level) -> anyhow::Result<ExitCode> {
    let Plan { paths, serve, behind, layout, registry, mut handed } = plan;
    let mut running = handed.as_mut().and_then(|handed| handed.running.take());
    let ServeArgs { listen, health_listen, admin_listen, state: _ } = serve;
    for path in &paths {
        anyhow::ensure!(
            path.exists(),
            "{} does not exist; name a YAML file, a .so file, or a folder",
            path.display()
        );
    }
    let lock = layout.lock()?;
    // What the last run's keeper said is not said by ours.
    match std::fs::remove_file(&layout.report) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("failed to remove {}", layout.report.display()));
        }
        _ => {}
    }
    let writer = Writer::new(&layout.bay)?;
    // What the last run served may not be wanted any more; blobs stay, they are named by what they are.
    for key in writer.list()?.entries {
        writer.remove_entry(&key)?;
    }
    let client = registry.client(None)?;
    let layouts = registry.layouts()?;
    let code = runtime()?.block_on(async {
        let mut keeper =
            keeper::Keeper::spawn(&layout, behind.unwrap_or(listen), health_listen, admin_listen)?;
        let (desired_tx, desired) = mpsc::channel(1);
        std::thread::Builder::new()
            .name("desired".to_owned())
            .spawn(move || desired::follow(&paths, &layouts, &desired_tx))
            .context("failed to start a thread")?;
        let plane = plane::Plane::new(client, writer, layout.report.clone());
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut log_more = signal(SignalKind::user_defined1())?;
        let mut log_less = signal(SignalKind::user_defined2())?;
        // The terminal was closed; who started us with nohup does not mind.
        let mut hangup = if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) };
        let mut plane = std::pin::pin!(plane.run(desired, handed));
        let mut serves = std::pin::pin!(serves(&layout.report));
        let mut told = false;
        loop {
            tokio::select! {
                ended = keeper.ended() => return ended,
                () = &mut plane => anyhow::bail!("the control plane has ended"),
                () = asked_to_stop(&mut interrupt, &mut terminate, &mut hangup) => {
                    drop(running.take());
                    keeper.stop()?;
                }
                // The keeper tells its engines.
                _ = log_more.recv() => {
                    log.more();
                    keeper.tell(rustix::process::Signal::USR1)?;
                }
                _ = log_less.recv() => {
                    log.less();
                    keeper.tell(rustix::process::Signal::USR2)?;
                }
                () = &mut serves, if !told => {
                    told = true;
                    tracing::info!("serving at http://{listen}");
                }
            }
        }
    });
    drop(lock);
    code
}

/// An address of this machine alone that nobody listens at.
///
/// # Errors
/// When the system has none.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    bound.context("failed to find a free port")
}

/// Whether SIGHUP was ignored when we were started: a handler of ours would undo that.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // The lowest bit is signal 1.
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

/// Waits for any of the signals that ask for an end.
async fn asked_to_stop(interrupt: &mut Signal, terminate: &mut Signal, hangup: &mut Option<Signal>) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = heard(hangup) => {}
    }
}

/// Waits for a signal, for ever if there is none to wait for.
async fn heard(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Waits until the keeper reports that an engine serves.
async fn serves(report: &Path) {
    let mut tick = tokio::time::interval(REPORT_LOOK);
    loop {
        tick.tick().await;
        let said =
            std::fs::read(report).ok().and_then(|json| serde_json::from_slice::<LocalReport>(&json).ok());
        if said.is_some_and(|report| report.engine > 0) {
            return;
        }
    }
}

/// The runtime of a command: one thread is enough.
///
/// # Errors
/// When the system refuses.
pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("failed to start")
}

impl ServeArgs {
    /// The folders of a run with these arguments, made if they are not there.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn layout(&self) -> anyhow::Result<Layout> {
        Layout::new(self.state.clone(), self.listen)
    }
}

impl Layout {
    /// One folder for each address that is served, so that two runs do not share a bay.
    fn new(state: Option<PathBuf>, listen: SocketAddr) -> anyhow::Result<Self> {
        let name = listen.to_string().replace([':', '[', ']'], "-");
        let state = match state {
            Some(state) => state,
            None => cache_folder()?.join("hotbay/run").join(name),
        };
        std::fs::create_dir_all(&state).with_context(|| format!("failed to make {}", state.display()))?;
        let state = state.canonicalize().with_context(|| format!("failed to find {}", state.display()))?;
        Ok(Self { bay: state.join("bay"), report: state.join("report.json"), state })
    }

    /// Held as long as the run: a second one on the same folder would fight over the bay.
    fn lock(&self) -> anyhow::Result<std::fs::File> {
        let path = self.state.join("lock");
        let file =
            std::fs::File::create(&path).with_context(|| format!("failed to make {}", path.display()))?;
        file.try_lock().with_context(|| {
            format!(
                "another hotbay run uses {}; stop it, or choose another --listen or --state",
                self.state.display()
            )
        })?;
        Ok(file)
    }
}

/// The user's cache folder, by the XDG base directory specification.
pub(crate) fn cache_folder() -> anyhow::Result<PathBuf> {
    let xdg = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || std::env::home_dir().map(|home| home.join(".cache"));
    xdg.or_else(home).context("there is no home folder; name one with --state")
}

/// Whether a path names a HandlerModule file.
pub(crate) fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}
