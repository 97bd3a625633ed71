//! A pair of connected sockets that keep packets whole and carry descriptors.
//!
//! Owns the flags that nobody may forget: close-on-exec on both sides, no SIGPIPE, nothing cut short in silence. Knows no message.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

/// The most descriptors that one packet carries.
pub const MAX_FDS: usize = 8;

// Room for several packets of 64 KiB and the kernel's own overhead, so that a burst does not wait for its reader. The kernel's default is
// about 208 KiB; it caps what we ask for at net.core.wmem_max, and a smaller buffer is slower, not wrong.
const SEND_BUFFER_BYTES: usize = 1024 * 1024;

/// A connected pair, both ends blocking and close-on-exec.
///
/// # Errors
/// When the process has no more descriptors.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (left, right) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    for end in [&left, &right] {
        rustix::net::sockopt::set_socket_send_buffer_size(end, SEND_BUFFER_BYTES)?;
    }
    Ok((left, right))
}

/// Makes an end return `WouldBlock` instead of waiting. The other end stays as it is.
///
/// # Errors
/// When the kernel refuses.
pub fn set_nonblocking(socket: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::io::ioctl_fionbio(socket, true)?)
}

/// Sends one packet with at most [`MAX_FDS`] descriptors, whole or not at all.
///
/// # Errors
/// When the other end is closed, the packet is too long, or (non-blocking) there is no room.
pub fn send(socket: BorrowedFd<'_>, packet: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    if fds.len() > MAX_FDS {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors for one packet"));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors for one packet"));
    }
    let packet = [IoSlice::new(packet)];
    rustix::io::retry_on_intr(|| rustix::net::sendmsg(socket, &packet, &mut control, SendFlags::NOSIGNAL))?;
    Ok(())
}

/// Receives one packet: its length, 0 once the other end is closed, and its descriptors, close-on-exec.
///
/// # Errors
/// `InvalidData` when packet or descriptors did not fit (what came is dropped and closed), `WouldBlock` on a non-blocking socket with
/// nothing to read, else the kernel's error.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    loop {
        match receive_once(socket, buffer) {
            // The other end closed with something of ours unread. The kernel says so first and once; what it sent before is still queued.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

fn receive_once(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut slices = [IoSliceMut::new(buffer)];
    let received = rustix::net::recvmsg(socket, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC)
        .map_err(|errno: Errno| io::Error::from(errno))?;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the packet or its descriptors were cut short",
        ));
    }
    Ok((received.bytes, fds))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, Write};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn packets_keep_their_ends_and_carry_descriptors() {
        let (left, right) = pair().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"through the socket").unwrap();
        file.rewind().unwrap();
        send(left.as_fd(), b"one", &[file.as_fd()]).unwrap();
        send(left.as_fd(), b"three", &[]).unwrap();
        let mut buffer = [0; 16];
        let (length, mut fds) = receive(right.as_fd(), &mut buffer).unwrap();
        assert_eq!((&buffer[..length], fds.len()), (&b"one"[..], 1));
        assert!(rustix::io::fcntl_getfd(&fds[0]).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
        let mut text = String::new();
        std::fs::File::from(fds.remove(0)).read_to_string(&mut text).unwrap();
        assert_eq!(text, "through the socket");
        assert_eq!(receive(right.as_fd(), &mut buffer).unwrap().0, 5);
    }

    #[test]
    fn a_packet_that_does_not_fit_is_an_error_and_the_next_one_is_whole() {
        let (left, right) = pair().unwrap();
        send(left.as_fd(), b"too long", &[left.as_fd()]).unwrap();
        send(left.as_fd(), b"fits", &[]).unwrap();
        let mut buffer = [0; 4];
        assert_eq!(receive(right.as_fd(), &mut buffer).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(receive(right.as_fd(), &mut buffer).unwrap().0, 4);
    }

    #[test]
    fn what_was_sent_before_a_close_is_read_even_if_the_closer_left_something_unread() {
        let (left, right) = pair().unwrap();
        send(left.as_fd(), b"last words", &[]).unwrap();
        send(right.as_fd(), b"never read", &[]).unwrap();
        drop(left);
        let mut buffer = [0; 16];
        assert_eq!(receive(right.as_fd(), &mut buffer).unwrap().0, 10);
        assert_eq!(receive(right.as_fd(), &mut buffer).unwrap().0, 0);
        assert_eq!(send(right.as_fd(), b"x", &[]).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_full_non_blocking_end_says_so_and_loses_nothing() {
        let (left, right) = pair().unwrap();
        set_nonblocking(left.as_fd()).unwrap();
        set_nonblocking(right.as_fd()).unwrap();
        let packet = vec![7; 64 * 1024];
        let mut sent = 0;
        while send(left.as_fd(), &packet, &[]).is_ok() {
            sent += 1;
        }
        assert!(sent > 1, "several packets must fit, and only {sent} did");
        let mut buffer = vec![0; 64 * 1024];
        let received = std::iter::from_fn(|| receive(right.as_fd(), &mut buffer).ok()).count();
        assert_eq!(received, sent);
    }
}
