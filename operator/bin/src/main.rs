//! The Hotbay operator: reconciles HandlerModules into entries, and pods' reports into status.
//!
//! ```text
//! watches ──► index (one task, all decisions, keyed by pool) ──► look-ups (registry)
//!    ▲                                                      └──► writes (API server)
//!    └──────────────── what came of them ◄───────────────────────────┘
//! ```
//! Owns nothing but the start: settings, logs, and who is told to stop. It never loads a module.

mod args;
mod blobs;
mod controller;
mod events;
mod health;
mod index;
mod look_up;
mod metrics;
mod objects;
mod serve;
mod shared_source;
mod watch;
mod write;

use std::process::ExitCode;

use clap::Parser;
use hotbay_logs::Level;

use crate::args::Args;

fn main() -> ExitCode {
    let args = Args::parse();
    let level = hotbay_logs::json(&args.log, std::io::stdout);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        arch = std::env::consts::ARCH,
        "hotbay-operator starts"
    );
    match run(args, level) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "hotbay-operator ends");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(args: Args, level: Level) -> anyhow::Result<()> {
    controller::run(args, level).await
}
