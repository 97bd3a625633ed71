//! `hotbay-conformance FILE.so`: does a module keep the rules of the ABI?

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use hotbay_conformance::cases::Wrong;
use hotbay_conformance::{Options, Scenario, check, child, kit};

/// Runs a module against a mock host, one scenario a process, and says which rules of the ABI it breaks.
///
/// Exit code 0: it keeps them; 1: it does not; 2: it could not be tried.
#[derive(Debug, Parser)]
#[command(name = "hotbay-conformance", version, args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    part: Option<Part>,
    /// The module.
    #[arg(value_name = "FILE", required = true)]
    file: Option<PathBuf>,
    /// Only the handler with this index.
    #[arg(long)]
    handler: Option<u32>,
    /// Only this scenario; may be given several times. --list names them.
    #[arg(long, value_name = "NAME")]
    scenario: Vec<String>,
    /// The config of the instances.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    config: String,
    /// The config of instances that stand beside the first: with one that leads to other answers, what instances share is seen.
    #[arg(long, value_name = "JSON")]
    other_config: Option<String>,
    /// The body that is sent.
    #[arg(long, value_name = "TEXT", default_value = "hotbay")]
    body: String,
    /// The value of a path parameter; may be given several times.
    #[arg(long, value_name = "NAME=VALUE")]
    param: Vec<String>,
    /// Seconds that a call may be pending without a wake.
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    patience: u64,
    /// Names the scenarios.
    #[arg(long, exclusive = true)]
    list: bool,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Plays one scenario in this process.
    #[command(hide = true)]
    Child(child::Task),
    /// Builds the modules of this kit that keep the rules, and sees whether they are said to: scripts/sanitize runs it.
    #[command(hide = true)]
    Kit,
}

/// Whether it keeps the rules (0), breaks one (1), or could not be tried (2).
fn main() -> ExitCode {
    run(Args::parse()).unwrap_or_else(|error| {
        eprintln!("hotbay-conformance: {error:#}");
        ExitCode::from(2)
    })
}

fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { part, file, handler, scenario, config, other_config, body, param, patience, list } = args;
    match part {
        Some(Part::Child(task)) => {
            child::run(&task)?;
            return Ok(ExitCode::SUCCESS);
        }
        Some(Part::Kit) => return kit_is_right(),
        None => {}
    }
    if list {
        for scenario in Scenario::all() {
            println!("{:<16} {}", scenario.name, scenario.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(unknown) = scenario.iter().find(|name| Scenario::named(name).is_none()) {
        anyhow::bail!("there is no scenario {unknown:?}; --list names them");
    }
    let file = file.context("which module?")?;
    let program = this_program()?;
    let options = Options {
        handler,
        scenarios: scenario,
        config,
        other_config,
        body,
        params: param,
        patience: Duration::from_secs(patience),
        ..Options::default()
    };
    let report = check(&program, &file, &options)?;
    println!("{}\n{report}", file.display());
    Ok(if report.broken().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn this_program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("failed to find this program's own file")
}

fn kit_is_right() -> anyhow::Result<ExitCode> {
    let (wrong, all) = kit::misjudged(&this_program()?, |case| !matches!(case.wrong, Wrong::Breaks(_)))?;
    wrong.iter().for_each(|words| println!("{words}\n"));
    println!("{} of {all} modules were judged as they deserve", all - wrong.len());
    Ok(if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
