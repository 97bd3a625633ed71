//! What the admin port tells, gathered.
//!
//! Owns nothing: looks at machine, children and the kernel's files when somebody asks.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use hotbay_api::LocalReport;
use hotbay_protocol::Tally;

use crate::admin::{EngineFacts, Facts};
use crate::procfs::Process;
use crate::run::Keeper;

impl Keeper {
    /// Everything, as of `now`.
    pub(crate) fn facts(&self, now: Instant) -> Facts {
        let report = LocalReport {
            abi: self.settings.abi.clone(),
            platform: self.settings.platform.clone(),
            ..self.machine.report()
        };
        let routes = report.entries.iter().filter_map(|entry| self.machine.board().routes(&entry.key));
        let mut tally = self.buried.clone();
        let mut figures = self.buried_figures.clone();
        // The engine that serves comes last: of a gauge, it is the one that counts.
        let (serving, others): (Vec<_>, Vec<_>) =
            self.machine.engines().partition(|(_, stage, _)| *stage == "active");
        for (generation, ..) in others.into_iter().chain(serving) {
            self.children.get(&generation).into_iter().for_each(|child| figures.add_living(child.memory()));
        }
        let mut engines = Vec::new();
        for (generation, stage, started) in self.machine.engines() {
            let Some(child) = self.children.get(&generation) else { continue };
            let mut own = Tally::default();
            child.memory().add_to(&mut own);
            engines.push(EngineFacts {
                generation,
                stage,
                pid: child.pid,
                uptime: now.duration_since(started),
                in_flight: own.in_flight(),
                images: child.memory().images(),
                pool: child.memory().pool(),
                process: Process::read(&child.pid.to_string()),
            });
            tally.add(&own);
        }
        let mut facts = Facts {
            routes: routes.cloned().collect(),
            report,
            tally,
            figures,
            engines,
            quarantined: self.machine.journal().quarantined(),
            keeper: Process::read("self"),
            uptime: now.duration_since(self.began),
            ready: self.machine.is_ready(now),
            now: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            ..Facts::default()
        };
        facts.take_history(self.machine.history(), now);
        facts
    }
}
