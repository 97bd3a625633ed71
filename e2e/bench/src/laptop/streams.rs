//! A gibibyte each way, beside the same Router compiled in.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::child::peak;
use crate::report::{Figure, Section, aim_at_least};
use crate::server::{Hotbay, Shipped, Under, Way, compiled_in_streams, entry_of};
use crate::stats::median;
use crate::wire::until;

const BYTES: usize = 1 << 30;
const PIECE: usize = 256 * 1024;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A way for bytes.
#[derive(Clone, Copy, Debug)]
enum Direction {
    Down,
    Up,
}

pub fn measure(shipped: &Shipped, quick: bool) -> anyhow::Result<Section> {
    let pairs = if quick { 1 } else { 8 };
    let bytes = shipped.build_of(Way::Streams, 0)?;
    let entry = entry_of(Way::Streams, "streams", "/{*rest}", &bytes)?;
    let hotbay = Hotbay::start(shipped, &Under::default(), None, &[(entry, bytes)])?;
    let base = compiled_in_streams(shipped)?;
    until(hotbay.server.address, "/nothing", 404)?;
    let before = peak(hotbay.engine()?)?;
    let mut section = Section::new(
        "A streamed GiB",
        format!(
            "One connection, pieces of 64 KiB made and thrown away by an axum Router; in pairs, {pairs} of them. Memory: VmHWM of the engine."
        ),
    );
    for (direction, words) in [(Direction::Down, "down"), (Direction::Up, "up")] {
        let (mut module, mut compiled) = (Vec::new(), Vec::new());
        for _ in 0..pairs {
            module.push(rate(hotbay.server.address, direction)?);
            compiled.push(rate(base.address, direction)?);
        }
        let ratios: Vec<f64> = module.iter().zip(&compiled).map(|(module, base)| module / base).collect();
        section.add(
            Figure::median(format!("module / compiled in, {words}"), "", median(&ratios))
                .wanted(aim_at_least(0.9)),
        );
        section.add(Figure::median(format!("module, {words}"), "GiB/s", median(&module)));
        section.add(Figure::median(format!("compiled in, {words}"), "GiB/s", median(&compiled)));
    }
    section.add(Figure::one(
        "the engine's peak beyond its beginning",
        "MiB",
        peak(hotbay.engine()?)? - before,
    ));
    Ok(section)
}

/// GiB a second.
fn rate(address: SocketAddr, direction: Direction) -> anyhow::Result<f64> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut piece = vec![b'x'; PIECE];
    let began = Instant::now();
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
                "POST /up HTTP/1.1\r\nHost: localhost\r\nContent-Length: {BYTES}\r\nConnection: close\r\n\r\n"
            )?;
            for _ in 0..BYTES / PIECE {
                stream.write_all(&piece)?;
            }
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            ensure!(answer.ends_with(&BYTES.to_string()), "the answer is {answer:?}");
        }
    }
    Ok(1.0 / began.elapsed().as_secs_f64())
}
