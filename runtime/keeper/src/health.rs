//! /healthz and /readyz.
//!
//! Owns what they answer; `port` serves them. That it answers at all is what /healthz says.

use std::net::TcpListener;
use std::os::fd::BorrowedFd;
use std::time::Instant;

use rustix::event::PollFlags;

use crate::port::{Port, Reply};

const MAX_CONNECTIONS: usize = 64;
const MAX_REQUEST_BYTES: usize = 1024;

/// The server.
#[derive(Debug)]
pub struct Health {
    port: Port,
}

impl Health {
    /// A server on a non-blocking socket.
    pub fn new(listener: TcpListener) -> Self {
        Self { port: Port::new(listener, MAX_CONNECTIONS) }
    }

    /// What to poll, and for what.
    pub fn interests(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        self.port.interests()
    }

    /// When to call [`Self::turn`] at the latest.
    pub fn due(&self) -> Option<Instant> {
        self.port.due()
    }

    /// Accepts, reads, answers and closes what can be.
    pub fn turn(&mut self, now: Instant, ready: bool) {
        self.port.turn(now, &mut |request| {
            let answer = answer(request, ready)?;
            Some(Reply { end: answer.len(), bytes: answer.into_bytes().into() })
        });
    }
}

/// The answer, once the request's head is whole or can no longer become so.
fn answer(request: &[u8], ready: bool) -> Option<String> {
    let whole = request.windows(4).any(|window| window == b"\r\n\r\n");
    if !whole && request.len() <= MAX_REQUEST_BYTES {
        return None;
    }
    let line = request.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|&byte| byte == b' ');
    let (status, body) = match (whole, words.next(), words.next()) {
        (false, ..) => ("431 Request Header Fields Too Large", "the request is too long"),
        (_, Some(b"GET"), Some(b"/healthz")) => ("200 OK", "ok"),
        (_, Some(b"GET"), Some(b"/readyz")) if ready => ("200 OK", "ok"),
        (_, Some(b"GET"), Some(b"/readyz")) => ("503 Service Unavailable", "no engine serves"),
        (_, Some(b"GET"), Some(_)) => ("404 Not Found", "there are /healthz and /readyz"),
        _ => ("405 Method Not Allowed", "only GET"),
    };
    let allow = if status.starts_with("405") { "allow: GET\r\n" } else { "" };
    let length = body.len() + 1;
    let head =
        format!("content-type: text/plain\r\ncontent-length: {length}\r\nconnection: close\r\n{allow}");
    Some(format!("HTTP/1.1 {status}\r\n{head}\r\n{body}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::tests::{ask, listener};

    fn status(request: &str, ready: bool) -> Option<String> {
        answer(request.as_bytes(), ready).map(|answer| answer["HTTP/1.1 ".len()..][..3].to_owned())
    }

    #[test]
    fn requests_get_their_status() {
        let get =
            |path: &str, ready| status(&format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n"), ready).unwrap();
        assert_eq!([get("/healthz", false), get("/healthz", true)], ["200", "200"]);
        assert_eq!([get("/readyz", false), get("/readyz", true)], ["503", "200"]);
        assert_eq!(get("/other", true), "404");
        assert_eq!(status("POST /healthz HTTP/1.1\r\n\r\n", true).unwrap(), "405");
        assert_eq!(status("\r\n\r\n", true).unwrap(), "405");
    }

    #[test]
    fn half_a_request_waits_and_an_endless_one_is_refused() {
        assert_eq!(status("GET /healthz HTTP/1.1\r\nhost:", true), None);
        let endless = format!("GET /healthz HTTP/1.1\r\nx: {}", "y".repeat(MAX_REQUEST_BYTES));
        assert_eq!(status(&endless, true).unwrap(), "431");
    }

    #[test]
    fn silent_clients_do_not_keep_the_kubelet_out() {
        let (listener, address) = listener();
        let mut health = Health::new(listener);
        let now = Instant::now();
        let silent: Vec<_> =
            (0..MAX_CONNECTIONS).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
        health.turn(now, true);
        let answer = ask(address, b"GET /readyz HTTP/1.1\r\n\r\n", || health.turn(now, true));
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        drop(silent);
    }
}
