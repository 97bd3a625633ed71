//! What needs no cluster.
//!
//! Each section is a file with one function; they run one after another, so that none disturbs another.

mod calls;
mod changes;
mod copies;
mod handovers;
mod instructions;
mod many;
mod memory;
mod profile;
mod saves;
mod streams;
mod swaps;
mod throughput;

pub use self::copies::millis;
use crate::report::Section;
use crate::server::{Hotbay, Shipped, Under, Way};
use crate::{Part, Wanted, wire};

/// Everything that is wanted, in the order of RESULTS.md.
pub fn run(shipped: &Shipped, wanted: &Wanted, done: &mut dyn FnMut(Section)) -> anyhow::Result<()> {
    let quick = wanted.quick;
    let mut costs = Vec::new();
    if wanted.has(Part::Instructions) || wanted.has(Part::Throughput) {
        let text = usual_answer(shipped)?;
        if wanted.has(Part::Instructions) {
            costs.push(instructions::measure(shipped, &text, quick)?);
        }
        if wanted.has(Part::Throughput) {
            costs.push(throughput::measure(shipped, &text, quick)?);
        }
    }
    if let Some(missed) = costs.iter_mut().find(|section| section.missed()) {
        add_profile(missed, shipped, Way::Plain);
    }
    if wanted.has(Part::Instructions) {
        // Its aim is 1.0, which it does not reach: what is left is always told.
        add_profile(&mut costs[0], shipped, Way::Router);
    }
    costs.into_iter().for_each(&mut *done);
    if wanted.has(Part::Calls) {
        done(calls::measure(shipped)?);
    }
    if wanted.has(Part::Streams) {
        done(streams::measure(shipped, quick)?);
    }
    if wanted.has(Part::Copies) {
        done(copies::measure(shipped, quick)?);
    }
    if wanted.has(Part::Saves) {
        done(saves::measure(shipped, quick)?);
    }
    if wanted.has(Part::Handovers) {
        done(handovers::measure(shipped, quick)?);
    }
    if wanted.has(Part::Swaps) {
        done(swaps::measure(shipped, quick)?);
    }
    if wanted.has(Part::Changes) {
        done(changes::measure(shipped, quick)?);
    }
    if wanted.has(Part::Memory) {
        done(memory::measure(shipped)?);
    }
    if wanted.has(Part::Many) {
        done(many::measure(shipped, quick)?);
    }
    Ok(())
}

/// Figures that took minutes are not thrown away because what explains them cannot be built.
fn add_profile(section: &mut Section, shipped: &Shipped, way: Way) {
    let lines = profile::measure(shipped, way).unwrap_or_else(|error| format!("not known: {error:#}"));
    section.add_profile(way.words(), lines);
}

/// What the module answers, which the others are told to answer too.
fn usual_answer(shipped: &Shipped) -> anyhow::Result<String> {
    let hotbay = Hotbay::hello(shipped, Way::Plain, &Under::default(), None)?;
    let body = wire::body(hotbay.server.address, "/hello")?;
    Ok(String::from_utf8(body)?)
}
