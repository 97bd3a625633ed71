//! One engine after another: asked for, and after a kill.

use std::time::{Duration, Instant};

use anyhow::ensure;
use hotbay_api::Entry;
use rustix::process::Signal;

use super::copies::millis;
use crate::child::signal;
use crate::report::{Figure, Section, aim_at_most};
use crate::server::{Hotbay, Shipped, Under, entry};
use crate::stats::{median, worst};
use crate::wire::until;
use crate::wrk::{Load, Tally};

/// How long a handover may take before it is an error.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn measure(shipped: &Shipped, quick: bool) -> anyhow::Result<Section> {
    let (handovers, kills) = if quick { (10, 6) } else { (100, 30) };
    let bytes = shipped.build(0)?;
    let hello = (entry("hello", "/hello", &bytes)?, bytes);
    let hotbay = Hotbay::start(shipped, &Under::default(), None, std::slice::from_ref(&hello))?;
    let load = Load { threads: 1, connections: 8, seconds: if quick { 6 } else { 40 }, rest: 2 };
    let mut section = Section::new(
        "Handovers and deaths",
        format!(
            "{handovers} handovers by SIGHUP under {}: from the start of the next engine to its first accept, by the keeper's own log lines. {kills} times \
             `kill -9` of the first engine of a keeper: from the kill to the first answer on a new connection.",
            load.words()
        ),
    );
    let (figures, ready, tally) = hand_over(&hotbay, handovers, load)?;
    section.add(Figure::one("handover, the slowest", "ms", worst(&figures)).wanted(aim_at_most(25.0)));
    section.add(Figure::median("handover", "ms", median(&figures)));
    section.add(Figure::median(
        "of it until the next engine is ready: start, load, create",
        "ms",
        median(&ready),
    ));
    section.add(Figure::one("requests that failed meanwhile", "", tally.failed).wanted(aim_at_most(0.0)));
    section.add(Figure::one(format!("slowest of {} answers", tally.requests), "ms", tally.slowest));
    drop(hotbay);
    let figures = (0..kills).map(|_| kill(shipped, &hello)).collect::<anyhow::Result<Vec<f64>>>()?;
    section.add(Figure::median("engine killed → next answer", "ms", median(&figures)));
    section.add(Figure::one("engine killed → next answer, the slowest", "ms", worst(&figures)));
    Ok(section)
}

fn hand_over(hotbay: &Hotbay, count: u32, load: Load) -> anyhow::Result<(Vec<f64>, Vec<f64>, Tally)> {
    let (keeper, address) = (&hotbay.server.running, hotbay.server.address);
    let wrk = load.start(address, "/hello")?;
    let began = Instant::now();
    let (mut figures, mut to_ready) = (Vec::new(), Vec::new());
    for _ in 0..count {
        alone(hotbay)?;
        keeper.forget();
        signal(keeper.pid(), Signal::HUP)?;
        let started = keeper.says("starting engine", PATIENCE)?;
        to_ready.push(millis(started, keeper.says("engine is ready", PATIENCE)?));
        figures.push(millis(started, keeper.says("engine is active", PATIENCE)?));
    }
    let took = began.elapsed();
    let tally = wrk.finish()?;
    ensure!(
        took < Duration::from_secs(load.seconds.into()),
        "{count} handovers took {took:?}, and the load only {} s: not all were under load",
        load.seconds
    );
    Ok((figures, to_ready, tally))
}

/// Waits until the engine before has drained: a third one would push it out.
fn alone(hotbay: &Hotbay) -> anyhow::Result<i32> {
    let until = Instant::now() + PATIENCE;
    loop {
        match hotbay.engine() {
            Ok(engine) => return Ok(engine),
            Err(error) => ensure!(Instant::now() < until, error),
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A keeper of its own for each: one whose engines die one after another waits longer and longer before the next.
fn kill(shipped: &Shipped, hello: &(Entry, Vec<u8>)) -> anyhow::Result<f64> {
    let hotbay = Hotbay::start(shipped, &Under::default(), None, std::slice::from_ref(hello))?;
    until(hotbay.server.address, "/hello", 200)?;
    let engine = hotbay.engine()?;
    let began = Instant::now();
    signal(engine, Signal::KILL)?;
    // A new connection waits in the listener's queue.
    let answered = until(hotbay.server.address, "/hello", 200)?;
    Ok(millis(began, answered))
}
