//! A whole check: what the file says, then every scenario in a child of its own.
//!
//! Owns the children: their begin, their deadline and what their end means.

use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hotbay_artifact::{ModuleFacts, check_anywhere};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::limits::Hook;
use crate::report::{self, Finding, Said};
use crate::{Rule, Scenario, crash};

/// What is checked, and how patiently.
#[derive(Clone, Debug)]
pub struct Options {
    /// Only this handler; otherwise all of them.
    pub handler: Option<u32>,
    /// Only these scenarios; none: all of them.
    pub scenarios: Vec<String>,
    /// The instances' config.
    pub config: String,
    /// The config of instances beside the first; otherwise the same.
    pub other_config: Option<String>,
    /// What requests with a body have in it.
    pub body: String,
    /// Values of path parameters, as `NAME=VALUE`; others are made up.
    pub params: Vec<String>,
    /// How long a call may be pending without a wake.
    pub patience: Duration,
    /// How long a scenario may take.
    pub deadline: Duration,
    /// Ends with the first scenario in which a rule is broken.
    pub first_only: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            handler: None,
            scenarios: Vec::new(),
            config: "{}".to_owned(),
            other_config: None,
            body: "hotbay".to_owned(),
            params: Vec::new(),
            patience: Duration::from_secs(5),
            // Longer than the 30 s for which the header has an instance pending.
            deadline: Duration::from_secs(40),
            first_only: false,
        }
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// Where something was found, and what.
    pub findings: Vec<(String, Finding)>,
    /// How many scenarios were played.
    pub scenarios: usize,
}

impl Report {
    /// The rules that are broken.
    pub fn broken(&self) -> Vec<Rule> {
        self.rules(true)
    }

    /// The rules about which there is something to say although they are kept.
    pub fn remarked(&self) -> Vec<Rule> {
        self.rules(false)
    }

    fn rules(&self, broken: bool) -> Vec<Rule> {
        let found = self.findings.iter().filter(|(_, finding)| finding.broken == broken);
        let mut rules: Vec<Rule> = found.map(|(_, finding)| finding.rule).collect();
        rules.sort();
        rules.dedup();
        rules
    }

    fn found(&mut self, place: &str, findings: impl IntoIterator<Item = Finding>) {
        for finding in findings {
            // What happens with each handler is told once.
            if !self.findings.iter().any(|(_, known)| *known == finding) {
                self.findings.push((place.to_owned(), finding));
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (broken, remarked) = (self.broken(), self.remarked());
        for rule in Rule::ALL {
            let state = match rule {
                _ if broken.contains(rule) => "BROKEN",
                _ if remarked.contains(rule) => "note",
                _ => "ok",
            };
            writeln!(out, "  {state:<7} {:<11} {}", rule.id(), rule.sentence())?;
            for (place, finding) in self.findings.iter().filter(|(_, finding)| finding.rule == *rule) {
                writeln!(out, "                      {place}: {}", finding.words)?;
            }
        }
        let verdict = if broken.is_empty() { "keeps the rules" } else { "BREAKS rules" };
        write!(out, "  the module {verdict}, in {} scenarios", self.scenarios)
    }
}

/// Checks a module. `program` is `hotbay-conformance`, of which the children are made.
///
/// # Errors
/// When the file cannot be read, or a child not be started.
pub fn check(program: &Path, file: &Path, options: &Options) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let bytes = std::fs::read(file).with_context(|| format!("failed to read {}", file.display()))?;
    let facts = match ModuleFacts::read(&bytes) {
        Ok(facts) => facts,
        Err(error) => {
            let rule = if matches!(error, hotbay_artifact::ElfError::MissingSymbol) {
                Rule::Symbols
            } else {
                Rule::Notes
            };
            let source =
                std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
            report.found("file", [broken(rule, format!("{error}{source}"))]);
            return Ok(report);
        }
    };
    report.found("file", of_the_file(&facts));
    if !report.broken().is_empty() && options.first_only {
        return Ok(report);
    }
    for scenario in Scenario::all() {
        if !options.scenarios.is_empty() && !options.scenarios.iter().any(|name| name == scenario.name) {
            continue;
        }
        let all = if scenario.has_calls() { facts.manifest.handlers.len() as u32 } else { 1 };
        for handler in (0..all)
            .filter(|handler| options.handler.is_none_or(|only| only == *handler || !scenario.has_calls()))
        {
            let place = if all > 1 {
                format!("{}, handler {handler}", scenario.name)
            } else {
                scenario.name.to_owned()
            };
            report.found(&place, played(program, file, scenario, handler, options)?);
            report.scenarios += 1;
            if !report.broken().is_empty() && options.first_only {
                return Ok(report);
            }
        }
    }
    Ok(report)
}

fn broken(rule: Rule, words: String) -> Finding {
    Finding { rule, broken: true, words }
}

fn of_the_file(facts: &ModuleFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Err(error) = check_anywhere(facts) {
        let rule = if facts.static_tls { Rule::Loads } else { Rule::Notes };
        findings.push(broken(rule, error.to_string()));
    }
    if let Some(size) = facts.odd_name_size {
        let words = format!(
            "a note has name_size {size}; the header has 7, \"Hotbay\" and one NUL, before the padding to 8"
        );
        findings.push(broken(Rule::Notes, words));
    }
    let others: Vec<&str> =
        facts.exports.iter().map(String::as_str).filter(|name| *name != "hotbay_module_v1").collect();
    if !others.is_empty() {
        findings.push(broken(Rule::Symbols, format!("it also exports {}", others.join(", "))));
    }
    findings
}

/// Plays one scenario in a child.
fn played(
    program: &Path,
    file: &Path,
    scenario: &Scenario,
    handler: u32,
    options: &Options,
) -> anyhow::Result<Vec<Finding>> {
    let said = tempfile::NamedTempFile::new().context("failed to make a file for a child's words")?;
    let mut child = spawn(program, file, scenario, handler, options, said.path())
        .with_context(|| format!("failed to start {}", program.display()))?;
    let status = ended(&mut child, options.deadline).context("failed to wait for a child")?;
    let text = std::fs::read(said.path()).context("failed to read a child's words")?;
    let said = report::read(&String::from_utf8_lossy(&text));
    if let Some(words) = said.failed {
        anyhow::bail!("a scenario could not be played: {words}");
    }
    Ok(judged(said, status, options.deadline))
}

fn spawn(
    program: &Path,
    file: &Path,
    scenario: &Scenario,
    handler: u32,
    options: &Options,
    said: &Path,
) -> io::Result<Child> {
    let mut child = Command::new(program);
    child.arg("child").arg(file).args(["--scenario", scenario.name, "--handler", &handler.to_string()]);
    child.args(["--config", &options.config, "--body", &options.body]);
    child.args(["--other-config", options.other_config.as_ref().unwrap_or(&options.config)]);
    child.args(["--patience", &options.patience.as_millis().to_string()]).arg("--report").arg(said);
    options.params.iter().for_each(|param| {
        child.args(["--param", param]);
    });
    child.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

/// Waits for a child; `None`: it had to be killed.
fn ended(child: &mut Child, deadline: Duration) -> io::Result<Option<ExitStatus>> {
    let pid = Pid::from_child(child);
    let ends = pidfd_open(pid, PidfdFlags::empty())?;
    let until = Instant::now() + deadline;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&ends, PollFlags::IN)], Some(&timeout)) {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(0) => {
                child.kill()?;
                child.wait()?;
                return Ok(None);
            }
            Ok(_) => return child.wait().map(Some),
        }
    }
}

/// What a child said, and what its end adds to that.
fn judged(said: Said, status: Option<ExitStatus>, deadline: Duration) -> Vec<Finding> {
    let Said { mut findings, doing, done, failed: _ } = said;
    let told = findings.iter_mut().rfind(|finding| finding.broken && !done);
    match status {
        None => {
            let advice = Hook::named(&doing).map(|hook| format!("; {}", hook.advice())).unwrap_or_default();
            let words =
                format!("{doing} had not returned when the {deadline:?} of the scenario were over{advice}");
            findings.push(broken(Rule::Returns, words));
        }
        Some(status) if done && status.success() => {}
        // The signal handler ends with this code, and has said why.
        Some(status) if status.code() == Some(crash::CODE) && told.is_some() => {
            if let Some(last) = told {
                last.words = format!("{} in {doing}", last.words);
            }
        }
        Some(status) => {
            let how =
                status.signal().map_or_else(|| format!("{status}"), |signal| format!("signal {signal}"));
            findings.push(broken(Rule::Crash, format!("the process ended in {doing}: {how}")));
        }
    }
    findings
}
