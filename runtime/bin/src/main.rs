//! `hotbay-runtime keeper | engine | probe`.

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The Hotbay runtime: serves the modules of a bay.
#[derive(Debug, Parser)]
#[command(name = "hotbay-runtime", version)]
struct Cli {
    #[command(subcommand)]
    role: hotbay_runtime::Role,
}

fn main() -> anyhow::Result<ExitCode> {
    hotbay_runtime::run(Cli::parse().role, &[])
}
