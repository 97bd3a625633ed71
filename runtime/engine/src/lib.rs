//! Loads modules from a bay and serves their routes.
//!
//! ```text
//! bay (thread) ──scan──► control ──job──► prepare: stage → check → probe → load → create
//!                        │  ▲                                   │
//! keeper ◄──report──────┤  └────────────── done ──────────────┘
//!                        ▼
//!                     table ──swap──► serve ◄── connections (workers)
//! ```
//!
//! Owns one engine process from HELLO to DRAINED. Must not bind sockets nor start processes (the keeper does), and must not trust the
//! bay: what it loads is a private copy that was checked.

mod body;
mod connection;
mod control;
mod link;
mod modules;
mod pool;
mod prepare;
mod request;
mod serve;
mod stall;
mod table;
mod tally;
mod timers;
mod told;

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use hotbay_bay::{Options, POLL_INTERVAL, Reader, Scan, Stage};
use hotbay_loader::Loader;
use hotbay_logs::Level;
use hotbay_protocol::{Channel, ChannelError, EngineMemory, ToEngine, Why};
use hotbay_sys::memory::SharedWords;
use hotbay_sys::signals;
use tokio::sync::mpsc;

/// What an engine is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The bay to read.
    pub bay: PathBuf,
    /// The runtime's own folder; the stage lies in it.
    pub state: PathBuf,
    /// The size of the volume that this folder is, in bytes, if it has one.
    pub state_size: Option<u64>,
    /// Threads that serve requests.
    pub workers: usize,
    /// Threads, at most, for handlers that may hold theirs; by default as many as fit the CPUs.
    pub blocking_threads: Option<usize>,
    /// How much this process logs; the keeper may change it.
    pub log: Level,
}

/// Why an engine could not run.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The keeper said something else than HELLO, or nothing.
    #[error("the keeper did not say hello: {0}")]
    Hello(String),
    /// The channel failed.
    #[error("the channel to the keeper failed")]
    Channel(#[from] ChannelError),
    /// The system refused something that the engine needs.
    #[error("failed to {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// The stage cannot be used.
    #[error("the stage {} cannot be used", path.display())]
    Stage {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: hotbay_bay::BlobError,
    },
}

fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> EngineError {
    move |source| EngineError::System { what, source }
}

/// Runs an engine on the socket to its keeper until it has drained, or the keeper is gone.
///
/// # Errors
/// When the engine cannot begin; later trouble is reported to the keeper.
pub fn run(settings: Settings, socket: OwnedFd) -> Result<(), EngineError> {
    let channel = Channel::new(socket);
    // They are the keeper's, who tells us. Whoever signals all processes of one name must not end us.
    signals::ignore(&[signals::USER_1, signals::USER_2]).map_err(system("ignore signals"))?;
    let (generation, why, listener, memory) = hello(&channel)?;
    hotbay_sys::crash::install(memory.words().clone(), EngineMemory::crash_offset())
        .map_err(system("install the crash handler"))?;
    let stage = settings.state.join("stage");
    let stage = Stage::open(&stage).map_err(|source| EngineError::Stage { path: stage, source })?;
    let stage = stage.in_volume(&settings.state, settings.state_size);
    let loader = Arc::new(Loader::new(memory.clone()).map_err(system("start the loader thread"))?);
    // Before the link, which does it again when the keeper says so.
    hotbay_loader::follow_log_level();
    let (link, messages) = link::Link::new(channel, settings.log).map_err(system("start the link thread"))?;
    let watch = stall::Watch::default();
    let (attached, watched) = (memory.clone(), watch.clone());
    let workers = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(settings.workers.max(1))
        .thread_name("worker")
        .on_thread_start(move || {
            let slot = hotbay_loader::attach_thread(&attached);
            tally::attach_thread(attached.shard(Some(slot)));
            attached.slot(slot).into_iter().for_each(|slot| watched.attach_thread(slot));
        })
        // No timers: see `timers`.
        .enable_io()
        .build()
        .map_err(system("start the workers"))?;
    let control = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(system("start the control loop"))?;
    let (scans_tx, scans) = mpsc::channel(1);
    let bay = settings.bay.clone();
    std::thread::Builder::new()
        .name("bay".to_owned())
        .spawn(move || read_bay(bay, &scans_tx))
        .map_err(system("start the bay's thread"))?;
    let timers = timers::Timers::start().map_err(system("start the timers' thread"))?;
    let (findings_tx, findings) = mpsc::unbounded_channel();
    watch
        .spawn(workers.handle().clone(), findings_tx)
        .map_err(system("start the thread that looks for stalls"))?;
    let cpus = || std::thread::available_parallelism().map_or(1, usize::from);
    let blocking_threads = settings.blocking_threads.unwrap_or_else(|| pool::usual_size(cpus()));
    let pool = pool::Pool::new(blocking_threads, memory.clone());
    let server = serve::Server::new(memory.clone(), workers.handle().clone(), timers, pool);
    let preparer =
        Arc::new(prepare::Preparer::new(settings.bay, stage, Arc::clone(&loader), Arc::clone(&link)));
    tracing::debug!(generation, "the engine begins");
    let control_loop = control::Control::new(link, loader, preparer, server, listener, memory, why);
    control.block_on(control_loop.run(messages, scans, findings));
    // Module threads may still run: no destructor of theirs, or of ours, is waited for.
    hotbay_sys::process::exit_now(0)
}

/// The first message, and the descriptors that come with it.
fn hello(channel: &Channel) -> Result<(u64, Why, TcpListener, EngineMemory), EngineError> {
    let (message, mut fds) = channel.receive()?;
    let ToEngine::Hello { generation, why } = message else {
        return Err(EngineError::Hello(format!("{message:?} came first")));
    };
    let (Some(memory), Some(listener)) = (fds.pop(), fds.pop()) else {
        return Err(EngineError::Hello("listener and memory did not come with it".to_owned()));
    };
    let words = SharedWords::map(&memory).map_err(system("map the shared memory"))?;
    let memory = EngineMemory::new(words).map_err(system("use the shared memory"))?;
    Ok((generation, why, TcpListener::from(listener), memory))
}

/// Reads the bay for ever and passes on what has changed.
fn read_bay(bay: PathBuf, scans: &mpsc::Sender<Scan>) {
    let mut reader = Reader::new(bay, Options::default());
    let mut version = None;
    let mut degraded: Option<String> = None;
    loop {
        let scan = reader.scan(std::time::Instant::now());
        if reader.degraded() != degraded.as_deref() {
            degraded = reader.degraded().map(str::to_owned);
            degraded.iter().for_each(|why| tracing::warn!("changes of the bay are found late: {why}"));
        }
        if version != Some(scan.version) {
            version = Some(scan.version);
            if scans.blocking_send(scan).is_err() {
                return;
            }
        }
        reader.wait(POLL_INTERVAL);
    }
}
