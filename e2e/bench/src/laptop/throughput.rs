//! Requests a second: pairs in one run, taken in turns, so that what else the machine does falls on all.

use std::net::SocketAddr;

use anyhow::ensure;

use crate::child::cpu_seconds;
use crate::report::{Figure, Section, aim_at_least};
use crate::server::{Hotbay, Server, Shipped, Under, Way, compiled_in, nginx};
use crate::stats::median;
use crate::wrk::Load;

/// One server's figures.
struct Rounds<'s> {
    name: &'static str,
    server: &'s Server,
    rates: Vec<f64>,
    /// Microseconds of processor a request.
    cpu: Vec<f64>,
}

impl<'s> Rounds<'s> {
    fn new(name: &'static str, server: &'s Server) -> Self {
        Self { name, server, rates: Vec::new(), cpu: Vec::new() }
    }

    /// One more.
    fn add(&mut self, load: Load) -> anyhow::Result<()> {
        let address: SocketAddr = self.server.address;
        let pids = self.server.pids();
        let before = cpu_seconds(&pids);
        let tally = load.run(address, "/hello")?;
        ensure!(tally.failed < 0.5, "{} requests of {address} failed", tally.failed);
        self.rates.push(tally.rate);
        self.cpu.push((cpu_seconds(&pids) - before) * 1e6 / tally.requests);
        Ok(())
    }
}

pub fn measure(shipped: &Shipped, text: &str, quick: bool) -> anyhow::Result<Section> {
    let (rounds, load) =
        (if quick { 6 } else { 24 }, Load { threads: 2, connections: 32, seconds: 2, rest: 0 });
    let workers = std::thread::available_parallelism()?.get();
    let modules: Vec<Hotbay> = Way::ALL
        .into_iter()
        .map(|way| Hotbay::hello(shipped, way, &Under::default(), None))
        .collect::<Result<_, _>>()?;
    let axum = compiled_in(shipped, &Under::default(), workers, text, "hyper")?;
    let nginx = nginx(workers, text)?;
    let others = [("compiled in", &axum), ("nginx", &nginx)];
    let modules = Way::ALL.iter().zip(&modules).map(|(way, hotbay)| (way.words(), &hotbay.server));
    let mut all: Vec<Rounds> =
        modules.chain(others).map(|(name, server)| Rounds::new(name, server)).collect();
    for rounds in &all {
        Load { seconds: 1, ..load }.run(rounds.server.address, "/hello")?;
    }
    for round in 0..rounds {
        // Each goes first, second and so on equally often.
        for turn in 0..all.len() {
            let which = (round + turn) % all.len();
            all[which].add(load)?;
        }
    }
    let how = format!(
        "{} for each in turn, {rounds} rounds, after a second of warming up. {workers} workers each: an engine with its defaults behind \
         its keeper, for a plain function, an async one, an axum Router and C; the same handler in axum with the engine's limits, counters, allocator \
         and profile; nginx with `return 200` and without a log. \
         A ratio is of two figures of one round.",
        load.words()
    );
    let mut section = Section::new("Requests a second", how);
    if let [plain, .., axum, nginx] = &all[..] {
        for module in &all[..Way::ALL.len()] {
            section.add(ratio("compiled in", module, axum).wanted(aim_at_least(1.0)));
        }
        section.add(ratio("nginx", plain, nginx).wanted(aim_at_least(0.95)));
    }
    for Rounds { name, rates, cpu, .. } in &all {
        section.add(Figure::median(format!("{name}: requests a second"), "/s", median(rates)));
        section.add(Figure::median(format!("{name}: processor a request"), "µs", median(cpu)));
    }
    Ok(section)
}

fn ratio(what: &str, of: &Rounds, to: &Rounds) -> Figure {
    let ratios: Vec<f64> = of.rates.iter().zip(&to.rates).map(|(of, to)| of / to).collect();
    Figure::median(format!("{} / {what}", of.name), "", median(&ratios))
}
