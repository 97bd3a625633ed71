//! The supervisor with the real agent as its child. There is no API server, which an agent outlives.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

const DEADLINE: Duration = Duration::from_secs(60);

/// Looks until `found` gives something: a process has no event for those who are not its parent.
fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match found() {
            Some(thing) => return thing,
            None if Instant::now() > deadline => panic!("not within {DEADLINE:?}: {what}"),
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// A supervisor; killed, and its child with it, if the test ends early.
struct Supervisor(Child);

impl Drop for Supervisor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Supervisor {
    fn start(folder: &Path) -> Self {
        let kubeconfig = folder.join("kubeconfig");
        // Nothing listens on the discard port.
        let text = r#"{"apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}], "users": [{"name": "u", "user": {}}]}"#;
        std::fs::write(&kubeconfig, text).unwrap();
        let settings = [
            ("HOTBAY_BAY", folder.join("bay").to_str().unwrap()),
            ("HOTBAY_REPORT", folder.join("report.json").to_str().unwrap()),
            ("HOTBAY_POOL", "default"),
            ("HOTBAY_POD_NAMESPACE", "hotbay"),
            ("HOTBAY_POD_NAME", "pod"),
            ("HOTBAY_POD_UID", "uid"),
            ("HOTBAY_HEALTH_LISTEN", "127.0.0.1:0"),
            ("KUBECONFIG", kubeconfig.to_str().unwrap()),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self(command().envs(settings).spawn().unwrap())
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }

    /// The agent: a child that has become `hotbay-agent run`, other than `old`.
    fn agent(&self, old: Option<i32>) -> i32 {
        until("the supervisor has a new child", || {
            let (pid, children) = (self.pid(), format!("/proc/{0}/task/{0}/children", self.pid()));
            let children = std::fs::read_to_string(children).unwrap_or_else(|error| panic!("{pid}: {error}"));
            let child = children.split_whitespace().next()?.parse().ok()?;
            let words = std::fs::read(format!("/proc/{child}/cmdline")).ok()?;
            (Some(child) != old && words == b"hotbay-agent\0run\0").then_some(child)
        })
    }

    fn ended(&mut self) -> ExitStatus {
        until("the supervisor ends", || self.0.try_wait().unwrap())
    }
}

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hotbay-agent"));
    command.env_clear();
    command
}

fn send(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

#[test]
fn a_killed_agent_is_started_again_and_sigterm_ends_both() {
    let folder = tempfile::tempdir().unwrap();
    let mut supervisor = Supervisor::start(folder.path());
    let mut agent = supervisor.agent(None);
    for _ in 0..3 {
        send(agent, Signal::KILL);
        agent = supervisor.agent(Some(agent));
    }
    // The bay is opened after the signals are listened to: from then on SIGTERM is an order to end well.
    until("the agent opens the bay", || folder.path().join("bay").exists().then_some(()));
    send(supervisor.pid(), Signal::TERM);
    assert!(supervisor.ended().success(), "an agent that is asked to end does so with code 0");
    assert!(!Path::new(&format!("/proc/{agent}")).exists(), "the agent ended before its supervisor");
}

#[test]
fn an_agent_does_not_outlive_a_killed_supervisor() {
    let folder = tempfile::tempdir().unwrap();
    let mut supervisor = Supervisor::start(folder.path());
    let agent = supervisor.agent(None);
    send(supervisor.pid(), Signal::KILL);
    supervisor.ended();
    until("the agent is gone", || (!Path::new(&format!("/proc/{agent}/exe")).exists()).then_some(()));
}

#[test]
fn settings_that_are_missing_end_the_container_with_their_names() {
    let output = command().output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{words}");
    assert!(words.contains("--bay") && words.contains("--pod-uid"), "{words}");
}
