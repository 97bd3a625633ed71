//! hotbay-agent: the sidecar that fills a runtime pod's bay and reports back.
//!
//! | started as | is |
//! | --- | --- |
//! | `hotbay-agent` | the container's first process, which starts the other and starts it again when it dies |
//! | `hotbay-agent run` | the agent itself |

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use hotbay_agent::{Settings, supervise};
use hotbay_sys::signals;

/// Fills a runtime pod's bay from the cluster and reports back. Without a command it runs the agent as its child, and again when that dies.
#[derive(Parser)]
#[command(name = "hotbay-agent", version)]
struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Subcommand)]
enum Verb {
    /// The agent itself.
    Run(Box<Settings>),
}

fn main() -> anyhow::Result<ExitCode> {
    match Args::parse().verb {
        Some(Verb::Run(settings)) => run(*settings).map(|()| ExitCode::SUCCESS),
        None => supervise(agent).context("the agent's supervisor ended"),
    }
}

/// This program again, by a way that also holds after its file was replaced.
fn agent() -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("hotbay-agent").arg("run");
    command
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn run(settings: Settings) -> anyhow::Result<()> {
    let level = hotbay_logs::json(&settings.log, std::io::stderr);
    let following = level.follow_signals();
    // The supervisor has them wait until now: without their handlers they would have ended us. This thread lives as long as the process.
    signals::unblock(&[signals::USER_1, signals::USER_2]).context("failed to unblock log signals")?;
    tokio::select! {
        ended = hotbay_agent::run(settings) => ended,
        ended = following => ended.context("following log signals ended"),
    }
}
