//! Instructions a request, which no neighbour on the machine can change.
//!
//! callgrind counts all that a process does. Two runs that differ only in the number of requests, N and 2 N, differ by N requests: start and end
//! cancel. The thread counts that differs most, the worker: what keeper and engine do by the clock (pings, looks at the bay) is no request's, and under
//! callgrind the clock runs fifty times as fast. One connection and one worker, because with several the batches that a worker finds ready change from run to run.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use crate::report::{Figure, Section, gate_at_most};
use crate::server::{Hotbay, Server, Shipped, Under, Way, compiled_in};
use crate::stats::median;
use crate::wire::{Wire, request};

/// N.
const REQUESTS: u32 = 2000;

/// What is run under callgrind.
#[derive(Clone, Copy, Debug)]
enum Subject {
    Module(Way),
    CompiledIn(&'static str),
}

pub fn measure(shipped: &Shipped, text: &str, quick: bool) -> anyhow::Result<Section> {
    let pairs = if quick { 1 } else { 6 };
    let figures = |subject, headers, pairs: u32| -> anyhow::Result<Vec<f64>> {
        (0..pairs).map(|_| request_cost(shipped, text, subject, headers)).collect()
    };
    let how = format!(
        "`valgrind --tool=callgrind --trace-children=yes hotbay-runtime keeper --workers 1`, the thread of the engine's one worker; one connection; \
         ({0} requests more) / {0}. In pairs, {pairs} of them; the compiled-in one on hyper's own HTTP/1 loop, which is cheaper than `axum::serve`.",
        REQUESTS
    );
    let mut section = Section::new("Instructions a request", how);
    for (further, words) in [(0, "1 header"), (9, "10 headers")] {
        let mut modules: [Vec<f64>; Way::ALL.len()] = Default::default();
        let mut base = Vec::new();
        for _ in 0..pairs {
            for (way, counts) in Way::ALL.into_iter().zip(&mut modules) {
                counts.extend(figures(Subject::Module(way), further, 1)?);
            }
            base.extend(figures(Subject::CompiledIn("hyper"), further, 1)?);
        }
        for (way, counts) in Way::ALL.into_iter().zip(&modules) {
            let ratios: Vec<f64> = counts.iter().zip(&base).map(|(module, base)| module / base).collect();
            let name = format!("{} / compiled in, {words}", way.words());
            section.add(wanted(way, further, Figure::median(name, "", median(&ratios))));
            section.add(Figure::median(format!("{}, {words}", way.words()), "", median(counts)));
        }
        section.add(Figure::median(format!("compiled in, {words}"), "", median(&base)));
    }
    let served = figures(Subject::CompiledIn("axum"), 0, 1)?;
    section.add(Figure::median("compiled in, by `axum::serve`, 1 header", "", median(&served)));
    Ok(section)
}

/// The gates are on one header; more of them only tell more.
fn wanted(way: Way, further: usize, ratio: Figure) -> Figure {
    match way {
        _ if further > 0 => ratio,
        Way::Plain | Way::Async | Way::C => ratio.wanted(gate_at_most(0.85)),
        Way::Router => ratio.wanted(gate_at_most(1.30)),
        Way::Threads | Way::Streams | Way::Calls => ratio,
    }
}

fn request_cost(shipped: &Shipped, text: &str, subject: Subject, further: usize) -> anyhow::Result<f64> {
    let once = life(shipped, text, subject, further, REQUESTS)?;
    let twice = life(shipped, text, subject, further, 2 * REQUESTS)?;
    Ok(more_of_the_busiest(&once, &twice) / f64::from(REQUESTS))
}

/// What the thread that two lives differ by most has more in the second.
pub fn more_of_the_busiest(once: &BTreeMap<String, f64>, twice: &BTreeMap<String, f64>) -> f64 {
    let more = twice.iter().map(|(thread, total)| total - once.get(thread).unwrap_or(&0.0));
    more.fold(0.0, f64::max)
}

/// Instructions of the process with `word` on its command line, by thread.
pub fn totals(folder: &Path, word: &str) -> anyhow::Result<BTreeMap<String, f64>> {
    let files = out_files(folder, word)?;
    files.into_iter().map(|(thread, file)| Ok((thread, total(&fs::read_to_string(&file)?)?))).collect()
}

/// Instructions of a whole life with so many requests in it, by thread.
fn life(
    shipped: &Shipped,
    text: &str,
    subject: Subject,
    further: usize,
    requests: u32,
) -> anyhow::Result<BTreeMap<String, f64>> {
    let folder = tempfile::tempdir()?;
    let under = callgrind(folder.path());
    let (server, word): (Server, &str) = match subject {
        Subject::Module(way) => (Hotbay::hello(shipped, way, &under, Some(1))?.into_server(), " engine "),
        Subject::CompiledIn(by) => (compiled_in(shipped, &under, 1, text, by)?, "compiled-in"),
    };
    Wire::open(server.address, request("/hello", further))?.ask_often(requests)?;
    server.running.stop()?;
    totals(folder.path(), word)
}

/// The command line to begin with. A probe has two seconds, so it is not slowed down.
pub fn callgrind(folder: &Path) -> Under {
    let mut out = OsString::from("--callgrind-out-file=");
    out.push(folder.join("out.%p"));
    let words = [
        "valgrind",
        "--quiet",
        "--tool=callgrind",
        "--separate-threads=yes",
        "--trace-children=yes",
        "--trace-children-skip-by-arg=probe",
    ];
    Under { words: words.iter().map(OsString::from).chain([out]).collect() }
}

/// The total of one file.
fn total(text: &str) -> anyhow::Result<f64> {
    let total =
        text.lines().find_map(|line| line.strip_prefix("totals: ").or(line.strip_prefix("summary: ")));
    Ok(total.context("callgrind wrote no total")?.trim().parse()?)
}

/// What callgrind wrote of the process with `word` on its command line: a file for each thread, by the thread's number.
pub fn out_files(folder: &Path, word: &str) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        let text = fs::read_to_string(&path)?;
        let is_its =
            text.lines().find_map(|line| line.strip_prefix("cmd: ")).is_some_and(|line| line.contains(word));
        // `out.PID-THREAD`; the one without a thread holds nothing.
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        if let (true, Some((_, thread))) = (is_its, name.rsplit_once('-')) {
            ensure!(
                found.insert(thread.to_owned(), path).is_none(),
                "two processes have {word:?} on their command lines"
            );
        }
    }
    ensure!(!found.is_empty(), "callgrind wrote nothing of a process with {word:?} on its command line");
    Ok(found)
}
