//! What a swap costs those who do not ask for it: the slowest per cent of answers with a swap a second, and without.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::report::{Figure, Section};
use crate::server::{Hotbay, Shipped, Under, entry, put};
use crate::stats::median;
use crate::wrk::Load;

const SWAP: Duration = Duration::from_secs(1);

pub fn measure(shipped: &Shipped, quick: bool) -> anyhow::Result<Section> {
    let (pairs, load) =
        (if quick { 1 } else { 6 }, Load { threads: 1, connections: 16, seconds: 5, rest: 2 });
    let builds = [shipped.build(0)?, shipped.build(1)?];
    let entries = [entry("hello", "/hello", &builds[0])?, entry("hello", "/hello", &builds[1])?];
    let hotbay = Hotbay::start(shipped, &Under::default(), None, &[(entries[0].clone(), builds[0].clone())])?;
    let address = hotbay.server.address;
    let (mut quiet, mut swapping, mut ratios, mut failed, mut swaps) = (vec![], vec![], vec![], 0.0, 0);
    for _ in 0..pairs {
        let without = load.run(address, "/hello")?;
        let wrk = load.start(address, "/hello")?;
        let end = Instant::now() + Duration::from_secs(load.seconds.into());
        while Instant::now() + SWAP < end {
            sleep(SWAP);
            swaps += 1;
            put(&hotbay.writer, &entries[swaps % 2], &builds[swaps % 2])?;
        }
        let with = wrk.finish()?;
        failed += without.failed + with.failed;
        quiet.push(without.p99);
        swapping.push(with.p99);
        ratios.push(with.p99 / without.p99);
    }
    ensure!(failed < 0.5, "{failed} requests failed");
    let mut section = Section::new(
        "The slowest per cent, with a swap a second",
        format!(
            "{} without swaps and with one a second in turn, {pairs} pairs, {swaps} swaps of two builds; none failed.",
            load.words()
        ),
    );
    section.add(Figure::median("p99 without swaps", "ms", median(&quiet)));
    section.add(Figure::median("p99 with a swap a second", "ms", median(&swapping)));
    section.add(Figure::median("with / without", "", median(&ratios)));
    Ok(section)
}
