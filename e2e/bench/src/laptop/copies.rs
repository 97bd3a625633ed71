//! From a file in the bay to an answer: each time of a build that nothing is known of, so that it is hashed, staged, checked, probed and loaded.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::child::Running;
use crate::report::{Figure, Section, aim_at_most};
use crate::server::{Hotbay, Shipped, Under, entry, put};
use crate::stats::{median, worst};
use crate::wire::{free_address, until};

const BEGIN: Duration = Duration::from_secs(60);

pub fn measure(shipped: &Shipped, quick: bool) -> anyhow::Result<Section> {
    let count = if quick { 6 } else { 30 };
    let mut section = Section::new(
        "A file copied into the bay → 200",
        format!(
            "{count} builds of hello that nothing is known of. Into a pod's bay: from before the blob is written to the first 200, asked for every 0.2 ms. \
             Into a folder that `hotbay run` follows: from before the copy begins, by the whole embedded control plane."
        ),
    );
    let (pod, writing) = into_a_bay(shipped, count)?;
    section.add(Figure::median("into a pod's bay", "ms", median(&pod)).wanted(aim_at_most(15.0)));
    section.add(Figure::one("into a pod's bay, the slowest", "ms", worst(&pod)));
    section.add(Figure::median("of it: writing blob and entry, to the disk", "ms", median(&writing)));
    let laptop = into_a_folder(shipped, count)?;
    section.add(
        Figure::median("into a folder of `hotbay run`", "ms", median(&laptop)).wanted(aim_at_most(15.0)),
    );
    section.add(Figure::one("into a folder of `hotbay run`, the slowest", "ms", worst(&laptop)));
    Ok(section)
}

pub fn millis(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64() * 1e3
}

/// The whole, and the writer's part of it.
fn into_a_bay(shipped: &Shipped, count: u32) -> anyhow::Result<(Vec<f64>, Vec<f64>)> {
    let hotbay = Hotbay::start(shipped, &Under::default(), None, &[])?;
    let (mut figures, mut writing) = (Vec::new(), Vec::new());
    for number in 0..count {
        let (bytes, path) = (shipped.build(number)?, format!("/copy-{number}"));
        let entry = entry(&format!("copy-{number}"), &path, &bytes)?;
        until(hotbay.server.address, &path, 404)?;
        let began = Instant::now();
        put(&hotbay.writer, &entry, &bytes)?;
        writing.push(millis(began, Instant::now()));
        figures.push(millis(began, until(hotbay.server.address, &path, 200)?));
    }
    Ok((figures, writing))
}

fn into_a_folder(shipped: &Shipped, count: u32) -> anyhow::Result<Vec<f64>> {
    let (folder, state, builds) = (tempfile::tempdir()?, tempfile::tempdir()?, tempfile::tempdir()?);
    let address = free_address();
    let listen = address.to_string();
    let args: [&OsStr; 6] = [
        "run".as_ref(),
        folder.path().as_ref(),
        "--listen".as_ref(),
        listen.as_ref(),
        "--state".as_ref(),
        state.path().as_ref(),
    ];
    let hotbay = Running::start(shipped.hotbay.as_ref(), &args, &[])?;
    hotbay.says("engine is active", BEGIN)?;
    let mut figures = Vec::new();
    for number in 0..count {
        let build = builds.path().join("libhello.so");
        fs::write(&build, shipped.build(number)?)?;
        let target = folder.path().join("libhello.so");
        until(address, "/hello", 404)?;
        let began = Instant::now();
        copy(&build, &target)?;
        figures.push(millis(began, until(address, "/hello", 200)?));
        fs::remove_file(&target)?;
    }
    Ok(figures)
}

/// As `cp` does.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::copy(from, to)?;
    Ok(())
}
