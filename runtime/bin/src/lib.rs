//! The process of a runtime pod, in its three roles.
//!
//! Owns the command line of keeper, engine and probe, which the `hotbay` CLI shares, so that one binary is a whole laptop. Must not hold logic of its
//! own: each role is a crate.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use hotbay_api::{DurationText, Platform};

mod logs;
mod probe;

pub use logs::{init as init_logs, init_text as init_text_logs};

/// The roles.
#[derive(Debug, Subcommand)]
pub enum Role {
    /// Owns the sockets and keeps an engine running behind them.
    Keeper(Box<KeeperArgs>),
    /// Loads modules and serves; started by a keeper only.
    #[command(hide = true)]
    Engine(EngineArgs),
    /// Loads one staged module once and says how it went; started by a keeper only.
    #[command(hide = true)]
    Probe {
        /// The staged file, `sha256-<hex>`.
        path: PathBuf,
    },
}

/// Settings of a keeper.
#[derive(Debug, Args)]
pub struct KeeperArgs {
    /// The folder to read modules from.
    #[arg(long, env = "HOTBAY_BAY")]
    pub bay: PathBuf,
    /// The runtime's own folder: staged modules and the journal. Must allow execution.
    #[arg(long, env = "HOTBAY_STATE", default_value = "/var/lib/hotbay")]
    pub state: PathBuf,
    /// The size in bytes of the volume that the state folder is: nothing is staged that would fill more than 90 % of it. Without one, or with
    /// 0, the disk is the limit.
    #[arg(long, env = "HOTBAY_STATE_SIZE", value_name = "BYTES")]
    pub state_size: Option<u64>,
    /// Where requests are served.
    #[arg(long, env = "HOTBAY_LISTEN", default_value = "0.0.0.0:8880")]
    pub listen: SocketAddr,
    /// Where /healthz and /readyz answer.
    #[arg(long, env = "HOTBAY_HEALTH_LISTEN")]
    pub health_listen: Option<SocketAddr>,
    /// Where /metrics, /status.json and the admin page are.
    #[arg(long, env = "HOTBAY_ADMIN_LISTEN")]
    pub admin_listen: Option<SocketAddr>,
    /// A name that the admin port answers to, beside addresses and localhost; * stands for all. Several with commas.
    #[arg(long, env = "HOTBAY_ADMIN_HOST", value_name = "NAME", value_delimiter = ',')]
    pub admin_host: Vec<String>,
    /// Go on without an admin port if it cannot be had.
    #[arg(long, hide = true)]
    pub admin_optional: bool,
    /// The file to write the local report to.
    #[arg(long, env = "HOTBAY_REPORT")]
    pub report: Option<PathBuf>,
    /// How long a replaced engine may finish what is in flight.
    #[arg(long, env = "HOTBAY_DRAIN_TIMEOUT", default_value = "30s")]
    pub drain_timeout: DurationText,
    /// How long to go on accepting, though no longer ready, after SIGTERM.
    #[arg(long, env = "HOTBAY_SHUTDOWN_DELAY", default_value = "0s")]
    pub shutdown_delay: DurationText,
    /// The least time between two handovers that nobody needs (SIGHUP).
    #[arg(long, env = "HOTBAY_HANDOVER_INTERVAL", default_value = "10m")]
    pub handover_interval: DurationText,
    /// Threads that serve requests; by default one for each CPU.
    #[arg(long, env = "HOTBAY_WORKERS")]
    pub workers: Option<usize>,
    /// Threads, at most, for handlers that may hold theirs; by default four for each CPU, from 8 to 64.
    #[arg(long, env = "HOTBAY_BLOCKING_THREADS", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub blocking_threads: Option<u16>,
}

/// Settings of an engine.
#[derive(Debug, Args)]
pub struct EngineArgs {
    /// The folder to read modules from.
    #[arg(long)]
    pub bay: PathBuf,
    /// The runtime's own folder.
    #[arg(long)]
    pub state: PathBuf,
    /// The size in bytes of the volume that this folder is.
    #[arg(long)]
    pub state_size: Option<u64>,
    /// Threads that serve requests.
    #[arg(long)]
    pub workers: usize,
    /// Threads, at most, for handlers that may hold theirs.
    #[arg(long)]
    pub blocking_threads: Option<usize>,
}

/// Runs a role. `prefix` is what stands before the role's name on this program's command line.
///
/// # Errors
/// When the role cannot begin.
pub fn run(role: Role, prefix: &[&str]) -> anyhow::Result<ExitCode> {
    match role {
        Role::Keeper(args) => keeper(*args, prefix).map(|()| ExitCode::SUCCESS),
        Role::Engine(args) => engine(args).map(|()| ExitCode::SUCCESS),
        Role::Probe { path } => probe::run(&path),
    }
}

fn keeper(args: KeeperArgs, prefix: &[&str]) -> anyhow::Result<()> {
    let log = logs::init();
    let KeeperArgs {
        bay,
        state,
        state_size,
        listen,
        health_listen,
        admin_listen,
        admin_host,
        admin_optional,
        report,
        drain_timeout,
        shutdown_delay,
        handover_interval,
        workers,
        blocking_threads,
    } = args;
    let program = std::env::current_exe().context("failed to find this program's own file")?;
    let cpus = || std::thread::available_parallelism().map_or(1, usize::from);
    let workers = workers.unwrap_or_else(cpus).max(1).to_string();
    let role = |name: &str| -> Vec<OsString> {
        let words = prefix.iter().copied().chain([name]).map(OsString::from);
        std::iter::once(program.clone().into_os_string()).chain(words).collect()
    };
    let mut engine = role("engine");
    let flags: [(&str, OsString); 3] =
        [("--bay", bay.into()), ("--state", state.clone().into()), ("--workers", workers.into())];
    let size = state_size.map(|size| ("--state-size", OsString::from(size.to_string())));
    let blocking =
        blocking_threads.map(|threads| ("--blocking-threads", OsString::from(threads.to_string())));
    engine.extend(
        flags.into_iter().chain(size).chain(blocking).flat_map(|(flag, value)| [OsString::from(flag), value]),
    );
    let mut settings = hotbay_keeper::Settings::new(listen, state, engine, role("probe"));
    settings.log = Some(log);
    settings.health_listen = health_listen;
    settings.admin_listen = admin_listen;
    settings.admin_hosts = admin_host;
    settings.admin_optional = admin_optional;
    settings.report = report;
    settings.drain_timeout = drain_timeout.0;
    settings.shutdown_delay = shutdown_delay.0;
    settings.handover_interval = handover_interval.0;
    settings.abi = format!("{}.{}", hotbay_abi::ABI_MAJOR, hotbay_abi::ABI_MINOR);
    settings.platform = Platform::current().to_string();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), %listen, "the keeper begins");
    hotbay_keeper::run(settings).context("the keeper failed")
}

fn engine(args: EngineArgs) -> anyhow::Result<()> {
    let socket = hotbay_sys::process::inherited_socket().context("an engine is started by a keeper only")?;
    let log = logs::init();
    let EngineArgs { bay, state, state_size, workers, blocking_threads } = args;
    let settings = hotbay_engine::Settings { bay, state, state_size, workers, blocking_threads, log };
    hotbay_engine::run(settings, socket).context("the engine failed")
}
