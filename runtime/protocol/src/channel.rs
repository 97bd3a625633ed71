//! One end of the socket pair between keeper and engine.
//!
//! Owns framing: a fixed header `{version, length, sequence}` and JSON behind it, one message a packet. Descriptors travel with a message from
//! the keeper to the engine only.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use hotbay_sys::seqpacket;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The most bytes of a packet; long lists travel in pieces.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// Of the framing. Messages themselves grow by optional fields.
const VERSION: u16 = 1;

const HEADER: usize = 12;

/// One end. Sending is safe from several threads; receiving belongs to one.
#[derive(Debug)]
pub struct Channel {
    socket: OwnedFd,
    sequence: AtomicU32,
}

/// Why a message did not pass.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The other side is gone.
    #[error("the other side has closed the channel")]
    Closed,
    /// Nothing to receive, or no room to send, on a non-blocking channel.
    #[error("the channel would block")]
    WouldBlock,
    /// The kernel refused.
    #[error("the channel failed")]
    Io(#[source] std::io::Error),
    /// A message is longer than [`MAX_MESSAGE`].
    #[error("a message of {0} bytes is too long for the channel")]
    TooLong(usize),
    /// A packet is no message of this version.
    #[error("a packet of {length} bytes is not a message of version {VERSION}: {why}")]
    Malformed {
        /// The packet's length.
        length: usize,
        /// What is wrong.
        why: String,
    },
}

impl Channel {
    /// A connected pair, both ends blocking and close-on-exec.
    ///
    /// # Errors
    /// When the kernel has no more descriptors.
    pub fn pair() -> std::io::Result<(Self, Self)> {
        let (left, right) = seqpacket::pair()?;
        Ok((Self::new(left), Self::new(right)))
    }

    /// The end that `socket` is.
    pub fn new(socket: OwnedFd) -> Self {
        Self { socket, sequence: AtomicU32::new(0) }
    }

    /// Gives up framing and returns the socket, to be inherited by a child.
    pub fn into_fd(self) -> OwnedFd {
        self.socket
    }

    /// Sends one message.
    ///
    /// # Errors
    /// See [`ChannelError`]; nothing was sent then.
    pub fn send<M: Serialize>(&self, message: &M) -> Result<(), ChannelError> {
        self.send_with(message, &[])
    }

    /// Sends one message with descriptors.
    ///
    /// # Errors
    /// See [`ChannelError`]; nothing was sent then.
    pub fn send_with<M: Serialize>(&self, message: &M, fds: &[BorrowedFd<'_>]) -> Result<(), ChannelError> {
        let mut packet = vec![0; HEADER];
        serde_json::to_writer(&mut packet, message)
            .map_err(|error| ChannelError::Malformed { length: 0, why: error.to_string() })?;
        if packet.len() > MAX_MESSAGE {
            return Err(ChannelError::TooLong(packet.len()));
        }
        let length = u32::try_from(packet.len() - HEADER).unwrap_or(u32::MAX);
        packet[0..2].copy_from_slice(&VERSION.to_le_bytes());
        packet[4..8].copy_from_slice(&length.to_le_bytes());
        packet[8..12].copy_from_slice(&self.sequence.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        seqpacket::send(self.socket.as_fd(), &packet, fds).map_err(from_io)
    }

    /// Receives one message and what descriptors came with it (all close-on-exec).
    ///
    /// # Errors
    /// See [`ChannelError`]. After `Malformed` the channel may go on.
    pub fn receive<M: DeserializeOwned>(&self) -> Result<(M, Vec<OwnedFd>), ChannelError> {
        let mut packet = vec![0; MAX_MESSAGE];
        let (length, fds) = seqpacket::receive(self.socket.as_fd(), &mut packet).map_err(from_io)?;
        if length == 0 {
            return Err(ChannelError::Closed);
        }
        let malformed = |why: &str| ChannelError::Malformed { length, why: why.to_owned() };
        let packet = packet.get(..length).ok_or_else(|| malformed("cut short"))?;
        let (header, json) = packet.split_at_checked(HEADER).ok_or_else(|| malformed("no header"))?;
        if header[0..2] != VERSION.to_le_bytes() {
            return Err(malformed("another version"));
        }
        if header[4..8] != u32::try_from(json.len()).unwrap_or(u32::MAX).to_le_bytes() {
            return Err(malformed("another length than its header says"));
        }
        let message = serde_json::from_slice(json).map_err(|error| malformed(&error.to_string()))?;
        Ok((message, fds))
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn from_io(error: std::io::Error) -> ChannelError {
    match error.kind() {
        std::io::ErrorKind::WouldBlock => ChannelError::WouldBlock,
        std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::ConnectionReset => ChannelError::Closed,
        _ => ChannelError::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ToEngine, Why};

    #[test]
    fn a_message_arrives_with_its_descriptors() {
        let (left, right) = Channel::pair().unwrap();
        let hello = ToEngine::Hello { generation: 3, why: Why::Crash };
        let file = tempfile::tempfile().unwrap();
        left.send_with(&hello, &[file.as_fd()]).unwrap();
        let (received, fds): (ToEngine, _) = right.receive().unwrap();
        assert_eq!((received, fds.len()), (hello, 1));
    }

    #[test]
    fn a_closed_end_is_told_from_nonsense() {
        let (left, right) = Channel::pair().unwrap();
        seqpacket::send(left.as_fd(), b"nonsense", &[]).unwrap();
        assert!(matches!(right.receive::<ToEngine>(), Err(ChannelError::Malformed { length: 8, .. })));
        drop(left);
        assert!(matches!(right.receive::<ToEngine>(), Err(ChannelError::Closed)));
    }

    #[test]
    fn a_message_over_the_limit_is_refused_by_its_sender() {
        let (left, _right) = Channel::pair().unwrap();
        assert!(matches!(left.send(&"x".repeat(MAX_MESSAGE)), Err(ChannelError::TooLong(_))));
    }
}
