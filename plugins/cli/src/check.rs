//! `hotbay check`: every check that a runtime makes before it serves a module, one line each.
//!
//! Owns the order. What is checked and in which words is the runtime's own: the ELF checks, the probe in a child of its own, the operator's validation of
//! a spec, and a runtime that makes an instance and ends it. Must not load the module into this process.

mod finding;
mod wanted;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use bytes::Bytes;
use hotbay_api::names::ENTRY_SYMBOL;
use hotbay_api::{
    Digest, HandlerModule, HandlerModuleSpec, ModuleSource, OciSource, PoolLimits, Reason, chain, names,
};
use hotbay_artifact::check::Aspect;
use hotbay_artifact::{Host, ModuleFacts, host};
use hotbay_bay::{Stage, Writer, copy_blob};
use hotbay_keeper::ProbeOutcome;
use hotbay_pipeline::{Artifact, Build, Inspected, Refusal, check_schema, inspect, validate};
use serde_json::{Value, json};

use crate::push::too_large;
use crate::run::trial::{Stop, Trial, trial};
use crate::{module, out};
use finding::{Finding, Told};
use wanted::Wanted;

/// Which module.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The module.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// HandlerModules whose routes and config must fit the module; those for other modules, by their repository, are passed over.
    #[arg(long = "for", value_name = "YAML")]
    wanted: Option<PathBuf>,
    /// Print JSON, for programs.
    #[arg(long)]
    json: bool,
}

/// How often a probe is begun that does not end in time; a runtime tries for ever.
const TRIES: usize = 3;
/// What to do about an instance that does not end well.
const STOP_REMEDY: &str = "End in `stop` what `create` began: threads, connections, files. What has not ended after 10 s is left behind.";

/// Prints what came of each check, in the order in which a runtime makes them. The exit code is 0 if all hold; warnings do not count.
///
/// # Errors
/// When a file cannot be read, or the module's processes cannot be started.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { file, wanted, json } = args;
    let bytes = module::bytes(&file)?;
    let modules = wanted.as_deref().map(wanted::read).transpose()?.unwrap_or_default();
    if !json {
        out::line(file.display())?;
    }
    let mut told = Told::new(json);
    check(&file, &bytes, modules, &mut told)?;
    let holds = told.holds();
    told.end(json!({"file": file, "digest": Digest::of(&bytes), "hotbay": env!("CARGO_PKG_VERSION")}))?;
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn check(file: &Path, bytes: &Bytes, modules: Vec<HandlerModule>, told: &mut Told) -> anyhow::Result<()> {
    let facts = match ModuleFacts::read(bytes) {
        Ok(facts) => facts,
        Err(error) => {
            told.tell("module", &Finding::fails(error.reason(), chain(&error)))?;
            return Ok(());
        }
    };
    let Wanted { own, others } = wanted::tell_apart(modules, &facts.manifest.name)?;
    still(&facts, bytes, told)?;
    let probed = if told.holds() { probe(bytes)? } else { for_what_failed() };
    told.tell("probe", &probed)?;
    let loads = told.holds();
    let inspected = inspect(&artifact(file, bytes.clone()));
    if own.is_empty() {
        alone(&plain_module(file, &facts), &inspected, bytes, loads, told)?;
    }
    for wanted in &own {
        let validated = validated(wanted, &inspected);
        told.tell(name_of(wanted), &spec(&validated))?;
        if loads && validated.is_ok() {
            start(wanted, bytes, told)?;
        }
    }
    for other in &others {
        let why = format!("it is for another module: {}", wanted::repository(other));
        told.tell(name_of(other), &Finding::NotTried(why))?;
    }
    Ok(())
}

fn for_what_failed() -> Finding {
    Finding::NotTried("for what failed".to_owned())
}

fn name_of(wanted: &HandlerModule) -> &str {
    wanted.metadata.name.as_deref().unwrap_or("spec")
}

/// What is read and never run.
fn still(facts: &ModuleFacts, bytes: &Bytes, told: &mut Told) -> anyhow::Result<()> {
    told.tell("module", &says(facts))?;
    let machine = Host::current();
    for aspect in Aspect::ALL {
        told.tell(name(aspect), &fits(aspect, facts, &machine))?;
    }
    told.tell("symbols", &symbols(facts))?;
    told.tell("config", &config(facts))?;
    told.tell("size", &size(bytes.len() as u64))
}

/// Starts the module with every default, where nobody says how it is to be served.
fn alone(
    plain: &HandlerModule,
    inspected: &Result<Inspected, Refusal>,
    bytes: &Bytes,
    loads: bool,
    told: &mut Told,
) -> anyhow::Result<()> {
    match validated(plain, inspected) {
        _ if !loads => told.tell("start", &for_what_failed()),
        Ok(_) => start(plain, bytes, told),
        Err(refusal) => {
            let why =
                format!("with no routes and no config: {refusal}; name what is to be served with --for");
            told.tell("start", &Finding::NotTried(why))
        }
    }
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
        return Finding::fails(error.reason(), error.to_string());
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

/// A runtime loads such a module all the same: its symbols are its own. A tool that loads it otherwise may mix them up.
fn symbols(facts: &ModuleFacts) -> Finding {
    let others: Vec<&str> =
        facts.exports.iter().map(String::as_str).filter(|name| *name != ENTRY_SYMBOL).collect();
    if others.is_empty() {
        return Finding::Holds(format!("{ENTRY_SYMBOL} alone"));
    }
    Finding::Warns(
        format!("it exports {} beside {ENTRY_SYMBOL}", others.join(", ")),
        "Hide them: in C and C++ with -fvisibility=hidden and -Wl,--exclude-libs,ALL, in Rust without #[no_mangle]; `hotbay build` insists on it."
            .to_owned(),
    )
}

/// The schema itself: one that is none would be refused only when somebody gives the module a config.
fn config(facts: &ModuleFacts) -> Finding {
    let Some(schema) = &facts.manifest.config_schema else {
        return Finding::Holds("any: the manifest has no schema".to_owned());
    };
    if let Err(refusal) = check_schema(schema) {
        return Finding::fails(refusal.reason, refusal.message);
    }
    let fields = schema.get("properties").and_then(Value::as_object);
    let names: Vec<&str> = fields.into_iter().flat_map(|fields| fields.keys().map(String::as_str)).collect();
    Finding::Holds(if names.is_empty() { "by a schema".to_owned() } else { names.join(", ") })
}

fn size(bytes: u64) -> Finding {
    let limit = PoolLimits::default().max_artifact_size;
    match too_large(bytes) {
        Some(words) => Finding::fails(Reason::TooLarge, words),
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
        ProbeOutcome::Refused { reason, message } => Finding::fails(reason, message),
        ProbeOutcome::Crashed { message } => Finding::fails(Reason::ProbeCrashed, message),
        ProbeOutcome::TimedOut => Finding::fails(Reason::ProbeTimeout, "loading it did not end in time"),
    })
}

/// Has a runtime of its own make an instance, and end it.
fn start(wanted: &HandlerModule, bytes: &Bytes, told: &mut Told) -> anyhow::Result<()> {
    let Trial { started, stopped } = trial(wanted, bytes)?;
    let serves = started.is_ok();
    let start = match started {
        Ok(took) => Finding::Holds(format!("a runtime of its own serves it, in {} ms", took.as_millis())),
        Err(trouble) => Finding::Fails(trouble),
    };
    told.tell("start", &start)?;
    if serves {
        let stop = match stopped {
            Stop::Ended(took) => Finding::Holds(format!("ends in {} ms", took.as_millis())),
            Stop::Badly(words) => Finding::Warns(words, STOP_REMEDY.to_owned()),
            Stop::Crashed(words) => Finding::fails(Reason::Crashed, words),
        };
        told.tell("stop", &stop)?;
    }
    Ok(())
}

/// The module with every default.
fn plain_module(file: &Path, facts: &ModuleFacts) -> HandlerModule {
    let reference = file.display().to_string();
    let source = ModuleSource { oci: Some(OciSource { reference }) };
    let name = if names::is_dns_label(&facts.manifest.name) { &*facts.manifest.name } else { "module" };
    let mut module = HandlerModule::new(name, HandlerModuleSpec { source, ..HandlerModuleSpec::default() });
    module.metadata.namespace = Some(names::LOCAL_NAMESPACE.to_owned());
    module
}

/// The file as if it had been pushed alone.
fn artifact(file: &Path, bytes: Bytes) -> Artifact {
    let digest = Digest::of(&bytes);
    let builds = vec![Build { platform: None, digest, bytes }];
    Artifact { reference: file.display().to_string(), digest, builds }
}

/// The routes, if spec and module fit.
fn validated(wanted: &HandlerModule, inspected: &Result<Inspected, Refusal>) -> Result<Vec<String>, Refusal> {
    let valid = inspected.clone().and_then(|inspected| validate(&wanted.spec, &inspected))?;
    Ok(valid.routes.iter().map(|route| route.path.to_string()).collect())
}

fn spec(validated: &Result<Vec<String>, Refusal>) -> Finding {
    match validated {
        Ok(routes) => Finding::Holds(format!("routes and config fit: {}", routes.join(", "))),
        Err(refusal) => Finding::fails(refusal.reason.clone(), refusal.message.clone()),
    }
}
