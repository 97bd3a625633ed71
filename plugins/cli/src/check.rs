//! `hotbay check`: every check that a runtime makes before it serves a module, one line each.
//!
//! Owns the order and the layout. What is checked and in which words is the runtime's own: the ELF checks, the probe in a child of its own, and the
//! operator's validation of a spec. Must not load the module into this process.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use bytes::Bytes;
use hotbay_api::{Digest, HandlerModule, PoolLimits, Reason, chain};
use hotbay_artifact::check::Aspect;
use hotbay_artifact::{Host, ModuleFacts, host};
use hotbay_bay::{Stage, Writer, copy_blob};
use hotbay_keeper::ProbeOutcome;
use hotbay_pipeline::{Artifact, Build, Inspected, Refusal, inspect, validate};

use crate::module;
use crate::push::too_large;
use crate::run::yaml;

/// Which module.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The module.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// HandlerModules whose routes and config must fit the module.
    #[arg(long = "for", value_name = "YAML")]
    wanted: Option<PathBuf>,
}

/// How often a probe is begun that does not end in time; a runtime tries for ever.
const TRIES: usize = 3;

/// What came of one check.
enum Finding {
    Holds(String),
    Fails(Reason, String),
    /// What came before failed.
    NotTried,
}

/// Prints what came of each check, in the order in which a runtime makes them. The exit code is 0 if all hold.
///
/// # Errors
/// When a file cannot be read, or the probe cannot be started.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { file, wanted } = args;
    let bytes = module::bytes(&file)?;
    let modules = wanted.as_deref().map(modules_in).transpose()?.unwrap_or_default();
    println!("{}", file.display());
    let facts = match ModuleFacts::read(&bytes) {
        Ok(facts) => facts,
        Err(error) => {
            told("module", &Finding::Fails(error.reason(), chain(&error)));
            return Ok(ExitCode::FAILURE);
        }
    };
    let mut holds = told("module", &says(&facts));
    let machine = Host::current();
    for aspect in Aspect::ALL {
        holds &= told(name(aspect), &fits(aspect, &facts, &machine));
    }
    holds &= told("size", &size(bytes.len() as u64));
    holds &= told("probe", &if holds { probe(&bytes)? } else { Finding::NotTried });
    if !modules.is_empty() {
        let inspected = inspect(&artifact(&file, bytes));
        for wanted in &modules {
            holds &= told(wanted.metadata.name.as_deref().unwrap_or("spec"), &spec(wanted, &inspected));
        }
    }
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints a line; whether the check holds.
fn told(what: &str, finding: &Finding) -> bool {
    match finding {
        Finding::Holds(how) => println!("  ok      {what:<10} {how}"),
        Finding::NotTried => println!("  -       {what:<10} not tried, for what failed"),
        Finding::Fails(reason, message) => {
            println!("  FAILED  {what:<10} {reason}: {message}");
            if let Some(known) = reason.explanation() {
                println!("                     what to do: {}", known.remedy);
            }
        }
    }
    matches!(finding, Finding::Holds(_))
}

fn says(facts: &ModuleFacts) -> Finding {
    let manifest = &facts.manifest;
    let handlers: Vec<&str> = manifest.handlers.iter().map(|handler| &*handler.name).collect();
    Finding::Holds(format!("{} {}: {}", manifest.name, manifest.version, handlers.join(", ")))
}

fn name(aspect: Aspect) -> &'static str {
    match aspect {
        Aspect::Platform => "platform",
        Aspect::Abi => "abi",
        Aspect::Libc => "libc",
        Aspect::Libraries => "libraries",
        Aspect::Tls => "tls",
    }
}

fn fits(aspect: Aspect, facts: &ModuleFacts, machine: &Host) -> Finding {
    if let Err(error) = aspect.check(facts, machine, &host::library_exists) {
        return Finding::Fails(error.reason(), error.to_string());
    }
    Finding::Holds(match aspect {
        Aspect::Platform => facts.platform.to_string(),
        Aspect::Abi => format!("{}.{}", facts.abi.major, facts.abi.minor),
        Aspect::Libc => {
            facts.min_glibc.map_or_else(|| "any".to_owned(), |version| format!("glibc {version} or newer"))
        }
        Aspect::Libraries if facts.needed.is_empty() => "none".to_owned(),
        Aspect::Libraries => facts.needed.join(", "),
        Aspect::Tls => "no static thread-local storage".to_owned(),
    })
}

fn size(bytes: u64) -> Finding {
    let limit = PoolLimits::default().max_artifact_size;
    match too_large(bytes) {
        Some(words) => Finding::Fails(Reason::TooLarge, words),
        None => Finding::Holds(format!("{bytes} bytes; a pool takes {limit} by default")),
    }
}

/// Loads the module in a child, as a keeper does: from a private stage.
fn probe(bytes: &[u8]) -> anyhow::Result<Finding> {
    let folder = tempfile::tempdir().context("failed to make a private folder")?;
    let digest = Digest::of(bytes);
    let bay = Writer::new(folder.path().join("bay"))?;
    bay.put_blob(&digest, bytes)?;
    let stage = Stage::open(folder.path().join("stage"))?;
    let path = copy_blob(bay.path(), &digest, bytes.len() as u64, &stage)?;
    let program = std::env::current_exe().context("failed to find this program's own file")?;
    let command: [OsString; 3] = [program.into(), "runtime".into(), "probe".into()];
    let begin = Instant::now();
    let probe = || hotbay_keeper::probe(&command, digest, &path).context("failed to start the probe");
    let mut outcome = probe()?;
    for _ in 1..TRIES {
        // It may be the machine that has no time.
        if outcome == ProbeOutcome::TimedOut {
            outcome = probe()?;
        }
    }
    Ok(match outcome {
        ProbeOutcome::Passed => Finding::Holds(format!("loads, in {} ms", begin.elapsed().as_millis())),
        ProbeOutcome::Refused { reason, message } => Finding::Fails(reason, message),
        ProbeOutcome::Crashed { message } => Finding::Fails(Reason::ProbeCrashed, message),
        ProbeOutcome::TimedOut => {
            Finding::Fails(Reason::ProbeTimeout, "loading it did not end in time".to_owned())
        }
    })
}

fn modules_in(path: &Path) -> anyhow::Result<Vec<HandlerModule>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
    let modules = yaml::parse(path, &text)?.modules;
    anyhow::ensure!(!modules.is_empty(), "{} holds no HandlerModule", path.display());
    Ok(modules)
}

/// The file as if it had been pushed alone.
fn artifact(file: &Path, bytes: Bytes) -> Artifact {
    let digest = Digest::of(&bytes);
    let builds = vec![Build { platform: None, digest, bytes }];
    Artifact { reference: file.display().to_string(), digest, builds }
}

fn spec(wanted: &HandlerModule, inspected: &Result<Inspected, Refusal>) -> Finding {
    match inspected.clone().and_then(|inspected| validate(&wanted.spec, &inspected)) {
        Ok(valid) => {
            let routes: Vec<String> = valid.routes.iter().map(|route| route.path.to_string()).collect();
            Finding::Holds(format!("routes and config fit: {}", routes.join(", ")))
        }
        Err(refusal) => Finding::Fails(refusal.reason, refusal.message),
    }
}
