//! Thousands of config changes of one module, each a new instance and the end of the one before: nothing may be left of them.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::ensure;
use hotbay_api::Entry;
use serde_json::json;

use super::millis;
use crate::child::{descriptors, resident, threads};
use crate::report::{Figure, Section, Wish, aim_at_most, gate_at_most};
use crate::server::{Hotbay, Shipped, Under, Way, entry_of};
use crate::stats::{median, slope, worst};
use crate::wire::{LOOK, PATIENCE, Wire, request, until};

/// So many looks at what the processes hold.
const SAMPLES: u32 = 40;
/// Of each config: whatever is kept of an instance for ever is at least this. It is more than hello's schema allows, which the operator checks, and no engine.
const TEXT_BYTES: usize = 16 * 1024;

/// Bytes a change, an 80th of the least that an instance would leave which is kept. It was 5.
const HELLO_GROWTH: f64 = 200.0;
/// The same of an instance with threads, whose stacks and allocators' pages come and go. A leak of 330 bytes a thread once made it 660, steadily.
const THREADS_GROWTH: f64 = 500.0;

/// What a process holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    mib: f64,
    threads: f64,
    descriptors: f64,
}

/// A module in a pod, whose config is changed.
struct Series {
    way: Way,
    hotbay: Hotbay,
    entry: Entry,
}

/// What came of a series.
struct Outcome {
    way: Way,
    count: u32,
    took: Vec<f64>,
    engine: Vec<Held>,
    keeper: Vec<Held>,
}

pub fn measure(shipped: &Shipped, quick: bool) -> anyhow::Result<Section> {
    let hello = hello(shipped, if quick { 400 } else { 10_000 })?;
    let threads = threads_and_tokio(shipped, if quick { 80 } else { 1_000 })?;
    let how = format!(
        "{} changes of hello's config, one after another on one connection, of which no request failed; each makes an instance and ends the one before, \
         with {} KiB of config. {} of a Router's, which spawns threads and tasks at each call, and whose instance has a tokio of its own. {SAMPLES} looks at \
         the processes; the growth is that of the second half, by least squares: in the first allocators and tables find their size.",
        hello.count,
        TEXT_BYTES / 1024,
        threads.count,
    );
    let mut section = Section::new("Config changes", how);
    // Few changes show nothing but what else the processes do.
    let limit = |bytes| if quick { aim_at_most(bytes) } else { gate_at_most(bytes) };
    hello.add(&mut section, limit(HELLO_GROWTH));
    threads.add(&mut section, limit(THREADS_GROWTH));
    Ok(section)
}

/// One connection for all: a change that lost a request of it would be seen.
fn hello(shipped: &Shipped, count: u32) -> anyhow::Result<Outcome> {
    let series = Series::start(shipped, Way::Plain, "/hello")?;
    let mut wire = Wire::open(series.address(), request("/hello", 0))?;
    series.run(
        count,
        |entry, number| Ok(configured(entry, number)),
        |number| answers(&mut wire, &greeting(number)),
    )
}

/// It answers the same by every config, so that each has a route of its own.
fn threads_and_tokio(shipped: &Shipped, count: u32) -> anyhow::Result<Outcome> {
    let path = |number: u32| format!("/changed-{number}");
    let series = Series::start(shipped, Way::Threads, &path(0))?;
    let address = series.address();
    let changed = |entry: &Entry, number: u32| {
        let mut entry = configured(entry, number);
        for route in entry.revisions.iter_mut().flat_map(|revision| &mut revision.routes) {
            route.path = path(number).parse()?;
        }
        Ok(entry)
    };
    series.run(count, changed, |number| until(address, &path(number), 200))
}

impl Series {
    fn start(shipped: &Shipped, way: Way, path: &str) -> anyhow::Result<Self> {
        let bytes = shipped.build_of(way, 0)?;
        let entry = entry_of(way, "changed", path, &bytes)?;
        let hotbay = Hotbay::start(shipped, &Under::default(), None, &[(configured(&entry, 0), bytes)])?;
        Ok(Self { way, hotbay, entry })
    }

    fn address(&self) -> SocketAddr {
        self.hotbay.server.address
    }

    /// So many changes, each when the one before is `served`.
    fn run(
        self,
        count: u32,
        change: impl Fn(&Entry, u32) -> anyhow::Result<Entry>,
        mut served: impl FnMut(u32) -> anyhow::Result<Instant>,
    ) -> anyhow::Result<Outcome> {
        let (keeper, engine) = (self.hotbay.server.running.pid(), self.hotbay.engine()?);
        let mut outcome = Outcome { way: self.way, count, took: vec![], engine: vec![], keeper: vec![] };
        for number in 1..=count {
            let changed = change(&self.entry, number)?;
            let began = Instant::now();
            self.hotbay.writer.put_entry(&changed)?;
            outcome.took.push(millis(began, served(number)?));
            if number % (count / SAMPLES) == 0 {
                outcome.engine.push(Held::by(engine)?);
                outcome.keeper.push(Held::by(keeper)?);
            }
        }
        ensure!(self.hotbay.engine()? == engine, "the engine was replaced on the way");
        Ok(outcome)
    }
}

impl Outcome {
    fn add(&self, section: &mut Section, growth: Wish) {
        let what = self.way.words();
        section.add(Figure::median(
            format!("{what}: entry written → first answer by it"),
            "ms",
            median(&self.took),
        ));
        let worst = worst(&self.took);
        section.add(Figure::one(
            format!("{what}: entry written → first answer by it, the slowest"),
            "ms",
            worst,
        ));
        for (process, held) in [("engine", &self.engine), ("keeper", &self.keeper)] {
            add(section, &format!("{what}, {process}"), held, self.count / SAMPLES, growth);
        }
    }
}

fn add(section: &mut Section, name: &str, held: &[Held], changes_a_look: u32, wanted: Wish) {
    let (_, second) = held.split_at(held.len() / 2);
    let mib: Vec<f64> = second.iter().map(|held| held.mib).collect();
    let growth = slope(&mib) * 1024.0 * 1024.0 / f64::from(changes_a_look);
    let spread = |of: fn(&Held) -> f64| {
        let all = || second.iter().map(of);
        all().fold(f64::MIN, f64::max) - all().fold(f64::MAX, f64::min)
    };
    let ends = [held.first(), held.last()].map(|held| held.map_or(f64::NAN, |held| held.mib));
    section.add(Figure::one(format!("{name}: growth a change"), "B", growth).wanted(wanted));
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
