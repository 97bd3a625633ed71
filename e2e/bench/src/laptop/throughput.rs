//! Requests a second: pairs in one run, taken in turns, so that what else the machine does falls on all.

use std::net::SocketAddr;

use anyhow::ensure;

use crate::child::cpu_seconds;
use crate::report::{Figure, Section, aim_at_least};
use crate::server::{Hotbay, Server, Shipped, Under, compiled_in, entry, nginx};
use crate::stats::median;
use crate::wrk::Load;

const NAMES: [&str; 3] = ["module", "compiled in", "nginx"];

/// One server's figures.
#[derive(Default)]
struct Rounds {
    rates: Vec<f64>,
    /// Microseconds of processor a request.
    cpu: Vec<f64>,
}

pub fn measure(shipped: &Shipped, text: &str, quick: bool) -> anyhow::Result<Section> {
    let (rounds, load) =
        (if quick { 6 } else { 24 }, Load { threads: 2, connections: 32, seconds: 2, rest: 0 });
    let workers = std::thread::available_parallelism()?.get();
    let bytes = shipped.build(0)?;
    let hello = (entry("hello", "/hello", &bytes)?, bytes);
    let hotbay = Hotbay::start(shipped, &Under::default(), None, &[hello])?;
    let axum = compiled_in(shipped, &Under::default(), workers, text, "hyper")?;
    let nginx = nginx(workers, text)?;
    let servers: [&Server; 3] = [&hotbay.server, &axum, &nginx];
    for server in servers {
        Load { seconds: 1, ..load }.run(server.address, "/hello")?;
    }
    let mut all: [Rounds; 3] = Default::default();
    for round in 0..rounds {
        // Each goes first, second and third equally often.
        for turn in 0..servers.len() {
            let which = (round + turn) % servers.len();
            one(servers[which], load, &mut all[which])?;
        }
    }
    let how = format!(
        "{} for each in turn, {rounds} rounds, after a second of warming up. {workers} workers each: the engine with its defaults behind \
         its keeper; the same handler in axum with the engine's limits, counters, allocator and profile; nginx with `return 200` and without a log. \
         A ratio is of two figures of one round.",
        load.words()
    );
    let mut section = Section::new("Requests a second", how);
    section.add(ratio("module / compiled in", &all[0], &all[1]).wanted(aim_at_least(1.0)));
    section.add(ratio("module / nginx", &all[0], &all[2]).wanted(aim_at_least(0.95)));
    for (name, rounds) in NAMES.iter().zip(&all) {
        section.add(Figure::median(format!("{name}: requests a second"), "/s", median(&rounds.rates)));
        section.add(Figure::median(format!("{name}: processor a request"), "µs", median(&rounds.cpu)));
    }
    Ok(section)
}

fn one(server: &Server, load: Load, rounds: &mut Rounds) -> anyhow::Result<()> {
    let address: SocketAddr = server.address;
    let pids = server.pids();
    let before = cpu_seconds(&pids);
    let tally = load.run(address, "/hello")?;
    ensure!(tally.failed < 0.5, "{} requests of {address} failed", tally.failed);
    rounds.rates.push(tally.rate);
    rounds.cpu.push((cpu_seconds(&pids) - before) * 1e6 / tally.requests);
    Ok(())
}

fn ratio(name: &str, of: &Rounds, to: &Rounds) -> Figure {
    let ratios: Vec<f64> = of.rates.iter().zip(&to.rates).map(|(of, to)| of / to).collect();
    Figure::median(name, "", median(&ratios))
}
