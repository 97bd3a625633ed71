//! The admin port's connections.
//!
//! Owns a small HTTP/1.1 server that lives inside the keeper's loop: one request a connection, answered and closed. Never blocks; a client that
//! is slow to ask or to take its answer holds one place among few, and not for long.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use super::{Desk, Facts};

/// A page and two scrapers, a few times over. Each may hold an answer of its own: a megabyte, with a thousand modules.
const MAX_CONNECTIONS: usize = 16;
/// To ask and to be answered.
const LIMIT: Duration = Duration::from_secs(5);
/// Of a request, a turn: the rest is read in the next one.
const READ_BYTES: usize = 4096;

/// The server.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    connections: Vec<Connection>,
    desk: Desk,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    deadline: Instant,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Asking(Vec<u8>),
    Answering { bytes: Rc<[u8]>, sent: usize, end: usize },
}

impl Admin {
    /// A server on a non-blocking socket. Beside addresses and localhost it answers to the names in `hosts`.
    pub fn new(listener: TcpListener, hosts: Vec<String>) -> Self {
        Self { listener, connections: Vec::new(), desk: Desk::new(hosts) }
    }

    /// What to poll, and for what. A full house leaves new clients in the socket's queue.
    pub fn interests(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        let listener = Some(self.listener.as_fd()).filter(|_| self.connections.len() < MAX_CONNECTIONS);
        let connections = self.connections.iter().map(|connection| {
            let flags = match connection.phase {
                Phase::Asking(_) => PollFlags::IN,
                Phase::Answering { .. } => PollFlags::OUT,
            };
            (connection.stream.as_fd(), flags)
        });
        listener.into_iter().map(|fd| (fd, PollFlags::IN)).chain(connections)
    }

    /// When the next connection has taken too long.
    pub fn due(&self) -> Option<Instant> {
        self.connections.iter().map(|connection| connection.deadline).min()
    }

    /// Accepts, reads, answers and closes what can be. `facts` is asked only if somebody wants to know.
    pub fn turn(&mut self, now: Instant, facts: &mut dyn FnMut() -> Facts) {
        while self.connections.len() < MAX_CONNECTIONS {
            let Ok((stream, _)) = self.listener.accept() else { break };
            if stream.set_nonblocking(true).is_ok() {
                let phase = Phase::Asking(Vec::new());
                self.connections.push(Connection { stream, deadline: now + LIMIT, phase });
            }
        }
        let desk = &mut self.desk;
        self.connections.retain_mut(|connection| {
            connection.deadline > now && connection.read(now, desk, facts) && connection.write()
        });
    }
}

impl Connection {
    /// Takes what has come of a request. Whether there is more to do.
    fn read(&mut self, now: Instant, desk: &mut Desk, facts: &mut dyn FnMut() -> Facts) -> bool {
        let Phase::Asking(request) = &mut self.phase else { return true };
        let mut buffer = [0; READ_BYTES];
        let ended = match self.stream.read(&mut buffer) {
            Ok(length) => {
                request.extend_from_slice(&buffer[..length]);
                length == 0
            }
            Err(error) => return matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        };
        match desk.answer(request, now, facts) {
            Some((answer, with_body)) => {
                let end = if with_body { answer.bytes.len() } else { answer.body_at };
                self.phase = Phase::Answering { bytes: answer.bytes, sent: 0, end };
                true
            }
            None => !ended,
        }
    }

    /// Gives what the client takes of its answer. Whether there is more to give.
    fn write(&mut self) -> bool {
        let Phase::Answering { bytes, sent, end } = &mut self.phase else { return true };
        while *sent < *end {
            match self.stream.write(&bytes[*sent..*end]) {
                Ok(0) => return false,
                Ok(length) => *sent += length,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
        // The client sees the end of the answer before that of the connection.
        let _ = self.stream.shutdown(Shutdown::Write);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> (Admin, std::net::SocketAddr) {
        let listener = hotbay_sys::listener::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        (Admin::new(listener, Vec::new()), address)
    }

    /// Asks, has the server turn until the connection is closed, and returns all that came.
    fn ask(admin: &mut Admin, address: std::net::SocketAddr, request: &str) -> String {
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(request.as_bytes()).unwrap();
        client.set_nonblocking(true).unwrap();
        let (mut answer, mut buffer) = (Vec::new(), [0; 65536]);
        let end = Instant::now() + Duration::from_secs(60);
        while Instant::now() < end {
            admin.turn(Instant::now(), &mut Facts::default);
            match client.read(&mut buffer) {
                Ok(0) => return String::from_utf8(answer).unwrap(),
                Ok(length) => answer.extend_from_slice(&buffer[..length]),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        panic!("no answer within 60 s")
    }

    fn get(path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
    }

    #[test]
    fn every_path_has_its_answer() {
        let (mut admin, address) = server();
        let mut answered = |request: &str| ask(&mut admin, address, request);
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
    fn a_full_house_of_silent_clients_is_cleared_by_the_clock() {
        let (mut admin, address) = server();
        let now = Instant::now();
        let silent: Vec<_> = (0..MAX_CONNECTIONS).map(|_| TcpStream::connect(address).unwrap()).collect();
        admin.turn(now, &mut Facts::default);
        assert_eq!(admin.connections.len(), MAX_CONNECTIONS);
        assert_eq!(admin.interests().count(), MAX_CONNECTIONS, "the listener is left alone");
        assert_eq!(admin.due(), Some(now + LIMIT));
        admin.turn(now + LIMIT, &mut Facts::default);
        assert_eq!(admin.connections.len(), 0);
        drop(silent);
        assert!(ask(&mut admin, address, &get("/metrics")).starts_with("HTTP/1.1 200 "));
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
