//! A keeper in a process of its own, with a folder and an address that no other test has.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use hotbay_api::LocalReport;
use hotbay_keeper::Settings;
use hotbay_protocol::{Quarantine, ToEngine};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(60);

/// What a test may choose.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// One for each generation of engines.
    pub modes: String,
    pub shutdown_delay_ms: u64,
    pub ready_timeout_ms: u64,
    pub hang_timeout_ms: u64,
    folder: PathBuf,
    address: Ipv4Addr,
}

/// A running keeper.
pub struct Keeper {
    pub config: Config,
    process: Child,
    folder: Option<TempDir>,
}

/// A client of it.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    address: SocketAddr,
}

/// What an engine answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub generation: u64,
    pub pid: i32,
}

/// The other side: becomes the keeper of `config`.
pub fn run_keeper(config: &str) -> ExitCode {
    let config: Config = serde_json::from_str(config).unwrap();
    let log = hotbay_logs::text("info", io::stderr, false);
    let this = std::env::current_exe().unwrap().into_os_string();
    let engine =
        vec![this.clone(), "role=engine".into(), config.modes.clone().into(), config.folder.clone().into()];
    let listen = SocketAddr::from((config.address, 8880));
    let settings = Settings {
        log: Some(log),
        health_listen: Some(SocketAddr::from((config.address, 8882))),
        admin_listen: Some(SocketAddr::from((config.address, 8881))),
        report: Some(config.folder.join("report.json")),
        handover_interval: Duration::ZERO,
        shutdown_delay: Duration::from_millis(config.shutdown_delay_ms),
        ready_timeout: Duration::from_millis(config.ready_timeout_ms),
        hang_timeout: Duration::from_millis(config.hang_timeout_ms),
        ..Settings::new(listen, config.folder.join("state"), engine, vec![this, "role=probe".into()])
    };
    match hotbay_keeper::run(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "keeper failed");
            ExitCode::from(74)
        }
    }
}

/// An address in 127/8 for each test of each run, with ports below those that outgoing connections take.
fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = std::process::id().wrapping_mul(64) + NEXT.fetch_add(1, Ordering::Relaxed);
    Ipv4Addr::from(0x7f00_0000 | 0x0080_0000 | (number & 0x007f_ffff))
}

impl Keeper {
    /// Starts one; its engines fail as `modes` says.
    pub fn start(modes: &str, change: fn(&mut Config)) -> Self {
        let folder = TempDir::new().unwrap();
        let mut config = Config {
            modes: modes.to_owned(),
            shutdown_delay_ms: 0,
            ready_timeout_ms: 30_000,
            hang_timeout_ms: 10_000,
            folder: folder.path().to_owned(),
            address: own_address(),
        };
        change(&mut config);
        let process = Self::spawn(&config);
        Self { config, process, folder: Some(folder) }
    }

    fn spawn(config: &Config) -> Child {
        let log = std::fs::File::options().append(true).create(true).open(config.folder.join("log")).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("role=keeper").arg(serde_json::to_string(config).unwrap());
        command.stdin(Stdio::null()).stderr(log).env("NO_COLOR", "1").spawn().unwrap()
    }

    /// Kills it without warning and starts another one in its folder.
    pub fn replace(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.process = Self::spawn(&self.config);
    }

    /// Starts a second one beside it, which must fail.
    pub fn second(&self) -> ExitStatus {
        Self::spawn(&self.config).wait().unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.process), signal).unwrap();
    }

    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub fn wait(&mut self) -> ExitStatus {
        self.eventually("the keeper ends", |keeper| keeper.process.try_wait().unwrap())
    }

    /// Waits until `look` finds something.
    pub fn eventually<T>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let end = Instant::now() + DEADLINE;
        while Instant::now() < end {
            if let Some(found) = look(self) {
                return found;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        panic!("not within {DEADLINE:?}: {what}");
    }

    /// Waits until engine `generation` serves.
    pub fn await_engine(&mut self, generation: u64) -> LocalReport {
        let what = format!("engine {generation} serves");
        self.eventually(&what, |keeper| keeper.report().filter(|report| report.engine == generation))
    }

    pub fn report(&self) -> Option<LocalReport> {
        let json = std::fs::read(self.path("report.json")).ok()?;
        Some(serde_json::from_slice(&json).unwrap())
    }

    /// Connects and reads what the engine answers.
    pub fn ask(&self) -> io::Result<Answer> {
        self.client().ask()
    }

    pub fn client(&self) -> Client {
        Client { address: SocketAddr::from((self.config.address, 8880)) }
    }

    /// The status of the health server's answer; 0 if there is no server.
    pub fn health(&self, path: &str) -> u16 {
        let get = || {
            let mut stream = TcpStream::connect(SocketAddr::from((self.config.address, 8882)))?;
            write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            io::Result::Ok(answer)
        };
        get().map_or(0, |answer| answer.split(' ').nth(1).unwrap().parse().unwrap())
    }

    /// The body of the admin port's answer; empty if there is none.
    pub fn admin(&self, path: &str) -> String {
        let get = || {
            let address = SocketAddr::from((self.config.address, 8881));
            let mut stream = TcpStream::connect_timeout(&address, DEADLINE)?;
            stream.set_read_timeout(Some(DEADLINE))?;
            write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            io::Result::Ok(answer)
        };
        let answer = get().unwrap_or_default();
        answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
    }

    /// The value of a metric's sample, 0 if there is none.
    pub fn metric(&self, sample: &str) -> u64 {
        let text = self.admin("/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().unwrap())
    }

    /// What engine `generation` was told not to load.
    pub fn quarantined(&self, engine: usize) -> Vec<Quarantine> {
        match self.told("policies").into_iter().nth(engine - 1) {
            Some(ToEngine::Policy { quarantined, .. }) => quarantined,
            other => panic!("{other:?} is no policy of engine {engine}"),
        }
    }

    /// What engines have recorded.
    pub fn told(&self, name: &str) -> Vec<ToEngine> {
        let text = std::fs::read_to_string(self.path(&format!("{name}.jsonl"))).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.config.folder.join(name)
    }

    /// The keeper's resident memory.
    pub fn rss_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Client {
    /// Connects and reads what the engine answers.
    pub fn ask(&self) -> io::Result<Answer> {
        let mut text = String::new();
        let mut stream = TcpStream::connect_timeout(&self.address, DEADLINE)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.read_to_string(&mut text)?;
        let (generation, pid) = text.trim().split_once(' ').ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(Answer { generation: generation.parse().unwrap(), pid: pid.parse().unwrap() })
    }

    /// Asks until an engine does not die of it.
    pub fn ask_until_answered(&self) -> Answer {
        let end = Instant::now() + DEADLINE;
        while Instant::now() < end {
            if let Ok(answer) = self.ask() {
                return answer;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        panic!("nobody answers at {}", self.address);
    }
}

/// Whether a process is gone: reaped, not a zombie.
pub fn is_gone(pid: i32) -> bool {
    !Path::new(&format!("/proc/{pid}")).exists()
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // Its engines die with it.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("{}", std::fs::read_to_string(self.path("log")).unwrap_or_default());
            let kept = self.folder.take().map(TempDir::keep);
            eprintln!("the keeper's folder is kept: {kept:?}");
        }
    }
}
