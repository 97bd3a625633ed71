//! Listening sockets that processes share.
//!
//! Owns how one is made and how damage is found: any process that holds it can shut it down or make it blocking, for all. Accepts nothing.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::OFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

// Clients wait here while an engine is replaced. The kernel caps it at net.core.somaxconn, 4096 by default.
const BACKLOG: i32 = 4096;

/// What [`repair`] found and mended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// It did not listen: somebody had called `shutdown`.
    pub deaf: bool,
    /// It was blocking.
    pub blocking: bool,
}

/// A listening TCP socket: non-blocking and close-on-exec.
///
/// # Errors
/// When the address is in use or not ours.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket: OwnedFd = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    // Else a restart would have to wait until the last process's connections have left TIME_WAIT.
    rustix::net::sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// Looks whether the socket still listens and does not block, and mends what is wrong. Connections that waited when it was shut down are
/// lost; later ones are not.
///
/// # Errors
/// When it cannot be mended.
pub fn repair(listener: &impl AsFd) -> io::Result<Damage> {
    let deaf = !rustix::net::sockopt::socket_acceptconn(listener)?;
    if deaf {
        rustix::net::listen(listener, BACKLOG)?;
    }
    let blocking = !rustix::fs::fcntl_getfl(listener)?.contains(OFlags::NONBLOCK);
    if blocking {
        rustix::io::ioctl_fionbio(listener, true)?;
    }
    Ok(Damage { deaf, blocking })
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    fn local() -> TcpListener {
        listen("127.0.0.1:0".parse().unwrap()).unwrap()
    }

    #[test]
    fn it_queues_connections_before_anybody_accepts() {
        let listener = local();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert_eq!(repair(&listener).unwrap(), Damage::default());
    }

    #[test]
    fn a_shut_down_listener_listens_again_on_its_port() {
        // Port 0 would be chosen anew by listen(): only an explicitly bound port is kept. The address is nobody else's.
        let [.., one, two, three] = std::process::id().to_be_bytes();
        let address = SocketAddr::from(([127, one | 0x40, two, three], 8880));
        let listener = listen(address).unwrap();
        rustix::net::shutdown(&listener, rustix::net::Shutdown::Both).unwrap();
        assert!(TcpStream::connect(address).is_err(), "it must refuse while it is shut down");
        assert_eq!(repair(&listener).unwrap(), Damage { deaf: true, blocking: false });
        TcpStream::connect(address).unwrap();
    }

    #[test]
    fn a_blocking_listener_is_made_non_blocking_for_every_holder() {
        let listener = local();
        let other = listener.try_clone().unwrap();
        other.set_nonblocking(false).unwrap();
        assert_eq!(repair(&listener).unwrap(), Damage { deaf: false, blocking: true });
        assert_eq!(other.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
