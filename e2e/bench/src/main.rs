//! `make bench`: what Hotbay costs, in figures that can be had again.
//!
//! Owns the order of the sections, RESULTS.md, and the exit code: not 0 if a gate is missed. It measures the programs that are shipped, with
//! their default limits, and puts load on this host's loopback addresses only. Everything that it starts ends with it.

mod child;
mod cluster;
mod laptop;
mod machine;
mod report;
mod server;
mod stats;
mod wire;
mod wrk;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use report::Section;

/// Measures Hotbay as it is shipped.
#[derive(Debug, Parser)]
struct Cli {
    /// The folder of release builds.
    #[arg(long, default_value = "target/release")]
    programs: PathBuf,
    /// Where to write the results; by default nowhere. Those of the cluster alone go behind what is there.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Only what needs no cluster, or only what needs one: a cluster that runs beside would disturb the rest.
    #[arg(long, value_enum)]
    half: Option<Half>,
    /// Measure only these parts.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Few rounds: to try the machinery, not to learn anything.
    #[arg(long)]
    quick: bool,
}

/// Parts of the benchmark; all but the last two need no cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Instructions a request, beside the compiled-in handler: the gate.
    Instructions,
    /// Requests a second, beside the compiled-in handler and nginx.
    Throughput,
    /// What a function of the host costs a module.
    Calls,
    /// A gibibyte each way, beside the same Router compiled in.
    Streams,
    /// A file copied into the bay → 200.
    Copies,
    /// A save → 200, beside `cargo build`.
    Saves,
    /// Handovers, and deaths of engines.
    Handovers,
    /// p99 with a swap a second.
    Swaps,
    /// 10,000 config changes of one module.
    Changes,
    /// Memory of keeper, engine, module.
    Memory,
    /// 1,200 modules with threads and tokio.
    Many,
    /// apply → 200 on all pods.
    Rollouts,
    /// Requests to the API server, and memory in pods.
    Api,
}

/// Where parts are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Half {
    /// On this machine alone.
    Laptop,
    /// On a cluster.
    Cluster,
}

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Wanted {
    only: Vec<Part>,
    quick: bool,
}

impl Wanted {
    fn has(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

fn main() -> anyhow::Result<ExitCode> {
    let Cli { programs, out, half, only, quick } = Cli::parse();
    let wanted = Wanted { only, quick };
    let programs =
        programs.canonicalize().with_context(|| format!("failed to find {}", programs.display()))?;
    let shipped = server::Shipped::find(&programs)?;
    let machine = machine::describe(&std::env::current_dir()?);
    println!("{machine}\n");
    let mut sections = Vec::new();
    let mut done = |section: Section| {
        println!("{}", section.markdown());
        sections.push(section);
    };
    if half != Some(Half::Cluster) {
        laptop::run(&shipped, &wanted, &mut done)?;
    }
    if half != Some(Half::Laptop) {
        cluster::run(&shipped, &wanted, &mut done)?;
    }
    if let Some(out) = out {
        let before = match half {
            Some(Half::Cluster) => {
                fs::read_to_string(&out).with_context(|| format!("failed to read {}", out.display()))?
            }
            _ => format!("{HEAD}\n\n{machine}\n"),
        };
        write(&out, &before, &sections)?;
    }
    Ok(if sections.iter().any(Section::fails) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

const HEAD: &str = "# What Hotbay costs\n\nWritten by `make bench`; do not edit. A figure is a median with its exact 95 % interval (order statistics; \
                    Conover, Practical Nonparametric Statistics, 3.2) where it has several. A missed gate fails the benchmark; a missed aim is told.";

fn write(out: &Path, before: &str, sections: &[Section]) -> anyhow::Result<()> {
    let sections: Vec<String> = sections.iter().map(Section::markdown).collect();
    let text = format!("{before}\n{}", sections.join("\n"));
    fs::write(out, text).with_context(|| format!("failed to write {}", out.display()))
}
