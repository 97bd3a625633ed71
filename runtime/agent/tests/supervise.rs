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
        let log = std::fs::File::create(folder.join("log")).unwrap();
        Self(command().envs(settings).stderr(log).spawn().unwrap())
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }

    /// The agent: a child that has become `hotbay-agent run`, other than `old`.
    fn agent(&self, old: Option<i32>) -> i32 {
        until("the supervisor has a new child", || {
            let child = self.children().split_whitespace().next()?.parse().ok()?;
            let words = std::fs::read(format!("/proc/{child}/cmdline")).ok()?;
            (Some(child) != old && words == b"hotbay-agent\0run\0").then_some(child)
        })
    }

    /// The numbers of its children, from the first moment on.
    fn children(&self) -> String {
        let (pid, children) = (self.pid(), format!("/proc/{0}/task/{0}/children", self.pid()));
        std::fs::read_to_string(children).unwrap_or_else(|error| panic!("{pid}: {error}"))
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

/// Whether a process has a handler for a signal, by the kernel's word.
fn catches(pid: i32, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim();
    u64::from_str_radix(mask, 16).unwrap() & (1 << (signal.as_raw() - 1)) != 0
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
    // From then on SIGTERM is an order to end well. A bay that is there would say less: an agent that was killed may have made it.
    until("the agent listens to SIGTERM", || catches(agent, Signal::TERM).then_some(()));
    send(supervisor.pid(), Signal::TERM);
    assert!(supervisor.ended().success(), "an agent that is asked to end does so with code 0");
    assert!(!Path::new(&format!("/proc/{agent}")).exists(), "the agent ended before its supervisor");
}

#[test]
fn supervisor_and_agent_log_in_one_form_and_log_signals_reach_the_agent() {
    let folder = tempfile::tempdir().unwrap();
    let supervisor = Supervisor::start(folder.path());
    let agent = supervisor.agent(None);
    send(agent, Signal::KILL);
    let agent = supervisor.agent(Some(agent));
    until("the agent listens to SIGUSR1", || catches(agent, Signal::USR1).then_some(()));
    send(supervisor.pid(), Signal::USR1);
    let lines = until("the agent logs more", || {
        let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
        log.contains("what is logged changes").then_some(log)
    });
    let mut targets = Vec::new();
    for line in lines.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        for field in ["timestamp", "level", "message", "target"] {
            assert!(line[field].is_string(), "{field} of {line}");
        }
        targets.push(line["target"].as_str().unwrap().to_owned());
    }
    for target in ["hotbay_agent::supervise", "hotbay_agent::run"] {
        assert!(targets.iter().any(|known| known == target), "{target} is not in {targets:?}");
    }
}

#[test]
fn a_log_signal_that_comes_before_the_agent_listens_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let supervisor = Supervisor::start(folder.path());
    let deadline = Instant::now() + DEADLINE;
    // Without a pause: passed on as soon as there is an agent, it comes before any of the agent's own code.
    while supervisor.children().is_empty() {
        assert!(Instant::now() < deadline, "no agent within {DEADLINE:?}");
        std::thread::yield_now();
    }
    send(supervisor.pid(), Signal::USR1);
    let log = until("the agent was told or has ended", || {
        let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
        (log.contains("what is logged changes") || log.contains("the agent ended")).then_some(log)
    });
    assert!(!log.contains("the agent ended"), "{log}");
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
