//! Whole stories told to the machine, one subject a file.

mod crashes;
mod handovers;
mod stalls;
mod stops;

use std::path::PathBuf;

use hotbay_api::EntryKey;
use hotbay_protocol::{Crash, CrashNote, DrainKind, LOADER_SLOT, Quarantine, ReportPiece, Suspect, ToEngine};
use hotbay_sys::process::Ending;

use super::*;
use crate::blame::Death;
use crate::probe_queue::Start;

const TIMING: Timing = Timing {
    drain_timeout: Duration::from_secs(30),
    shutdown_delay: Duration::from_secs(5),
    handover_interval: Duration::from_secs(600),
    ready_timeout: Duration::from_secs(30),
    hang_timeout: Duration::from_secs(10),
};

/// A machine and its clock. Pings are left out of what it answers but for their own tests.
struct Story {
    machine: Machine,
    now: Instant,
}

impl Story {
    fn new(timing: Timing) -> Self {
        let now = Instant::now();
        Self { machine: Machine::new(timing, Journal::default(), now), now }
    }

    /// A keeper whose engine 1 has just become active.
    fn serving(timing: Timing) -> Self {
        let mut story = Self::new(timing);
        assert_eq!(story.tell(Event::Tick), [spawn(1, Why::First)]);
        story.comes_up(1);
        story
    }

    fn tell(&mut self, event: Event) -> Vec<Action> {
        let actions = self.machine.handle(self.now, event);
        let is_ping = |action: &Action| matches!(action, Action::Send { message: ToEngine::Ping(_), .. });
        actions.into_iter().filter(|action| !is_ping(action)).collect()
    }

    /// Lets time pass in the steps that the machine asks for; engine `answering` answers its pings.
    fn pass(&mut self, time: Duration, answering: Option<u64>) -> Vec<Action> {
        let end = self.now + time;
        let mut actions = Vec::new();
        while self.now < end {
            self.now = self.machine.next_wake(self.now).max(self.now + Duration::from_millis(1)).min(end);
            actions.extend(self.tell(Event::Tick));
            if let Some(generation) = answering {
                actions.extend(self.tell(Event::Pong { generation }));
            }
        }
        actions
    }

    fn pass_secs(&mut self, secs: u64, answering: u64) -> Vec<Action> {
        self.pass(Duration::from_secs(secs), Some(answering))
    }

    /// READY and ACTIVE of an engine that replaces nobody.
    fn comes_up(&mut self, generation: u64) {
        let activate = Action::Send { generation, message: ToEngine::Activate };
        assert_eq!(self.tell(Event::Ready { generation, ok: 1, failed: 0 }), [activate]);
        assert_eq!(self.tell(Event::Active { generation }), [Action::Report]);
    }

    fn dies(&mut self, generation: u64, death: Death) -> Vec<Action> {
        self.tell(Event::Died { generation, death })
    }

    fn trouble(&self) -> Option<hotbay_api::Reason> {
        self.machine.report().trouble.map(|trouble| trouble.reason)
    }

    fn is_ready(&self) -> bool {
        self.machine.is_ready(self.now)
    }
}

fn spawn(generation: u64, why: Why) -> Action {
    spawn_without(generation, why, &[])
}

fn spawn_without(generation: u64, why: Why, quarantined: &[Quarantine]) -> Action {
    let policy = ToEngine::Policy {
        quarantined: quarantined.to_vec(),
        verified: vec![],
        crashed: vec![],
        demoted: vec![],
    };
    Action::Spawn { generation, why, policy }
}

fn drain(generation: u64, kind: DrainKind, deadline_ms: u64) -> Action {
    Action::Send { generation, message: ToEngine::Drain { kind, deadline_ms } }
}

fn suspect(slot: usize) -> Suspect {
    let key = EntryKey::new("shop", "faulty").unwrap();
    Suspect { key, fingerprint: "0f".into(), digest: "ab12cd34ef56".into(), slot: Some(slot) }
}

fn killed() -> Death {
    Death { how: Ending::Signaled(9), crash: None, suspects: vec![], loader: LOADER_SLOT }
}

fn exited() -> Death {
    Death { how: Ending::Exited(0), crash: None, suspects: vec![], loader: LOADER_SLOT }
}

/// Died of SIGSEGV in the faulty module.
fn crashed() -> Death {
    let crash = Crash { signal: 11, slot: Some(3), address: 8, request: "GET /crash".into(), maker: None };
    Death { how: Ending::Signaled(11), crash: Some(crash), suspects: vec![suspect(3)], loader: LOADER_SLOT }
}
