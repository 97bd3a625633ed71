//! `hotbay`: modules from a laptop.
//!
//! Owns the command line. Each command is a module of its own.

mod explain;
mod failure;
mod inspect;
mod push;
mod reference;
mod run;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Compiled functions as live HTTP endpoints.
#[derive(Debug, Parser)]
#[command(name = "hotbay", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve modules from HandlerModule YAML, `.so` files and folders of them, and follow every change.
    Run(run::Args),
    /// Push a module to a registry (or an image layout, as oci:DIR:NAME).
    Push(push::Args),
    /// Show what a module is, from a file or a registry, without running it.
    Inspect(inspect::Args),
    /// Say what a reason means, what to do, and whether waiting helps.
    Explain(explain::Args),
    /// The runtime's own roles, so that one binary is a whole laptop.
    #[command(hide = true)]
    Runtime {
        #[command(subcommand)]
        role: hotbay_runtime::Role,
    },
}

fn main() -> ExitCode {
    run(Cli::parse().command).unwrap_or_else(|error| {
        eprintln!("{}", failure::words(&error));
        ExitCode::FAILURE
    })
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(args) => run::run(args),
        Command::Push(args) => push::run(args).map(|()| ExitCode::SUCCESS),
        Command::Inspect(args) => inspect::run(args).map(|()| ExitCode::SUCCESS),
        Command::Explain(args) => explain::run(args).map(|()| ExitCode::SUCCESS),
        Command::Runtime { role } => hotbay_runtime::run(role, &["runtime"]),
    }
}
