//! What a module pays for a function of the host.

use anyhow::Context as _;

use crate::report::{Figure, Section, aim_at_most};
use crate::server::{Hotbay, Shipped, Under, Way, entry_of};
use crate::stats::median;
use crate::wire::body;

/// Rounds of a million calls of each.
const ROUNDS: usize = 6;

pub fn measure(shipped: &Shipped) -> anyhow::Result<Section> {
    let bytes = shipped.build_of(Way::Calls, 0)?;
    let calls = (entry_of(Way::Calls, "calls", "/calls", &bytes)?, bytes);
    let hotbay = Hotbay::start(shipped, &Under::default(), None, &[calls])?;
    let mut figures: Vec<(String, Vec<f64>)> = Vec::new();
    for _ in 0..ROUNDS {
        let text = String::from_utf8(body(hotbay.server.address, "/calls")?)?;
        for line in text.lines() {
            let (name, nanos) = line.rsplit_once(' ').context("a line is a name and a number")?;
            let nanos: f64 = nanos.parse()?;
            match figures.iter_mut().find(|(known, _)| known == name) {
                Some((_, all)) => all.push(nanos),
                None => figures.push((name.to_owned(), vec![nanos])),
            }
        }
    }
    let how = format!(
        "A module in C calls each a million times within a request, {ROUNDS} requests; time of the thread's processor, with the loop in it. \
         A timer that is put off stays where it is until the thread for timers comes to it, whose time is not in it."
    );
    let mut section = Section::new("A call of the host", how);
    for (name, nanos) in figures {
        // What stands in brackets is to compare with.
        let is_call = !name.starts_with('(');
        let figure = Figure::median(name, "ns", median(&nanos));
        section.add(if is_call { figure.wanted(aim_at_most(20.0)) } else { figure });
    }
    Ok(section)
}
