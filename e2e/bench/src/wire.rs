//! One HTTP/1.1 connection with one request at a time, and nothing in between.
//!
//! Owns the client of everything but throughput: it knows when the last byte of an answer came, and sends exactly the headers that it is told.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

/// How long an answer may take.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks: a tenth of the least figure that is waited for.
pub const LOOK: Duration = Duration::from_micros(200);

/// A connection.
pub struct Wire {
    stream: TcpStream,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

/// `GET path` with Host and so many further headers, as a browser may send them.
pub fn request(path: &str, further: usize) -> Vec<u8> {
    const FURTHER: [&str; 9] = [
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        "Accept-Language: en-US,en;q=0.5",
        "Accept-Encoding: gzip, deflate, br, zstd",
        "Cookie: session=0123456789abcdef0123456789abcdef",
        "Upgrade-Insecure-Requests: 1",
        "Sec-Fetch-Dest: document",
        "Sec-Fetch-Mode: navigate",
        "X-Request-Id: 4bf92f3577b34da6a3ce929d0e0e4736",
    ];
    let headers: String = FURTHER.iter().take(further).map(|header| format!("{header}\r\n")).collect();
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").into_bytes()
}

impl Wire {
    /// Connects.
    pub fn open(address: SocketAddr, request: Vec<u8>) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, request, buffer: Vec::new() })
    }

    /// One request and its whole answer: status and body.
    pub fn ask(&mut self) -> std::io::Result<(u16, Vec<u8>)> {
        self.stream.write_all(&self.request)?;
        self.buffer.clear();
        let mut piece = [0; 4096];
        loop {
            let count = self.stream.read(&mut piece)?;
            if count == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            self.buffer.extend_from_slice(&piece[..count]);
            if let Some(answer) = parse(&self.buffer) {
                return Ok(answer);
            }
        }
    }

    /// So many requests, each answered with 200.
    pub fn ask_often(&mut self, count: u32) -> anyhow::Result<()> {
        for _ in 0..count {
            let (status, _) = self.ask()?;
            ensure!(status == 200, "an answer was {status}");
        }
        Ok(())
    }
}

/// Status and body of an answer with a length, once all of it is there.
fn parse(bytes: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("content-length") { value.trim().parse().ok() } else { None }
    });
    let length: usize = length.unwrap_or(0);
    bytes.get(end..end + length).map(|body| (status, body.to_vec()))
}

/// Asks again and again until the answer has `status`, and returns when it came. What goes wrong meanwhile is tried again.
pub fn until(address: SocketAddr, path: &str, status: u16) -> anyhow::Result<Instant> {
    until_every(LOOK, address, path, status)
}

/// The same, with so much time between two looks.
pub fn until_every(look: Duration, address: SocketAddr, path: &str, status: u16) -> anyhow::Result<Instant> {
    let deadline = Instant::now() + PATIENCE;
    let mut open: Option<Wire> = None;
    loop {
        let wire = match open.take() {
            Some(wire) => Ok(wire),
            None => Wire::open(address, request(path, 0)),
        };
        let last = match wire.and_then(|mut wire| wire.ask().map(|answer| (wire, answer))) {
            Ok((_, (got, _))) if got == status => return Ok(Instant::now()),
            Ok((wire, (got, body))) => {
                open = Some(wire);
                format!("{got} {}", String::from_utf8_lossy(&body))
            }
            Err(error) => error.to_string(),
        };
        if Instant::now() > deadline {
            bail!("GET {path} of {address} was not answered with {status} in {PATIENCE:?}; at last: {last}");
        }
        std::thread::sleep(look);
    }
}

/// The body of `GET path`, which must be answered with 200.
pub fn body(address: SocketAddr, path: &str) -> anyhow::Result<Vec<u8>> {
    let (status, body) = Wire::open(address, request(path, 0))?.ask().context("no answer")?;
    ensure!(status == 200, "GET {path} of {address} is answered with {status}");
    Ok(body)
}

/// An address of this host that nobody listens on.
pub fn free_address() -> SocketAddr {
    hotbay_e2e::laptop::free_address()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_length_is_there() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
        assert_eq!(parse(whole), Some((200, b"hi".to_vec())));
        assert_eq!(parse(&whole[..whole.len() - 1]), None);
        assert_eq!(parse(b"HTTP/1.1 404 Not Found\r\n\r\n"), Some((404, vec![])));
        assert_eq!(parse(b"HTTP/1.1 404"), None);
    }

    #[test]
    fn ten_headers_are_ten() {
        let lines = |further| String::from_utf8(request("/hello", further)).unwrap().lines().count() - 2;
        assert_eq!([lines(0), lines(9)], [1, 10]);
    }
}
