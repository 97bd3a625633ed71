//! A small HTTP/1.1 server that lives inside the keeper's loop: one request a connection, answered and closed.
//!
//! Owns its connections, and that no client keeps the others out. Each holds one place among few, and not for long; when all are taken, a new
//! client gets the place of the one that has owed a request, or the end of its connection, the longest. Never blocks. Must not know what is asked:
//! its caller answers.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

/// For a request's head: a client that means it sends it with its connection.
const ASKING: Duration = Duration::from_secs(2);
/// To take an answer.
const ANSWERING: Duration = Duration::from_secs(5);
/// To say goodbye. What a client has sent and nobody has read when its connection is closed makes the kernel reset it, and the client may lose
/// an answer that it has not read yet. So the rest is read and dropped: so long, and so much.
const CLOSING: Duration = Duration::from_secs(1);
const UNREAD_BYTES: usize = 256 * 1024;
/// Of a request, at a time.
const READ_BYTES: usize = 4096;
/// Those who come by the thousand do not keep the keeper from its engines.
const ACCEPTS_A_TURN: usize = 64;

/// The server.
#[derive(Debug)]
pub(crate) struct Port {
    listener: TcpListener,
    places: usize,
    /// In the order in which they came.
    connections: Vec<Connection>,
}

/// What a client gets, shared by all who get the same.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub bytes: Rc<[u8]>,
    /// So much of it is sent.
    pub end: usize,
}

/// Says what to reply to the bytes of a request; `None` as long as they are not enough.
pub(crate) type Answer<'a> = &'a mut dyn FnMut(&[u8]) -> Option<Reply>;

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    deadline: Instant,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Asking(Vec<u8>),
    Answering {
        reply: Reply,
        sent: usize,
    },
    /// The answer is sent; what else the client has to say is dropped.
    Closing {
        dropped: usize,
    },
}

impl Port {
    /// A server on a non-blocking socket, for so many clients at once.
    pub fn new(listener: TcpListener, places: usize) -> Self {
        Self { listener, places, connections: Vec::new() }
    }

    /// What to poll, and for what. If nobody's place can be given away, new clients wait in the socket's queue.
    pub fn interests(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        let listener = Some(self.listener.as_fd()).filter(|_| self.has_room());
        let connections = self.connections.iter().map(|connection| {
            let flags = match connection.phase {
                Phase::Asking(_) | Phase::Closing { .. } => PollFlags::IN,
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

    /// Accepts, reads, answers and closes what can be.
    pub fn turn(&mut self, now: Instant, answer: Answer) {
        self.connections.retain_mut(|connection| connection.deadline > now && connection.turn(now, answer));
        for _ in 0..ACCEPTS_A_TURN {
            if !self.has_room() {
                return;
            }
            let Ok((stream, _)) = self.listener.accept() else { return };
            let mut connection =
                Connection { stream, deadline: now + ASKING, phase: Phase::Asking(Vec::new()) };
            // Heard before anybody is sent away for it: most clients have asked by now.
            if connection.stream.set_nonblocking(true).is_ok() && connection.turn(now, answer) {
                self.make_room();
                self.connections.push(connection);
            }
        }
    }

    fn has_room(&self) -> bool {
        self.connections.len() < self.places || self.connections.iter().any(Connection::is_owing)
    }

    fn make_room(&mut self) {
        if self.connections.len() >= self.places
            && let Some(at) = self.connections.iter().position(Connection::is_owing)
        {
            self.connections.remove(at);
        }
    }
}

impl Connection {
    /// Whether it is the client's turn to send something: a request, or the end of the connection.
    fn is_owing(&self) -> bool {
        !matches!(self.phase, Phase::Answering { .. })
    }

    /// Does what can be done now. Whether there is more to do.
    fn turn(&mut self, now: Instant, answer: Answer) -> bool {
        self.read(now, answer) && self.write(now) && self.close()
    }

    /// Takes what has come of a request.
    fn read(&mut self, now: Instant, answer: Answer) -> bool {
        let Phase::Asking(request) = &mut self.phase else { return true };
        let mut buffer = [0; READ_BYTES];
        let ended = match self.stream.read(&mut buffer) {
            Ok(length) => {
                request.extend_from_slice(&buffer[..length]);
                length == 0
            }
            Err(error) => return is_passing(&error),
        };
        let Some(reply) = answer(request) else { return !ended };
        self.phase = Phase::Answering { reply, sent: 0 };
        self.deadline = now + ANSWERING;
        true
    }

    /// Gives what the client takes of its answer.
    fn write(&mut self, now: Instant) -> bool {
        let Phase::Answering { reply, sent } = &mut self.phase else { return true };
        while *sent < reply.end {
            match self.stream.write(&reply.bytes[*sent..reply.end]) {
                Ok(0) => return false,
                Ok(length) => *sent += length,
                Err(error) => return is_passing(&error),
            }
        }
        self.phase = Phase::Closing { dropped: 0 };
        self.deadline = now + CLOSING;
        // The client sees the end of the answer before that of the connection.
        self.stream.shutdown(Shutdown::Write).is_ok()
    }

    /// Reads what nobody wants to know, until the client has closed its side.
    fn close(&mut self) -> bool {
        let Phase::Closing { dropped } = &mut self.phase else { return true };
        let mut buffer = [0; READ_BYTES];
        while *dropped < UNREAD_BYTES {
            match self.stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(length) => *dropped += length,
                Err(error) => return is_passing(&error),
            }
        }
        false
    }
}

/// Whether it is worth to come back later.
fn is_passing(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

#[cfg(test)]
pub(crate) mod tests;
