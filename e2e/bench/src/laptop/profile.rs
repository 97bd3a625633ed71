//! Where the instructions of a request go, by function: what two lives differ by, of which one has twice as many requests.
//!
//! The shipped programs have no symbols, so the same sources are built once more in the profile `profiling`, which differs from `release` in that alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

use super::instructions::{callgrind, out_files};
use crate::server::{Hotbay, Shipped, Way};
use crate::wire::{Wire, request};

/// As in the figures: what two runs differ by.
const REQUESTS: u32 = 4000;
/// Functions to name.
const LINES: usize = 30;

/// Instructions by function.
type Costs = BTreeMap<String, i64>;

/// The functions that cost a request most, in lines for people.
pub fn measure(shipped: &Shipped, way: Way) -> anyhow::Result<String> {
    let shipped = with_symbols(shipped, way)?;
    let (once, twice) = (costs(&shipped, way, REQUESTS)?, costs(&shipped, way, 2 * REQUESTS)?);
    let sum = |costs: &Costs| costs.values().sum::<i64>();
    let more = |(thread, costs): &(&String, &Costs)| sum(costs) - once.get(*thread).map_or(0, sum);
    let (thread, worker) = twice.iter().max_by_key(more).context("callgrind wrote of some thread")?;
    Ok(compare(once.get(thread).unwrap_or(&Costs::new()), worker))
}

/// Of a whole life with so many requests in it, by thread.
fn costs(shipped: &Shipped, way: Way, requests: u32) -> anyhow::Result<BTreeMap<String, Costs>> {
    let folder = tempfile::tempdir()?;
    let hotbay = Hotbay::hello(shipped, way, &callgrind(folder.path()), Some(1))?;
    Wire::open(hotbay.server.address, request("/hello", 0))?.ask_often(requests)?;
    hotbay.into_server().running.stop()?;
    let files = out_files(folder.path(), " engine ")?;
    files.into_iter().map(|(thread, file)| Ok((thread, annotate(&file)?))).collect()
}

/// What a request costs, by function, the dearest first.
fn compare(once: &Costs, twice: &Costs) -> String {
    let more = |(name, cost): (&String, &i64)| (cost - once.get(name).unwrap_or(&0), name.clone());
    let mut costs: Vec<(i64, String)> = twice.iter().map(more).collect();
    costs.sort_by(|left, right| right.cmp(left));
    let total: i64 = costs.iter().map(|(cost, _)| cost).sum();
    let line = |(cost, name): &(i64, String)| format!("{:>6}  {name}", cost / i64::from(REQUESTS));
    let lines: Vec<String> = costs.iter().take(LINES).map(line).collect();
    format!("{:>6}  instructions a request, of which\n{}", total / i64::from(REQUESTS), lines.join("\n"))
}

fn with_symbols(shipped: &Shipped, way: Way) -> anyhow::Result<Shipped> {
    eprintln!("bench: building the runtime with symbols, for a profile ...");
    // Apart, so that none has the features of another.
    for package in ["hotbay-runtime", way.package()] {
        let status = Command::new("cargo")
            .args(["build", "--quiet", "--locked", "--profile", "profiling", "--package", package])
            .status()?;
        ensure!(status.success(), "cargo could not build {package} in the profile `profiling`");
    }
    let target =
        shipped.runtime.parent().and_then(Path::parent).context("the runtime is in a target folder")?;
    let file = |name: &str| target.join("profiling").join(name);
    Ok(Shipped { runtime: file("hotbay-runtime"), modules: target.join("profiling"), ..shipped.clone() })
}

fn annotate(file: &Path) -> anyhow::Result<Costs> {
    let mut command = Command::new("callgrind_annotate");
    let output =
        command.arg("--threshold=100").arg(file).output().context("failed to start callgrind_annotate")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut costs = Costs::new();
    for (name, cost) in text.lines().filter_map(function) {
        *costs.entry(name).or_default() += cost;
    }
    ensure!(output.status.success(), "callgrind_annotate: {}", String::from_utf8_lossy(&output.stderr));
    Ok(costs)
}

/// `1,234 ( 5.6%)  file:function [object]` without file and object.
fn function(line: &str) -> Option<(String, i64)> {
    let (cost, rest) = line.trim_start().split_once(" (")?;
    let (_share, rest) = rest.split_once("%)")?;
    let cost = cost.replace(',', "").parse().ok()?;
    let name = rest.trim().rsplit_once(" [").map_or(rest.trim(), |(name, _)| name);
    // A path has no space before its colon, and a function's own colons come in pairs.
    let name = name
        .split_once(':')
        .filter(|(file, rest)| !file.contains(' ') && !rest.starts_with(':'))
        .map_or(name, |(_, name)| name);
    Some((name.to_owned(), cost)).filter(|_| name != "PROGRAM TOTALS")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_loses_its_file_and_object() {
        let parse = " 1,234 ( 5.60%)  ???:hyper::proto::h1::parse [/x/hotbay-runtime]";
        assert_eq!(function(parse), Some(("hyper::proto::h1::parse".to_owned(), 1234)));
        let memcpy = "12 ( 0.10%)  ./string/../memmove.S:__memcpy [/lib/libc.so.6]";
        assert_eq!(function(memcpy), Some(("__memcpy".to_owned(), 12)));
        let method = "7 ( 0.10%)  <hyper::Server as http::Transaction>::parse [/x]";
        assert_eq!(function(method), Some(("<hyper::Server as http::Transaction>::parse".to_owned(), 7)));
        assert_eq!(function("100,000 (100.0%)  PROGRAM TOTALS"), None);
        assert_eq!(function("Ir"), None);
    }

    #[test]
    fn what_both_lives_have_is_no_requests_cost() {
        let costs =
            |start, request| Costs::from([("start".to_owned(), start), ("request".to_owned(), request)]);
        let text = compare(&costs(500, 4000 * 70), &costs(500, 8000 * 70));
        assert_eq!(
            text.lines().map(str::trim).collect::<Vec<_>>()[..2],
            ["70  instructions a request, of which", "70  request"]
        );
    }
}
