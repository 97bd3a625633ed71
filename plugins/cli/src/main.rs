//! `hotbay`: modules from a laptop.
//!
//! Owns the command line. Each command is a module of its own.

mod ansi;
mod build;
mod check;
mod dev;
mod explain;
mod failure;
mod inspect;
mod module;
mod new;
mod out;
mod project;
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
    /// Make a module's project, in a new folder.
    New(new::Args),
    /// Build a module for release, for each platform that is asked for.
    Build(build::Args),
    /// Serve a module's project, and build it again whenever it is saved.
    Dev(dev::Args),
    /// Serve modules from HandlerModule YAML, `.so` files and folders of them, and follow every change.
    Run(run::Args),
    /// Push a module to a registry (or an image layout, as oci:DIR:NAME).
    Push(push::Args),
    /// Show what a module is, from a file or a registry, without running it.
    Inspect(inspect::Args),
    /// Run every check that a runtime makes on a module, loading it included, and say what to do about each that fails.
    Check(check::Args),
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
        if error.is::<out::Closed>() {
            return out::Closed::exit_code();
        }
        out::say(failure::words(&error));
        ExitCode::FAILURE
    })
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::New(args) => new::run(args).map(|()| ExitCode::SUCCESS),
        Command::Build(args) => build::run(args),
        Command::Dev(args) => dev::run(args),
        Command::Run(args) => run::run(args),
        Command::Push(args) => push::run(args).map(|()| ExitCode::SUCCESS),
        Command::Inspect(args) => inspect::run(args).map(|()| ExitCode::SUCCESS),
        Command::Check(args) => check::run(args),
        Command::Explain(args) => explain::run(args).map(|()| ExitCode::SUCCESS),
        Command::Runtime { role } => hotbay_runtime::run(role, &["runtime"]),
    }
}
