//! The Hotbay operator: reconciles HandlerModules into entries, and pods' reports into status.
//!
//! ```text
//! watches ──► index (one task, all decisions, keyed by pool) ──► look-ups (registry)
//!    ▲                                                      └──► writes (API server)
//!    └──────────────── what came of them ◄───────────────────────────┘
//! ```
//! Owns nothing but the start: settings, logs, and who is told to stop. It never loads a module.

mod args;
mod controller;
mod health;
mod index;
mod look_up;
mod objects;
mod shared_source;
mod watch;
mod write;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::args::Args;

fn main() -> ExitCode {
    let args = Args::parse();
    // A bad filter must not silence the log: it falls back, and says so.
    let (filter, complaint) = match EnvFilter::try_new(&args.log) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(filter).init();
    if let Some(error) = complaint {
        tracing::warn!(%error, setting = "HOTBAY_LOG", "the log filter is not valid; info is used");
    }
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        arch = std::env::consts::ARCH,
        "hotbay-operator starts"
    );
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "hotbay-operator ends");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(args: Args) -> anyhow::Result<()> {
    controller::run(args).await
}
