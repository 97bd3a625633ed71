//! What has left HTTP on a connection.
//!
//! Owns it until it is over or the connection is: by HTTP/1 the connection's own task goes on with it, by HTTP/2 each is a task that ends with the
//! connection. Must not speak for it: [`Tunnel`] does.

use std::sync::PoisonError;

use http::{HeaderMap, HeaderValue, header};
use tokio::task::AbortHandle;

use super::executor::SendingTask;
use super::{Busy, Conn};
use crate::request::Tunnel;

#[derive(Debug, Default)]
pub(super) struct Upgrades {
    /// By HTTP/1: what follows when HTTP has ended.
    next: Option<(Box<Tunnel>, Busy)>,
    /// By HTTP/2: those that may still run.
    tasks: Vec<AbortHandle>,
}

impl Conn {
    fn upgrades(&self) -> std::sync::MutexGuard<'_, Upgrades> {
        self.upgrades.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on with `tunnel` when its head has been sent; says in the head what the protocol wants said.
    pub(super) fn upgrade(&self, tunnel: Box<Tunnel>, busy: Busy, headers: &mut HeaderMap, is_h1: bool) {
        let mut upgrades = self.upgrades();
        if is_h1 {
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(header::UPGRADE, tunnel.protocol());
            upgrades.next = Some((tunnel, busy));
            return;
        }
        upgrades.tasks.retain(|task| !task.is_finished());
        let sending = SendingTask::default();
        sending.is_next();
        upgrades.tasks.push(tokio::spawn(tunnel.run(busy, sending)).abort_handle());
    }

    /// What follows HTTP/1.
    pub(super) fn take_upgrade(&self) -> Option<(Box<Tunnel>, Busy)> {
        self.upgrades().next.take()
    }

    /// The connection has ended, and what HTTP/2 carried with it.
    pub(super) fn end_upgrades(&self) {
        self.upgrades().tasks.drain(..).for_each(|task| task.abort());
    }
}
