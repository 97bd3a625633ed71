//! The admin port's connections.
//!
//! Owns how many there may be. `port` serves them, and the desk answers.

use std::net::TcpListener;
use std::os::fd::BorrowedFd;
use std::time::Instant;

use rustix::event::PollFlags;

use super::{Desk, Facts};
use crate::port::{Port, Reply};

/// A page and two scrapers, a few times over. Each may hold an answer of its own: a megabyte, with a thousand modules.
const MAX_CONNECTIONS: usize = 16;

/// The server.
#[derive(Debug)]
pub struct Admin {
    port: Port,
    desk: Desk,
}

impl Admin {
    /// A server on a non-blocking socket. Beside addresses and localhost it answers to the names in `hosts`.
    pub fn new(listener: TcpListener, hosts: Vec<String>) -> Self {
        Self { port: Port::new(listener, MAX_CONNECTIONS), desk: Desk::new(hosts) }
    }

    /// What to poll, and for what.
    pub fn interests(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        self.port.interests()
    }

    /// When to call [`Self::turn`] at the latest.
    pub fn due(&self) -> Option<Instant> {
        self.port.due()
    }

    /// Accepts, reads, answers and closes what can be. `facts` is asked only if somebody wants to know.
    pub fn turn(&mut self, now: Instant, facts: &mut dyn FnMut() -> Facts) {
        let desk = &mut self.desk;
        self.port.turn(now, &mut |request| {
            let (answer, with_body) = desk.answer(request, now, facts)?;
            let end = if with_body { answer.bytes.len() } else { answer.body_at };
            Some(Reply { bytes: answer.bytes, end })
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::port::tests::{ask, listener};

    fn server() -> (Admin, std::net::SocketAddr) {
        let (listener, address) = listener();
        (Admin::new(listener, Vec::new()), address)
    }

    fn get(path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
    }

    #[test]
    fn every_path_has_its_answer() {
        let (mut admin, address) = server();
        let mut answered = |request: &str| {
            ask(address, request.as_bytes(), || admin.turn(Instant::now(), &mut Facts::default))
        };
        for (path, words) in [
            ("/", "content-security-policy: "),
            ("/metrics", "hotbay_build_info"),
            ("/status.json", "\"version\":1"),
        ] {
            let answer = answered(&get(path));
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains(words), "{path}: {answer}");
            let head = answered(&get(path).replace("GET", "HEAD"));
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{path}: {head}");
        }
        assert!(answered(&get("/other")).starts_with("HTTP/1.1 404 "));
        let post = answered(&get("/").replace("GET", "POST"));
        assert!(post.starts_with("HTTP/1.1 405 ") && post.contains("\r\nallow: GET, HEAD\r\n"), "{post}");
        assert!(answered(&get("/").replace("127.0.0.1", "evil.example")).starts_with("HTTP/1.1 403 "));
    }

    #[test]
    fn a_request_that_is_too_long_is_told_so() {
        let (mut admin, address) = server();
        let request = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(100_000));
        let answer = ask(address, request.as_bytes(), || admin.turn(Instant::now(), &mut Facts::default));
        assert!(answer.starts_with("HTTP/1.1 431 ") && answer.ends_with("too long\n"), "{answer}");
    }

    #[test]
    fn silent_clients_do_not_keep_a_scraper_out() {
        let (mut admin, address) = server();
        let silent: Vec<_> =
            (0..2 * MAX_CONNECTIONS).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
        let now = Instant::now();
        let answer = ask(address, get("/metrics").as_bytes(), || admin.turn(now, &mut Facts::default));
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        drop(silent);
    }

    #[test]
    fn many_who_ask_at_once_share_one_answer() {
        let (mut admin, _) = server();
        let mut asked = 0;
        let now = Instant::now();
        for later_ms in [0, 50, 99, 100, 150] {
            let mut facts = || {
                asked += 1;
                Facts::default()
            };
            let at = now + Duration::from_millis(later_ms);
            assert!(admin.desk.answer(get("/status.json").as_bytes(), at, &mut facts).is_some());
        }
        assert_eq!(asked, 2);
    }
}
