//! /healthz and /readyz.
//!
//! Owns a very small HTTP/1.1 server that lives inside the keeper's loop: one GET a connection, answered and closed. That it answers at all is
//! what /healthz says. Never blocks, and no client can hold more than its place among few for longer than two seconds.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

const MAX_CONNECTIONS: usize = 64;
const MAX_REQUEST_BYTES: usize = 1024;
const IDLE: Duration = Duration::from_secs(2);

/// The server.
#[derive(Debug)]
pub struct Health {
    listener: TcpListener,
    connections: Vec<Connection>,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    deadline: Instant,
}

impl Health {
    /// A server on a non-blocking socket.
    pub fn new(listener: TcpListener) -> Self {
        Self { listener, connections: Vec::new() }
    }

    /// What to poll for reading. A full house leaves new clients in the socket's queue.
    pub fn readable(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let listener = Some(self.listener.as_fd()).filter(|_| self.connections.len() < MAX_CONNECTIONS);
        listener.into_iter().chain(self.connections.iter().map(|connection| connection.stream.as_fd()))
    }

    /// When the next connection has idled too long.
    pub fn due(&self) -> Option<Instant> {
        self.connections.iter().map(|connection| connection.deadline).min()
    }

    /// Accepts, reads, answers and closes what can be.
    pub fn turn(&mut self, now: Instant, ready: bool) {
        while self.connections.len() < MAX_CONNECTIONS {
            let Ok((stream, _)) = self.listener.accept() else { break };
            if stream.set_nonblocking(true).is_ok() {
                self.connections.push(Connection { stream, request: Vec::new(), deadline: now + IDLE });
            }
        }
        self.connections.retain_mut(|connection| connection.turn(ready) && connection.deadline > now);
    }
}

impl Connection {
    /// Whether there is more to wait for.
    fn turn(&mut self, ready: bool) -> bool {
        let mut buffer = [0; MAX_REQUEST_BYTES];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(length) => self.request.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
            if let Some(answer) = answer(&self.request, ready) {
                // A new connection's buffer has room for it; a client that is gone needs none.
                let _ = self.stream.write(answer.as_bytes());
                return false;
            }
        }
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
    fn a_full_house_answers_again_once_the_idle_are_gone() {
        let listener = hotbay_sys::listener::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let mut health = Health::new(listener);
        let now = Instant::now();
        let idle: Vec<_> = (0..MAX_CONNECTIONS).map(|_| TcpStream::connect(address).unwrap()).collect();
        health.turn(now, true);
        assert_eq!(health.connections.len(), MAX_CONNECTIONS);
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(b"GET /readyz HTTP/1.1\r\n\r\n").unwrap();
        assert_eq!(health.readable().count(), MAX_CONNECTIONS, "the listener is left alone");
        health.turn(now + IDLE, true);
        health.turn(now + IDLE, true);
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        drop(idle);
    }
}
