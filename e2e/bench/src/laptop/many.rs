//! As many modules as a large pool has, each with threads and a tokio of its own: time, memory, and whether it goes at all.
//!
//! Without keys of its own for thread-specific data the process would abort at some thousand of them (see `hotbay_sys::keys`).

use std::time::Instant;

use hotbay_api::Digest;

use super::millis;
use crate::child::{descriptors, mappings, resident, threads};
use crate::report::{Figure, Section};
use crate::server::{Hotbay, Shipped, Under, Way, entry_of, put};
use crate::stats::{median, worst};
use crate::wire::until;

pub fn measure(shipped: &Shipped, quick: bool) -> anyhow::Result<Section> {
    let count = if quick { 50 } else { 1_200 };
    let how = format!(
        "{count} builds of an axum Router, put into a pod's bay one after another; then each is called, and spawns and joins a thread, and spawns and \
         awaits a task of its own tokio. The engine's VmRSS before and after; what else it holds, after."
    );
    let mut section = Section::new("Many modules, each with threads and tokio", how);
    let hotbay = Hotbay::start(shipped, &Under::default(), None, &[])?;
    let (engine, address) = (hotbay.engine()?, hotbay.server.address);
    let before = resident(engine)?;
    let began = Instant::now();
    let paths: Vec<String> = (0..count).map(|number| format!("/many-{number}")).collect();
    for (number, path) in (0..).zip(&paths) {
        let bytes = shipped.build_of(Way::Threads, number)?;
        put(&hotbay.writer, &entry_of(Way::Threads, &path[1..], path, &bytes)?, &bytes)?;
    }
    let put_all = millis(began, Instant::now());
    for path in &paths {
        until(address, path, 200)?;
    }
    let served = millis(began, Instant::now());
    let again: Vec<f64> = paths
        .iter()
        .map(|path| Ok(millis(Instant::now(), until(address, path, 200)?)))
        .collect::<anyhow::Result<_>>()?;
    section.add(Figure::one("put into the bay, all", "s", put_all / 1e3));
    section.add(Figure::one("all put and each called once", "s", served / 1e3));
    section.add(Figure::median("a call when all are there", "ms", median(&again)));
    section.add(Figure::one("the slowest call of them", "ms", worst(&again)));
    let each = (resident(engine)? - before) * 1024.0 / f64::from(count);
    section.add(Figure::one("the engine's growth a module", "KiB", each));
    section.add(Figure::one("the engine: VmRSS", "MiB", resident(engine)?));
    section.add(Figure::one("the engine: threads", "", threads(engine)?));
    section.add(Figure::one("the engine: descriptors", "", descriptors(engine)?));
    section.add(Figure::one("the engine: mappings, of 65,530", "", mappings(engine)?));
    // The engine must be the one that was there at first: an abort would be mended by the next.
    anyhow::ensure!(hotbay.engine()? == engine, "the engine was replaced on the way");
    anyhow::ensure!(
        hotbay.staged(&Digest::of(&shipped.build_of(Way::Threads, 0)?)).is_file(),
        "the stage is there"
    );
    Ok(section)
}
