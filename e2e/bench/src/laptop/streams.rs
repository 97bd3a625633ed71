//! A gibibyte each way, beside the same Router compiled in.
//!
//! Most of it is the kernel's copying, in the server and in the client, which the clock sees and the processor's time of the server does as well; the
//! instructions are the server's own.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::ensure;
use hotbay_api::Entry;

use super::instructions::{callgrind, more_of_the_busiest, totals};
use crate::child::{cpu_seconds, peak};
use crate::report::{Figure, Section, aim_at_least};
use crate::server::{Hotbay, Server, Shipped, Under, Way, compiled_in_streams, entry_of};
use crate::stats::median;
use crate::wire::until;

const BYTES: usize = 1 << 30;
/// What is uploaded under callgrind: the answer comes after the last byte, and a request has ten seconds for it.
const SLOW_BYTES: usize = BYTES / 8;
const PIECE: usize = 256 * 1024;
/// How long one may take; under callgrind it is slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// A way for bytes.
#[derive(Clone, Copy, Debug)]
enum Direction {
    Down,
    Up,
}

impl Direction {
    const ALL: [(Self, &str); 2] = [(Self::Down, "down"), (Self::Up, "up")];
}

/// One server's figures.
#[derive(Default)]
struct Rounds {
    /// GiB a second.
    rates: Vec<f64>,
    /// Milliseconds of processor a GiB.
    cpu: Vec<f64>,
}

pub fn measure(shipped: &Shipped, quick: bool) -> anyhow::Result<Section> {
    let pairs = if quick { 2 } else { 12 };
    let workers = std::thread::available_parallelism()?.get();
    let hotbay = Hotbay::start(shipped, &Under::default(), None, &[module(shipped)?])?;
    let base = compiled_in_streams(shipped, &Under::default(), workers)?;
    until(hotbay.server.address, "/nothing", 404)?;
    let before = peak(hotbay.engine()?)?;
    let mut section = Section::new(
        "A streamed GiB",
        format!(
            "One connection, pieces of 64 KiB made and thrown away by an axum Router; in pairs, {pairs} of them, of which each begins as often as the other. \
             Processor: of the server, the kernel's part included. Instructions: by callgrind, of one worker, as above, without the kernel's; half of what two GiB more take, of the upload by an eighth of it. Memory: \
             VmHWM of the engine."
        ),
    );
    for (direction, words) in Direction::ALL {
        let mut all: [Rounds; 2] = Default::default();
        for round in 0..pairs {
            for turn in 0..2 {
                let which = (round + turn) % 2;
                one([&hotbay.server, &base][which], direction, &mut all[which])?;
            }
        }
        add(&mut section, words, &all);
    }
    let more = peak(hotbay.engine()?)? - before;
    drop((hotbay, base));
    for (direction, words) in Direction::ALL {
        let [module, base] = [true, false].map(|is_module| instructions(shipped, is_module, direction));
        let (module, base) = (module?, base?);
        let name = |what: &str| format!("{what}, {words}: instructions");
        section.add(Figure::one(name("module / compiled in"), "", module / base));
        section.add(Figure::one(name("module"), "million", module / 1e6));
        section.add(Figure::one(name("compiled in"), "million", base / 1e6));
    }
    section.add(Figure::one("the engine's peak beyond its beginning", "MiB", more));
    Ok(section)
}

fn add(section: &mut Section, words: &str, [module, base]: &[Rounds; 2]) {
    let ratios = |of: &[f64], to: &[f64]| -> Vec<f64> { of.iter().zip(to).map(|(of, to)| of / to).collect() };
    let (rate, cpu) = (ratios(&module.rates, &base.rates), ratios(&module.cpu, &base.cpu));
    let figure =
        |what: &str, unit, figures: &[f64]| Figure::median(format!("{what}, {words}"), unit, median(figures));
    section.add(figure("module / compiled in", "", &rate).wanted(aim_at_least(0.9)));
    section.add(figure("module", "GiB/s", &module.rates));
    section.add(figure("compiled in", "GiB/s", &base.rates));
    let cpu_figure = |what: &str, unit, figures: &[f64]| {
        Figure::median(format!("{what}, {words}: processor"), unit, median(figures))
    };
    section.add(cpu_figure("module / compiled in", "", &cpu));
    section.add(cpu_figure("module", "ms", &module.cpu));
    section.add(cpu_figure("compiled in", "ms", &base.cpu));
}

fn module(shipped: &Shipped) -> anyhow::Result<(Entry, Vec<u8>)> {
    let bytes = shipped.build_of(Way::Streams, 0)?;
    Ok((entry_of(Way::Streams, "streams", "/{*rest}", &bytes)?, bytes))
}

fn one(server: &Server, direction: Direction, rounds: &mut Rounds) -> anyhow::Result<()> {
    let pids = server.pids();
    let (before, began) = (cpu_seconds(&pids), Instant::now());
    transfer(server.address, direction, BYTES)?;
    rounds.rates.push(1.0 / began.elapsed().as_secs_f64());
    rounds.cpu.push((cpu_seconds(&pids) - before) * 1e3);
    Ok(())
}

/// Instructions of a GiB. How much there is to be read at a time, and so what an upload takes, differs from one to the next: of two.
fn instructions(shipped: &Shipped, is_module: bool, direction: Direction) -> anyhow::Result<f64> {
    let (bytes, of_a_gib) = match direction {
        Direction::Down => (BYTES, 1.0),
        Direction::Up => (SLOW_BYTES, 8.0),
    };
    let life = |times: u32| {
        let folder = tempfile::tempdir()?;
        let under = callgrind(folder.path());
        let (server, word) = if is_module {
            (Hotbay::start(shipped, &under, Some(1), &[module(shipped)?])?.into_server(), " engine ")
        } else {
            (compiled_in_streams(shipped, &under, 1)?, "compiled-in")
        };
        for _ in 0..times {
            transfer(server.address, direction, bytes)?;
        }
        server.running.stop()?;
        totals(folder.path(), word)
    };
    Ok(more_of_the_busiest(&life(0)?, &life(2)?) / 2.0 * of_a_gib)
}

/// A GiB down, or so many bytes up, on a connection of its own.
fn transfer(address: SocketAddr, direction: Direction, bytes: usize) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut piece = vec![b'x'; PIECE];
    match direction {
        Direction::Down => {
            write!(stream, "GET /down HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
            let mut total = 0;
            while let count @ 1.. = stream.read(&mut piece)? {
                total += count;
            }
            ensure!(total > BYTES, "only {total} bytes came");
        }
        Direction::Up => {
            write!(
                stream,
                "POST /up HTTP/1.1\r\nHost: localhost\r\nContent-Length: {bytes}\r\nConnection: close\r\n\r\n"
            )?;
            for _ in 0..bytes / PIECE {
                stream.write_all(&piece)?;
            }
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            ensure!(answer.ends_with(&bytes.to_string()), "the answer is {answer:?}");
        }
    }
    Ok(())
}
