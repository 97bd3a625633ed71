//! The keeper as a child.
//!
//! Owns its start, its stop and its end. It has a process group of its own, so that Ctrl-C reaches only us: we tell it to drain. It dies with us, whatever
//! ends us.

use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, bail};
use hotbay_sys::signals;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, WaitStatus};
use tokio::sync::oneshot;

use super::Layout;

/// Where the admin page is if nobody says otherwise.
const ADMIN: &str = "127.0.0.1:8881";

pub(super) struct Keeper {
    /// Names the process even after its number is another's.
    pidfd: OwnedFd,
    end: oneshot::Receiver<Result<Option<WaitStatus>, rustix::io::Errno>>,
    stopping: bool,
}

impl Keeper {
    /// Starts this same program as a keeper. To be called on a thread that lives as long as the keeper should.
    pub fn spawn(
        layout: &Layout,
        listen: SocketAddr,
        health: Option<SocketAddr>,
        admin: Option<SocketAddr>,
    ) -> anyhow::Result<Self> {
        let mut command = command(layout, listen)?;
        if let Some(health) = health {
            command.arg("--health-listen").arg(health.to_string());
        }
        // Two runs on one machine must both work: only an address that was asked for is insisted on.
        command.arg("--admin-listen").arg(admin.map_or(ADMIN.to_owned(), |admin| admin.to_string()));
        if admin.is_none() {
            command.arg("--admin-optional");
        }
        if std::env::var_os("HOTBAY_LOG_FORMAT").is_none() {
            command.env("HOTBAY_LOG_FORMAT", "text");
        }
        Self::start(command)
    }

    /// As [`Self::spawn`], at `listen` alone; what it complains of goes to a file, as lines of JSON.
    pub fn spawn_quiet(layout: &Layout, listen: SocketAddr, log: File) -> anyhow::Result<Self> {
        let mut command = command(layout, listen)?;
        command.args(["--admin-listen", "127.0.0.1:0"]);
        command.env("HOTBAY_LOG_FORMAT", "json").env("HOTBAY_LOG", "warn");
        let copy = log.try_clone().context("failed to share the log")?;
        command.stdin(Stdio::null()).stdout(copy).stderr(log);
        Self::start(command)
    }

    fn start(command: Command) -> anyhow::Result<Self> {
        // What is passed on before it listens waits for it.
        let spawned = hotbay_sys::process::spawn_with_blocked(command, &[signals::USER_1, signals::USER_2])
            .context("failed to start the keeper")?;
        let pid = Pid::from_raw(spawned.pid).context("the keeper has no process id")?;
        let pidfd =
            rustix::process::pidfd_open(pid, PidfdFlags::empty()).context("failed to watch the keeper")?;
        let (end_tx, end) = oneshot::channel();
        let wait = move || {
            let waited = rustix::process::waitpid(Some(pid), WaitOptions::empty());
            // Nobody listens any more: the command has failed and ends.
            let _ = end_tx.send(waited.map(|ended| ended.map(|(_, status)| status)));
        };
        std::thread::Builder::new()
            .name("keeper-wait".to_owned())
            .spawn(wait)
            .context("failed to start a thread")?;
        Ok(Self { pidfd, end, stopping: false })
    }

    /// Waits for its end; an error if it was not asked to stop.
    pub async fn ended(&mut self) -> anyhow::Result<ExitCode> {
        let ended = (&mut self.end)
            .await
            .context("nobody waits for the keeper")?
            .context("failed to reap the keeper")?;
        let status = ended.context("the keeper did not end")?;
        match (status.exit_status(), status.terminating_signal()) {
            (Some(0), _) if self.stopping => Ok(ExitCode::SUCCESS),
            // Told to end before it had got as far as to listen to signals.
            (_, Some(signal)) if self.stopping && signal == Signal::TERM.as_raw() => Ok(ExitCode::SUCCESS),
            (Some(code), _) => bail!("the keeper ended with code {code}"),
            (None, _) => bail!("the keeper was killed"),
        }
    }

    /// Asks it to drain and end; a second time, to hurry.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        if self.stopping {
            tracing::info!("stopping now");
        } else {
            tracing::info!("draining; Ctrl-C again to hurry");
        }
        self.stop_quietly()
    }

    /// Asks it to drain and end, without a word.
    pub fn stop_quietly(&mut self) -> anyhow::Result<()> {
        self.stopping = true;
        self.tell(Signal::TERM)
    }

    /// Sends it a signal.
    pub fn tell(&self, signal: Signal) -> anyhow::Result<()> {
        rustix::process::pidfd_send_signal(&self.pidfd, signal).context("failed to tell the keeper")
    }
}

/// This same program as a keeper.
fn command(layout: &Layout, listen: SocketAddr) -> anyhow::Result<Command> {
    let program = std::env::current_exe().context("failed to find this program's own file")?;
    let mut command = Command::new(program);
    command.args(["runtime", "keeper"]);
    command.arg("--bay").arg(&layout.bay).arg("--state").arg(&layout.state);
    command.arg("--report").arg(&layout.report).arg("--listen").arg(listen.to_string());
    // On a laptop nobody minds a handover that was asked for, and somebody waits at the terminal: as long as a request may take by default,
    // not as long as a browser keeps an idle connection.
    command.args(["--handover-interval", "0s", "--drain-timeout", "10s"]);
    Ok(command)
}
