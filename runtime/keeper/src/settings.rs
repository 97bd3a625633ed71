//! What the keeper is told at its start.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use hotbay_logs::Level;

/// The keeper's settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where engines serve. Port 0 works, but such a socket cannot be mended after a module has shut it down.
    pub listen: SocketAddr,
    /// Where /healthz and /readyz answer, if anywhere.
    pub health_listen: Option<SocketAddr>,
    /// Where /metrics, /status.json and the page are, if anywhere.
    pub admin_listen: Option<SocketAddr>,
    /// Names, beside addresses and localhost, that the admin port answers to; `*` stands for all.
    pub admin_hosts: Vec<String>,
    /// An admin port that cannot be had is a warning and no error.
    pub admin_optional: bool,
    /// The file of the local report, if one is wanted.
    pub report: Option<PathBuf>,
    /// The folder of the journal; made if it is absent.
    pub state: PathBuf,
    /// Program and arguments of an engine; its socket to the keeper is descriptor 3.
    pub engine: Vec<OsString>,
    /// Program and arguments of a probe; the path of the staged build is added.
    pub probe: Vec<OsString>,
    /// How much this process and its engines log, if SIGUSR1 and SIGUSR2 are to change that.
    pub log: Option<Level>,
    /// How long an engine may drain.
    pub drain_timeout: Duration,
    /// How long to go on accepting, though not ready any more, after SIGTERM.
    pub shutdown_delay: Duration,
    /// The least time between two voluntary handovers.
    pub handover_interval: Duration,
    /// How long a new engine may take to be ready.
    pub ready_timeout: Duration,
    /// How long an active engine may leave pings unanswered.
    pub hang_timeout: Duration,
    /// The ABI that the runtime serves, for the report.
    pub abi: String,
    /// The platform that it runs on, for the report.
    pub platform: String,
}

impl Settings {
    /// Settings with every default.
    pub fn new(listen: SocketAddr, state: PathBuf, engine: Vec<OsString>, probe: Vec<OsString>) -> Self {
        Self {
            listen,
            health_listen: None,
            admin_listen: None,
            admin_hosts: Vec::new(),
            admin_optional: false,
            report: None,
            state,
            engine,
            probe,
            log: None,
            drain_timeout: Duration::from_secs(30),
            shutdown_delay: Duration::ZERO,
            handover_interval: Duration::from_secs(600),
            // An instance may stay pending for 30 s before it counts as failed; an engine waits for that.
            ready_timeout: Duration::from_secs(45),
            hang_timeout: Duration::from_secs(10),
            abi: String::new(),
            platform: String::new(),
        }
    }
}
