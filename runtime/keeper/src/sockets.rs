//! The keeper's listening sockets, as they are bound at its start.
//!
//! Owns which failure ends the keeper, and patience with what an earlier keeper has left.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use hotbay_sys::listener;

use crate::admin::Admin;
use crate::error::KeeperError;
use crate::settings::Settings;

const BIND_PATIENCE: Duration = Duration::from_secs(2);
const BIND_INTERVAL: Duration = Duration::from_millis(20);

/// The admin port. One that is only nice to have may be taken, by another keeper on the same laptop.
///
/// # Errors
/// When one that was asked for cannot be had.
pub(crate) fn admin(settings: &Settings) -> Result<Option<Admin>, KeeperError> {
    let Some(address) = settings.admin_listen else { return Ok(None) };
    // Unlike the other sockets no engine holds it, so nobody's death has to be waited for.
    let bound = listener::listen(address).and_then(|listener| Ok((listener.local_addr()?, listener)));
    match bound {
        Ok((address, listener)) => {
            tracing::info!("admin page at http://{address}/, metrics at http://{address}/metrics");
            Ok(Some(Admin::new(listener, settings.admin_hosts.clone())))
        }
        Err(error) if settings.admin_optional => {
            tracing::warn!(
                %address, %error,
                "no admin page: is another one there? Choose an address for this one with --admin-listen"
            );
            Ok(None)
        }
        Err(source) => Err(KeeperError::Listen { address, source }),
    }
}

/// A listening socket; `what` for is said.
///
/// # Errors
/// When the address cannot be had.
pub(crate) fn listen(address: SocketAddr, what: &str) -> Result<TcpListener, KeeperError> {
    let refused = |source| KeeperError::Listen { address, source };
    let listener = bind(address).map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    tracing::info!(%address, "listening for {what}");
    Ok(listener)
}

/// A keeper that was killed leaves its socket to its engines, which die a moment later.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let end = Instant::now() + BIND_PATIENCE;
    loop {
        match listener::listen(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < end => {
                std::thread::sleep(BIND_INTERVAL);
            }
            other => return other,
        }
    }
}
