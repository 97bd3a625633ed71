//! A laptop: `hotbay run` with its keeper and engines, on ports and in a folder of its own.
//!
//! Owns the processes of one run, found by the run's state folder, which every one of them has on its command line. Drop kills them.

use std::ffi::OsStr;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hotbay_api::{EntryReport, EntryState, LocalReport, Reason};
use rustix::process::{Pid, Signal};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::cargo::on_its_own;
use crate::http::{Answer, get};
use crate::wait::{DEADLINE, wait_for};

/// A running `hotbay run`.
pub struct Laptop {
    child: Child,
    state: TempDir,
    lines: Arc<Mutex<Vec<String>>>,
    /// Where it serves.
    pub address: SocketAddr,
    /// Where its keeper tells its health.
    pub health: SocketAddr,
}

/// How a process of the run is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `hotbay run` itself.
    Run,
    /// The keeper.
    Keeper,
    /// Engines, at times two.
    Engine,
    /// Probes, for some milliseconds.
    Probe,
}

impl Laptop {
    /// Starts `hotbay run ARGS…` and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn start(hotbay: &Path, args: &[&OsStr]) -> Self {
        let laptop = Self::spawn(hotbay, args);
        laptop.ready().await;
        laptop
    }

    /// Starts it and waits for nothing.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn spawn(hotbay: &Path, args: &[&OsStr]) -> Self {
        // The usual admin port is for one laptop at a time.
        let admin = free_address().to_string();
        Self::spawn_with(hotbay, args, |command| command.env("HOTBAY_ADMIN_LISTEN", admin))
    }

    /// Starts `hotbay dev` on a module's project and waits for nothing.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn develop(hotbay: &Path, project: &Path) -> Self {
        let admin = free_address().to_string();
        Self::spawn_command(hotbay, "dev", &[project.as_ref()], |command| {
            // Of the test's own build; an author has none of it.
            command.env_remove("CARGO_TARGET_DIR").env_remove("CARGO_MANIFEST_DIR");
            command.env("HOTBAY_ADMIN_LISTEN", admin)
        })
    }

    /// As [`Self::spawn`] with the usual admin port, and what `configure` adds.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn spawn_with(
        hotbay: &Path,
        args: &[&OsStr],
        configure: impl FnOnce(&mut Command) -> &mut Command,
    ) -> Self {
        Self::spawn_command(hotbay, "run", args, configure)
    }

    fn spawn_command(
        hotbay: &Path,
        name: &str,
        args: &[&OsStr],
        configure: impl FnOnce(&mut Command) -> &mut Command,
    ) -> Self {
        let state = tempfile::tempdir().expect("a temporary folder can be made");
        let (address, health) = (free_address(), free_address());
        let mut command = Command::new(hotbay);
        command.arg(name).args(args).arg("--state").arg(state.path());
        command.args(["--listen", &address.to_string(), "--health-listen", &health.to_string()]);
        // A runner's own settings are not what is tested.
        for name in [
            "HOTBAY_LOG",
            "HOTBAY_LOG_FORMAT",
            "HOTBAY_DRAIN_TIMEOUT",
            "HOTBAY_WORKERS",
            "HOTBAY_BLOCKING_THREADS",
            "HOTBAY_ADMIN_LISTEN",
        ] {
            command.env_remove(name);
        }
        on_its_own(command.as_std_mut());
        configure(&mut command);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("hotbay can be started");
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let stderr = child.stderr.take().expect("standard error is piped");
        let collected = Arc::clone(&lines);
        tokio::spawn(async move {
            let mut reader = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = reader.next_line().await {
                collected.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Self { child, state, lines, address, health }
    }

    /// Waits until /readyz says so.
    pub async fn ready(&self) {
        wait_for("the keeper is ready", async || match get(self.health, "/readyz").await {
            Ok(answer) if answer.status == 200 => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    }

    /// One GET over a connection of its own.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn get(&self, path: &str) -> Answer {
        get(self.address, path).await.unwrap_or_else(|trouble| panic!("GET {path}: {trouble:?}"))
    }

    /// Waits until `path` is answered with `status`.
    pub async fn answers(&self, path: &str, status: u16) -> Answer {
        wait_for(&format!("GET {path} is answered with {status}"), async || {
            match get(self.address, path).await {
                Ok(answer) if answer.status == status => Ok(answer),
                Ok(answer) => Err(format!("{} {}", answer.status, answer.text())),
                Err(trouble) => Err(format!("{trouble:?}")),
            }
        })
        .await
    }

    /// Waits until `path` is answered with 200 and `text`.
    pub async fn serves(&self, path: &str, text: &str) {
        wait_for(&format!("GET {path} is answered with {text:?}"), async || {
            match get(self.address, path).await {
                Ok(answer) if answer.status == 200 && answer.text() == text => Ok(()),
                Ok(answer) => Err(format!("{} {}", answer.status, answer.text())),
                Err(trouble) => Err(format!("{trouble:?}")),
            }
        })
        .await;
    }

    /// The lines of standard error so far.
    pub fn lines(&self) -> Vec<String> {
        self.locked().clone()
    }

    /// Waits for a line that holds every one of `words`.
    pub async fn says(&self, words: &[&str]) -> String {
        wait_for(&format!("a line says {words:?}"), async || {
            let holds = |line: &&String| words.iter().all(|word| line.contains(word));
            self.locked().iter().find(holds).cloned().ok_or_else(|| "no line does".to_owned())
        })
        .await
    }

    /// The keeper's report; an empty one before there is any.
    pub fn report(&self) -> LocalReport {
        let json = std::fs::read(self.state.path().join("report.json")).unwrap_or_default();
        serde_json::from_slice(&json).unwrap_or_default()
    }

    /// Waits until the report's entry for `key` (`namespace/name`) is as asked.
    pub async fn entry(&self, key: &str, what: &str, is: impl Fn(&EntryReport) -> bool) -> EntryReport {
        wait_for(&format!("{key} is {what}"), async || {
            let entry = self.report().entries.into_iter().find(|entry| entry.key.to_string() == key);
            entry.as_ref().filter(|entry| is(entry)).cloned().ok_or_else(|| format!("{entry:?}"))
        })
        .await
    }

    /// Waits until the wanted revision of `key` serves.
    pub async fn active(&self, key: &str) -> EntryReport {
        self.entry(key, "active", |entry| entry.state == EntryState::Active).await
    }

    /// Waits until the wanted revision of `key` has failed for `reason`.
    pub async fn failed(&self, key: &str, reason: Reason) -> EntryReport {
        let is = |entry: &EntryReport| entry.failure.as_ref().is_some_and(|failure| failure.reason == reason);
        self.entry(key, &format!("failed for {reason}"), is).await
    }

    /// The processes of this run.
    pub fn processes(&self) -> Vec<(i32, Role)> {
        processes(self.state.path())
    }

    /// The one process with this role. There may be two for a while: an engine that has drained takes its time to end, and a child looks
    /// like its parent until it runs its own program.
    ///
    /// # Panics
    /// When there is none, or several and they stay.
    pub async fn pid(&self, role: Role) -> i32 {
        wait_for(&format!("{role:?} is one process"), async || {
            let all = self.processes();
            let found: Vec<i32> = all.iter().filter(|(_, is)| *is == role).map(|(pid, _)| *pid).collect();
            if let [pid] = found[..] { Ok(pid) } else { Err(format!("{all:?}")) }
        })
        .await
    }

    /// Sends a signal to a process of this run.
    pub async fn signal(&self, role: Role, signal: Signal) {
        send(self.pid(role).await, signal);
    }

    /// Waits for the end of `hotbay run` and of every process that it has made.
    pub async fn ended(&mut self) -> ExitStatus {
        let status = wait_for("hotbay run ends", async || match self.child.try_wait() {
            Ok(Some(status)) => Ok(status),
            other => Err(format!("{other:?}")),
        })
        .await;
        let state = self.state.path();
        wait_for("no process of the run is left", async || match &processes(state)[..] {
            [] => Ok(()),
            left => Err(format!("{left:?}")),
        })
        .await;
        status
    }

    fn locked(&self) -> MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Laptop {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "--- what hotbay run said:\n{}\n--- report: {:#?}",
                self.locked().join("\n"),
                self.report()
            );
        }
        // The others die with it. Only then may the folder go, or they would write into it again.
        let _ended_before = self.child.start_kill();
        let until = Instant::now() + DEADLINE;
        while !self.processes().is_empty() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Runs a command of the CLI to its end.
///
/// # Panics
/// When it cannot be started.
pub async fn command(hotbay: &str, args: &[&OsStr]) -> Output {
    Command::new(hotbay).args(args).stdin(Stdio::null()).output().await.expect("hotbay can be started")
}

/// Sends a signal.
///
/// # Panics
/// When there is no such process.
pub fn send(pid: i32, signal: Signal) {
    let pid = Pid::from_raw(pid).expect("a process id is positive");
    rustix::process::kill_process(pid, signal).expect("the process is there");
}

/// An address that nobody listens on. Below the ports that the kernel gives to clients, so that no connection of another test takes it, and
/// below those that Kubernetes gives to Services.
///
/// # Panics
/// When none is left.
pub fn free_address() -> SocketAddr {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 18_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Programs that run at the same time begin in different places.
    let own = u16::try_from(std::process::id() % u32::from(COUNT / 100)).unwrap_or(0) * 100;
    for _ in 0..COUNT {
        let port = FIRST + (own + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no port is free");
}

/// Every process with `state` on its command line. A zombie has no command line any more.
fn processes(state: &Path) -> Vec<(i32, Role)> {
    let state = state.as_os_str().as_encoded_bytes();
    let mut found = Vec::new();
    for folder in std::fs::read_dir("/proc").expect("/proc can be read").flatten() {
        let pid = folder.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(pid) = pid else { continue };
        let line = std::fs::read(folder.path().join("cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|&byte| byte == 0).collect();
        if !words.iter().any(|word| word.starts_with(state)) {
            continue;
        }
        let role = match (words.get(1), words.get(2)) {
            (Some(&b"runtime"), Some(&b"keeper")) => Role::Keeper,
            (Some(&b"runtime"), Some(&b"engine")) => Role::Engine,
            (Some(&b"runtime"), _) => Role::Probe,
            _ => Role::Run,
        };
        found.push((pid, role));
    }
    found
}
