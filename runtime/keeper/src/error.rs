//! Why a keeper ends before it is told to.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the keeper could not begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// An address cannot be bound.
    #[error("cannot listen on {address}; is it in use, or not this machine's?")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The state folder cannot be used.
    #[error("cannot use the state folder {}; it must be writable", path.display())]
    State {
        /// Which.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A call that cannot fail on a healthy system has failed.
    #[error("the kernel refused {what}")]
    System {
        /// What was asked.
        what: &'static str,
        /// Its answer.
        source: io::Error,
    },
}
