//! What the control loop says: the table to the workers, the report to the keeper.
//!
//! Owns what a module's revision becomes in either. Must not change what serves.

use std::sync::Arc;

use hotbay_api::{Precedence, Reason, Revision, Trouble};
use hotbay_protocol::ToKeeper;

use super::{Control, Serving};
use crate::modules::Active;
use crate::table::{Claim, Lead, Routes};
use crate::told::routes_of;

impl Control {
    pub(super) fn publish(&mut self) {
        let active = self.modules.active().map(|(entry, active)| {
            claim(entry.precedence(), active, self.modules.is_demoted(&active.digest))
        });
        let starting =
            self.modules.starting().map(|(entry, revision)| starting(entry.precedence(), revision));
        let claims = active.chain(starting).collect();
        let (routes, lost) = Routes::build(claims);
        self.server.publish(routes);
        let lost = lost.into_iter().map(|lost| {
            let message = format!("{} belongs to the older module {}", lost.claim, lost.owner);
            (lost.key, Trouble { reason: Reason::RouteConflict, message })
        });
        self.modules.set_lost(lost.collect());
    }

    /// Tells the keeper what has changed.
    pub(super) fn report(&mut self, routes_too: bool) {
        if !self.begun {
            return;
        }
        let routes = routes_too.then(|| {
            let active = self.modules.active();
            active.map(|(entry, active)| (entry.key(), routes_of(&active.revision))).collect()
        });
        for piece in self.told.pieces(self.modules.reports(), routes, self.trouble.clone()) {
            self.link.send(&ToKeeper::Report(piece));
        }
    }
}

fn claim(precedence: Precedence, active: &Active<Serving>, demoted: bool) -> Claim<'_> {
    let Serving { instance, handlers, in_flight } = &active.instance;
    let lead = |name: &String| {
        let index = handlers.iter().position(|handler| handler.name == *name)?;
        Some(Lead { handler: u32::try_from(index).ok()?, pooled: demoted || handlers[index].blocking })
    };
    let routes = active.revision.routes.iter();
    let routes = routes.filter_map(|route| Some((route, lead(&route.handler)?)));
    Claim {
        precedence,
        routes: routes.collect(),
        instance: Some(Arc::clone(instance)),
        timeout: active.revision.timeouts.request.0,
        limits: active.revision.limits.clone(),
        in_flight: Arc::clone(in_flight),
    }
}

/// The routes of a revision that does not serve yet.
fn starting(precedence: Precedence, revision: &Revision) -> Claim<'_> {
    Claim {
        precedence,
        routes: revision.routes.iter().map(|route| (route, Lead { handler: 0, pooled: false })).collect(),
        instance: None,
        timeout: revision.timeouts.request.0,
        limits: revision.limits.clone(),
        in_flight: Arc::default(),
    }
}
