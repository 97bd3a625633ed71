//! All that the admin port tells, gathered at one moment.
//!
//! Owns the form between the keeper, which gathers, and `metrics` and `status`, which render. Plain data.

use std::time::Duration;

use hotbay_api::{EntryKey, LocalReport};
use hotbay_protocol::{EntryRoutes, Figures, Images, PoolGauges, Tally};

use crate::history::History;
use crate::procfs::Process;

/// One moment of a runtime.
#[derive(Debug, Default)]
pub struct Facts {
    /// How every entry stands.
    pub report: LocalReport,
    /// Where entries answer.
    pub routes: Vec<EntryRoutes>,
    /// Of all engines together, dead ones too.
    pub tally: Tally,
    /// What modules have measured themselves.
    pub figures: Figures,
    /// Engines that live, in the order of their generations.
    pub engines: Vec<EngineFacts>,
    /// What has happened.
    pub starts: Vec<(&'static str, u64)>,
    /// Handovers that succeeded.
    pub handovers: Vec<(&'static str, u64)>,
    /// Handovers after which the old engine served on.
    pub handover_failures: u64,
    /// Connections cut at the end of a drain.
    pub cut: u64,
    /// Unwanted ends of engines.
    pub crashes: Vec<(Option<EntryKey>, u64)>,
    /// How often modules held a thread that serves.
    pub stalls: Vec<(Option<EntryKey>, u64)>,
    /// The last of the crashes, the newest first.
    pub deaths: Vec<DeathFacts>,
    /// Revisions in quarantine.
    pub quarantined: usize,
    /// The keeper itself.
    pub keeper: Process,
    /// Since the keeper began.
    pub uptime: Duration,
    /// What /readyz says.
    pub ready: bool,
    /// Seconds since the epoch.
    pub now: u64,
}

/// An engine that lives.
#[derive(Debug, Default)]
pub struct EngineFacts {
    /// Which.
    pub generation: u64,
    /// `starting`, `active` or `draining`.
    pub stage: &'static str,
    /// Its process id.
    pub pid: i32,
    /// Since its start.
    pub uptime: Duration,
    /// Requests under way.
    pub in_flight: u64,
    /// What it has mapped.
    pub images: Images,
    /// Its threads for handlers that may hold theirs.
    pub pool: PoolGauges,
    /// What the kernel says.
    pub process: Process,
}

/// An engine's unwanted end.
#[derive(Debug, Default)]
pub struct DeathFacts {
    /// Which engine.
    pub engine: u64,
    /// How long ago.
    pub ago: Duration,
    /// Who is to blame, if that is plain.
    pub module: Option<EntryKey>,
    /// What happened.
    pub story: String,
}

impl Facts {
    /// Requests that are under way. Engines' words are numbers that a module may have written.
    pub fn in_flight(&self) -> u64 {
        self.engines.iter().fold(0, |sum, engine| sum.wrapping_add(engine.in_flight))
    }

    /// Takes over what has happened, as of `now`.
    pub fn take_history(&mut self, history: &History, now: std::time::Instant) {
        self.starts = history.starts.iter().map(|(why, count)| (*why, *count)).collect();
        self.handovers = history.handovers.iter().map(|(why, count)| (*why, *count)).collect();
        self.handover_failures = history.handover_failures;
        self.cut = history.cut;
        self.crashes = history.crashes.iter().map(|(module, count)| (module.clone(), *count)).collect();
        self.stalls = history.stalls.iter().map(|(module, count)| (module.clone(), *count)).collect();
        let deaths = history.deaths.iter().rev().map(|death| DeathFacts {
            engine: death.engine,
            ago: now.duration_since(death.at),
            module: death.module.clone(),
            story: death.story.clone(),
        });
        self.deaths = deaths.collect();
    }
}
