//! What the control loop hears of threads that are held.
//!
//! Owns whom a finding is about, in words, and that a build is named once; and that those whose calls never return are named, and an engine replaced that has
//! lost all its blocking threads to them. Must not judge: `stall` has, and `pool`.

use std::collections::BTreeSet;

use hotbay_loader::{Mark, Overdue};
use hotbay_protocol::{Demoted, Stay, ToKeeper, Want};

use super::Control;
use crate::stall::{Deed, Finding};

impl Control {
    /// Whether the table has to change.
    pub(super) fn take_finding(&mut self, finding: Finding) -> bool {
        match finding {
            Finding::Lasts => false,
            Finding::Stall(stay) => {
                if let Some(key) = self.memory.module(stay.row) {
                    tracing::debug!(module = %key, "a call holds its thread");
                    self.link.send(&ToKeeper::Stall { key });
                }
                false
            }
            Finding::Demote(stay, deed) => self.demote(stay, deed),
            Finding::AllHeld => {
                if !std::mem::replace(&mut self.told_held, true) {
                    self.link.send(&ToKeeper::Want(Want::WorkersHeld));
                }
                false
            }
        }
    }

    /// Looks whose calls on the pool do not return.
    pub(super) fn watch_pool(&mut self) {
        let (stuck, is_held) = self.server.pool().stuck();
        let named = |mark: &Mark| {
            let key = self.memory.module(usize::try_from(mark.row).ok()?)?;
            Some((key, format!("{:016x}", mark.fingerprint)))
        };
        let (new, over) = self.modules.set_stuck(stuck.iter().filter_map(named).collect());
        for key in &new {
            let reason = hotbay_api::Reason::Stalled;
            tracing::warn!(
                module = %key, %reason,
                "calls that nobody waits for any more hold all blocking threads that the module may have: others are answered 503 until those return or the engine is replaced"
            );
        }
        over.iter().for_each(|key| tracing::info!(module = %key, "the module has blocking threads again"));
        self.stirred |= !new.is_empty() || !over.is_empty();
        if is_held && !std::mem::replace(&mut self.told_pool, true) {
            self.link.send(&ToKeeper::Want(Want::PoolHeld));
        }
    }

    /// A hook of a module has held the loader thread for too long.
    pub(super) fn tell_overdue(&self, mark: Mark, overdue: Overdue) {
        let row = usize::try_from(mark.row).ok();
        let module = row.and_then(|row| self.memory.module(row)).map(|key| key.to_string());
        tracing::warn!(module, "{overdue}. Another loader thread goes on with what others have to do");
    }

    /// Another engine has found it out, and named it.
    pub(super) fn take_demoted(&mut self, demoted: Demoted) -> bool {
        let is_new = self.modules.demote(demoted);
        self.stirred |= is_new;
        is_new
    }

    fn demote(&mut self, stay: Stay, deed: Deed) -> bool {
        // One that nobody wants any more has nothing to be moved, but for what is in flight.
        let Some((demoted, handler)) = self.culprit(stay, deed) else { return false };
        if !self.take_demoted(demoted.clone()) {
            return false;
        }
        let Demoted { key, digest, message } = &demoted;
        let reason = hotbay_api::Reason::Stalled;
        tracing::warn!(
            module = %key, digest = %digest.short(), handler, %reason,
            "{message}; calls of this build run on the blocking threads from now on: declare the handler `blocking`, or do not wait in it"
        );
        self.link.send(&ToKeeper::Demote(demoted));
        true
    }

    /// Which build it was, what it did, and in which handler.
    fn culprit(&self, stay: Stay, deed: Deed) -> Option<(Demoted, String)> {
        let key = self.memory.module(stay.row)?;
        let fingerprint = format!("{:016x}", stay.fingerprint);
        let active = self.modules.same_build(&key, &fingerprint)?;
        let index = stay.handler.and_then(|index| usize::try_from(index).ok());
        let handler = index.and_then(|index| active.instance.handlers.get(index))?;
        // As they are routed, not as the manifest has them.
        let routes = active.revision.routes.iter().filter(|route| route.handler == handler.name);
        let paths: BTreeSet<&str> = routes.map(|route| route.path.as_str()).collect();
        let path = paths.first().copied().unwrap_or_default();
        let more = if paths.len() > 1 { ", …" } else { "" };
        let message = format!("handler {} ({path}{more}) {deed}", handler.name);
        Some((Demoted { key, digest: active.digest, message }, handler.name.clone()))
    }
}
