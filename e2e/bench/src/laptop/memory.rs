//! Memory of keeper and engine, and what one more module takes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::ensure;
use hotbay_api::Digest;

use crate::child::resident;
use crate::report::{Figure, Section, aim_at_most};
use crate::server::{Hotbay, Shipped, Under, Way, entry_of, put};
use crate::stats::median;
use crate::wire::until;
use crate::wrk::Load;

const MODULES: u32 = 20;

pub fn measure(shipped: &Shipped) -> anyhow::Result<Section> {
    let load = Load { threads: 2, connections: 32, seconds: 3, rest: 0 };
    let hotbay = Hotbay::hello(shipped, Way::Plain, &Under::default(), None)?;
    let (keeper, engine, address) = (hotbay.server.running.pid(), hotbay.engine()?, hotbay.server.address);
    let mut section = Section::new(
        "Memory",
        format!(
            "VmRSS with hello loaded, then after {}; then /proc/PID/smaps of {MODULES} further builds, each called once.",
            load.words()
        ),
    );
    section.add(Figure::one("keeper", "MiB", resident(keeper)?).wanted(aim_at_most(10.0)));
    section.add(Figure::one("engine, idle", "MiB", resident(engine)?).wanted(aim_at_most(20.0)));
    load.run(address, "/hello")?;
    let loaded = resident(engine)?;
    let profile = parts(&fs::read_to_string(format!("/proc/{engine}/smaps"))?);
    section.add(Figure::one("engine, after load", "MiB", loaded).wanted(aim_at_most(20.0)));

    for way in [Way::Plain, Way::Threads] {
        add_modules(&mut section, shipped, &hotbay, way)?;
    }
    if section.missed() {
        section.add_profile("the engine", profile);
    }
    Ok(section)
}

/// What [`MODULES`] more of that kind take. The one with threads is a Router with a tokio of its own.
fn add_modules(section: &mut Section, shipped: &Shipped, hotbay: &Hotbay, way: Way) -> anyhow::Result<()> {
    let (engine, kind) = (hotbay.engine()?, way.words());
    let before = resident(engine)?;
    let mut files = Vec::new();
    for number in 1..=MODULES {
        let bytes = shipped.build_of(way, number)?;
        let name = format!("memory-{number}-{}", kind.replace(' ', "-").to_lowercase());
        let path = format!("/{name}");
        put(&hotbay.writer, &entry_of(way, &name, &path, &bytes)?, &bytes)?;
        until(hotbay.server.address, &path, 200)?;
        files.push(hotbay.staged(&Digest::of(&bytes)));
    }
    for file in &files {
        // Until it is on the disk, the kernel counts what was just written as dirty, whoever maps it.
        fs::File::open(file)?.sync_all()?;
    }
    let smaps = fs::read_to_string(format!("/proc/{engine}/smaps"))?;
    let maps: Vec<Mapped> = files.iter().map(|file| mapped(&smaps, file)).collect();
    ensure!(
        maps.iter().all(|map| map.resident > 0.0),
        "every module should be mapped from its stage: {maps:?}"
    );
    let column = |of: fn(&Mapped) -> f64| median(&maps.iter().map(of).collect::<Vec<_>>());
    let figure = |what: &str, value| Figure::median(format!("a loaded module, {kind}: {what}"), "KiB", value);
    section.add(figure("private and written", column(|map| map.dirty)));
    section.add(figure("private", column(|map| map.private)));
    section.add(figure("resident", column(|map| map.resident)));
    let more = (resident(engine)? - before) * 1024.0 / f64::from(MODULES);
    section.add(Figure::one(
        format!("the engine's growth a module, {kind}, heap and tables included"),
        "KiB",
        more,
    ));
    Ok(())
}

/// The engine after load by what is mapped, the largest first: for people.
fn parts(smaps: &str) -> String {
    let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
    let mut name = "";
    for line in smaps.lines() {
        match line.strip_prefix("Rss:") {
            Some(value) => *sums.entry(name).or_default() += kib(value).unwrap_or(0.0),
            // A mapping's own line: addresses, rights, offset, device, inode, name.
            None if line.split(':').next().is_some_and(|word| word.contains('-')) => {
                name = line.split_whitespace().nth(5).map_or("memory without a name: heap, stacks", |name| {
                    name.rsplit('/').next().unwrap_or(name)
                });
            }
            None => {}
        }
    }
    let mut lines: Vec<(f64, &str)> = sums.into_iter().map(|(name, kib)| (kib, name)).collect();
    lines.sort_by(|left, right| right.0.total_cmp(&left.0));
    let lines = lines.iter().take(8).map(|(kib, name)| format!("{kib:>6} KiB  {name}"));
    format!("resident memory of the engine after load\n{}", lines.collect::<Vec<_>>().join("\n"))
}

fn kib(value: &str) -> Option<f64> {
    value.trim().strip_suffix(" kB")?.parse().ok()
}

/// What a file takes, in KiB, all its mappings together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Mapped {
    resident: f64,
    /// Text and the like that no other process maps; the kernel may drop it, for it is in the file.
    private: f64,
    /// What cannot be dropped.
    dirty: f64,
}

fn mapped(smaps: &str, file: &Path) -> Mapped {
    let file = file.to_string_lossy();
    let mut sum = Mapped::default();
    let mut inside = false;
    for line in smaps.lines() {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        // A mapping's own line begins with its addresses, and a field's line with a name in one word.
        if name.contains(' ') || name.contains('-') {
            inside = line.ends_with(&*file);
            continue;
        }
        let Some(kib) = kib(value).filter(|_| inside) else { continue };
        match name {
            "Rss" => sum.resident += kib,
            "Private_Dirty" => {
                sum.dirty += kib;
                sum.private += kib;
            }
            "Private_Clean" => sum.private += kib,
            _ => {}
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_files_own_mappings_count() {
        let smaps = "7f00-7f10 r-xp 00000000 08:01 12 /stage/sha256-aa\nRss:   100 kB\nPrivate_Clean:  90 kB\nPrivate_Dirty:  4 kB\n\
                     7f20-7f30 rw-p 00000000 00:00 0\nRss:   500 kB\nPrivate_Dirty: 500 kB\n\
                     7f40-7f50 rw-p 00001000 08:01 12 /stage/sha256-aa\nRss:   8 kB\nPrivate_Dirty:  8 kB\nTHPeligible:    0\n";
        let expected = Mapped { resident: 108.0, private: 102.0, dirty: 12.0 };
        assert_eq!(mapped(smaps, Path::new("/stage/sha256-aa")), expected);
        assert_eq!(mapped(smaps, Path::new("/stage/sha256-bb")), Mapped::default());
        let lines = parts(smaps);
        assert_eq!(
            lines.lines().skip(1).map(str::trim).collect::<Vec<_>>(),
            ["500 KiB  memory without a name: heap, stacks", "108 KiB  sha256-aa"]
        );
    }
}
