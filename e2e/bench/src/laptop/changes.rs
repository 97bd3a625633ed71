//! Thousands of config changes of one module, each a new instance and the end of the one before: nothing may be left of them.

use std::time::Instant;

use anyhow::ensure;
use hotbay_api::Entry;
use serde_json::json;

use super::millis;
use crate::child::{descriptors, resident, threads};
use crate::report::{Figure, Section, aim_at_most};
use crate::server::{Hotbay, Shipped, Under, entry};
use crate::stats::{median, slope, worst};
use crate::wire::{LOOK, PATIENCE, Wire, request};

/// So many looks at what the processes hold.
const SAMPLES: u32 = 40;
/// Of each config: whatever is kept of an instance for ever is at least this. It is more than hello's schema allows, which the operator checks, and no engine.
const TEXT_BYTES: usize = 16 * 1024;

/// What a process holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    mib: f64,
    threads: f64,
    descriptors: f64,
}

pub fn measure(shipped: &Shipped, quick: bool) -> anyhow::Result<Section> {
    let count: u32 = if quick { 400 } else { 10_000 };
    let bytes = shipped.build(0)?;
    let hello = entry("hello", "/hello", &bytes)?;
    let hotbay = Hotbay::start(shipped, &Under::default(), None, &[(configured(&hello, 0), bytes)])?;
    let (keeper, engine) = (hotbay.server.running.pid(), hotbay.engine()?);
    // One connection for all: a change that lost a request of it would be seen.
    let mut wire = Wire::open(hotbay.server.address, request("/hello", 0))?;
    let (mut took, mut engines, mut keepers) = (Vec::new(), Vec::new(), Vec::new());
    for number in 1..=count {
        let changed = configured(&hello, number);
        let began = Instant::now();
        hotbay.writer.put_entry(&changed)?;
        took.push(millis(began, answers(&mut wire, &greeting(number))?));
        if number % (count / SAMPLES) == 0 {
            engines.push(Held::by(engine)?);
            keepers.push(Held::by(keeper)?);
        }
    }
    ensure!(hotbay.engine()? == engine, "the engine was replaced on the way");
    let how = format!(
        "{count} changes of hello's config, one after another on one connection, of which no request failed; each makes an instance and ends the one before, \
         with {} KiB of config. {SAMPLES} looks at the processes; the growth is that of the second half, by least squares: in the first allocators and tables \
         find their size.",
        TEXT_BYTES / 1024
    );
    let mut section = Section::new("Config changes", how);
    section.add(Figure::median("entry written → first answer by it", "ms", median(&took)));
    section.add(Figure::one("entry written → first answer by it, the slowest", "ms", worst(&took)));
    for (name, held) in [("engine", &engines), ("keeper", &keepers)] {
        add(&mut section, name, held, count / SAMPLES);
    }
    Ok(section)
}

fn add(section: &mut Section, name: &str, held: &[Held], changes_a_look: u32) {
    let (_, second) = held.split_at(held.len() / 2);
    let mib: Vec<f64> = second.iter().map(|held| held.mib).collect();
    let growth = slope(&mib) * 1024.0 * 1024.0 / f64::from(changes_a_look);
    let spread = |of: fn(&Held) -> f64| {
        let all = || second.iter().map(of);
        all().fold(f64::MIN, f64::max) - all().fold(f64::MAX, f64::min)
    };
    let ends = [held.first(), held.last()].map(|held| held.map_or(f64::NAN, |held| held.mib));
    // A 160th of the least that an instance would leave which is kept.
    section.add(Figure::one(format!("{name}: growth a change"), "B", growth).wanted(aim_at_most(100.0)));
    section.add(Figure::one(format!("{name}: VmRSS at the first look"), "MiB", ends[0]));
    section.add(Figure::one(format!("{name}: VmRSS at the last look"), "MiB", ends[1]));
    let threads = Figure::one(format!("{name}: threads, most less least"), "", spread(|held| held.threads));
    section.add(threads.wanted(aim_at_most(0.0)));
    // What is open only while a look at the bay or a change lasts.
    let open =
        Figure::one(format!("{name}: descriptors, most less least"), "", spread(|held| held.descriptors));
    section.add(open.wanted(aim_at_most(4.0)));
}

fn greeting(number: u32) -> String {
    format!("config {number} ")
}

fn configured(hello: &Entry, number: u32) -> Entry {
    let mut entry = hello.clone();
    for revision in &mut entry.revisions {
        revision.config = json!({"greeting": greeting(number) + &"x".repeat(TEXT_BYTES)});
    }
    entry
}

/// Asks until the answer begins with `text`, and returns when it came. Every answer is to be a good one.
fn answers(wire: &mut Wire, text: &str) -> anyhow::Result<Instant> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (status, body) = wire.ask()?;
        ensure!(status == 200, "while the config changed, an answer was {status}");
        if body.starts_with(text.as_bytes()) {
            return Ok(Instant::now());
        }
        ensure!(Instant::now() < deadline, "no answer with {text:?} in {PATIENCE:?}");
        std::thread::sleep(LOOK);
    }
}

impl Held {
    fn by(pid: i32) -> anyhow::Result<Self> {
        Ok(Self { mib: resident(pid)?, threads: threads(pid)?, descriptors: descriptors(pid)? })
    }
}
