//! The poll loop: turns what happens outside into events, and actions into what happens outside.
//!
//! Owns the listening socket, the children and the files. Decides nothing: `machine` does. Every descriptor is non-blocking and each turn reads
//! all of them, so a wake-up needs no bookkeeping of who caused it.

use std::collections::{BTreeMap, VecDeque};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use hotbay_api::Reason;
use hotbay_logs::Level;
use hotbay_protocol::{Figures, ProbeOutcome, Tally, ToEngine};
use hotbay_sys::process::{self, Ended};
use hotbay_sys::signals::{self, Signals};
use hotbay_sys::{listener, listener::Damage};
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::admin::Admin;
use crate::child::Child;
use crate::error::KeeperError;
use crate::health::Health;
use crate::machine::{Action, Event, Machine, Timing};
use crate::probe_queue::Start;
use crate::probe_run::ProbeRun;
use crate::settings::Settings;
use crate::sockets;
use crate::store::{self, ReportFile};

const SIGNALS: [i32; 6] = [
    signals::HANGUP,
    signals::INTERRUPT,
    signals::TERMINATE,
    signals::CHILD,
    signals::USER_1,
    signals::USER_2,
];
/// A module can shut the socket down for everybody; it is looked after this often.
const LISTENER_CHECK: Duration = Duration::from_secs(1);
/// More than a socket holds: what an engine says at its end is heard whole, and one that never stops talking does not keep us from the others.
const MESSAGES_A_TURN: usize = 1024;

pub(crate) struct Keeper {
    pub(crate) settings: Settings,
    pub(crate) machine: Machine,
    signals: Signals,
    /// Until the end begins: then clients are to be refused, rather than wait for nobody.
    listener: Option<TcpListener>,
    listener_due: Instant,
    health: Option<Health>,
    admin: Option<Admin>,
    /// What engines that are gone have counted.
    pub(crate) buried: Tally,
    /// What their modules measured.
    pub(crate) buried_figures: Figures,
    pub(crate) began: Instant,
    pub(crate) children: BTreeMap<u64, Child>,
    probes: Vec<ProbeRun>,
    report: Option<ReportFile>,
    /// What executing actions has brought about.
    events: VecDeque<Event>,
}

/// Runs a keeper until it is told to end and its engines have drained. To be called by the main thread of a process that has no other thread:
/// children die with the thread that started them, and signals are taken from it.
///
/// # Errors
/// When it cannot begin, e.g. the address is in use, or the kernel fails it later.
pub fn run(settings: Settings) -> Result<(), KeeperError> {
    let mut keeper = Keeper::open(settings)?;
    keeper.handle(Event::Tick);
    while !keeper.machine.is_done() {
        keeper.wait()?;
        keeper.turn()?;
    }
    keeper.write_report();
    tracing::info!("keeper ends");
    Ok(())
}

impl Keeper {
    fn open(settings: Settings) -> Result<Self, KeeperError> {
        let system = |what| move |source| KeeperError::System { what, source };
        // Before anything could signal us or end as our child.
        let signals = Signals::block(&SIGNALS).map_err(system("to block signals"))?;
        process::set_dumpable(false).map_err(system("to hide the process's memory"))?;
        process::become_subreaper().map_err(system("to make the process a subreaper"))?;
        let journal = store::load_journal(&settings.state)
            .map_err(|source| KeeperError::State { path: settings.state.clone(), source })?;
        let listener = sockets::listen(settings.listen, "requests")?;
        let health = settings
            .health_listen
            .map(|address| sockets::listen(address, "health"))
            .transpose()?
            .map(Health::new);
        let admin = sockets::admin(&settings)?;
        let now = Instant::now();
        let report = settings
            .report
            .clone()
            .map(|path| ReportFile::new(path, settings.abi.clone(), settings.platform.clone(), now));
        Ok(Self {
            machine: Machine::new(timing(&settings), journal, now),
            settings,
            signals,
            listener: Some(listener),
            listener_due: now + LISTENER_CHECK,
            health,
            admin,
            buried: Tally::default(),
            buried_figures: Figures::default(),
            began: now,
            children: BTreeMap::new(),
            probes: Vec::new(),
            report,
            events: VecDeque::new(),
        })
    }

    /// Sleeps until something is readable or due.
    fn wait(&self) -> Result<(), KeeperError> {
        let channels = self.children.values().filter_map(Child::readable).map(AsFd::as_fd);
        let output = self.probes.iter().filter_map(ProbeRun::readable);
        let health = self.health.iter().flat_map(Health::interests);
        let all = std::iter::once(self.signals.as_fd()).chain(channels).chain(output);
        let admin = self.admin.iter().flat_map(Admin::interests);
        let mut all: Vec<_> = all
            .map(|fd| (fd, PollFlags::IN))
            .chain(health)
            .chain(admin)
            .map(|(fd, flags)| PollFd::from_borrowed_fd(fd, flags))
            .collect();
        let now = Instant::now();
        // Rounded up: a sleep that ends a little early would spin until the time has come.
        let left = self.next_wake(now).saturating_duration_since(now) + Duration::from_micros(100);
        let timeout = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
        match rustix::event::poll(&mut all, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(errno) => Err(KeeperError::System { what: "to poll", source: errno.into() }),
        }
    }

    fn next_wake(&self, now: Instant) -> Instant {
        let report = self.report.as_ref().and_then(ReportFile::due);
        let health = self.health.as_ref().and_then(Health::due);
        let admin = self.admin.as_ref().and_then(Admin::due);
        let probes = self.probes.iter().filter_map(ProbeRun::due);
        let first = self.machine.next_wake(now).min(self.listener_due);
        probes.chain(report).chain(health).chain(admin).fold(first, Instant::min)
    }

    fn turn(&mut self) -> Result<(), KeeperError> {
        let failed = |what| move |source| KeeperError::System { what, source };
        while let Some(signal) = self.signals.next().map_err(failed("to read signals"))? {
            match signal {
                signals::HANGUP => self.handle(Event::Hangup),
                signals::TERMINATE | signals::INTERRUPT => self.handle(Event::Terminate),
                signals::USER_1 => self.change_log(Level::more),
                signals::USER_2 => self.change_log(Level::less),
                _ => {}
            }
        }
        let generations: Vec<u64> = self.children.keys().copied().collect();
        for generation in generations {
            self.hear(generation);
        }
        let now = Instant::now();
        for probe in &mut self.probes {
            probe.turn(now);
        }
        while let Some(ended) = process::reap().map_err(failed("to reap"))? {
            self.bury(ended);
        }
        self.handle(Event::Tick);
        let ready = self.machine.is_ready(now);
        if let Some(health) = &mut self.health {
            health.turn(now, ready);
        }
        if let Some(mut admin) = self.admin.take() {
            admin.turn(now, &mut || self.facts(now));
            self.admin = Some(admin);
        }
        if self.listener_due <= now {
            self.listener_due = now + LISTENER_CHECK;
            self.check_listener();
        }
        if self.report.as_ref().and_then(ReportFile::due).is_some_and(|due| due <= now) {
            self.write_report();
        }
        Ok(())
    }

    /// Logs more, or less, and has every engine do the same.
    fn change_log(&mut self, change: fn(&Level)) {
        let Some(log) = &self.settings.log else { return };
        change(log);
        let message = ToEngine::Log { step: log.step() };
        self.events.extend(self.children.values().filter_map(|child| child.send(&message)));
    }

    /// Takes all that an engine has said.
    fn hear(&mut self, generation: u64) {
        for _ in 0..MESSAGES_A_TURN {
            let Some(event) = self.children.get_mut(&generation).and_then(Child::next_event) else { return };
            self.handle(event);
        }
    }

    /// Takes a child's end. An orphan that nobody here started has no grave of its own.
    fn bury(&mut self, ended: Ended) {
        let engine =
            self.children.iter().find(|(_, child)| child.pid == ended.pid).map(|(&generation, _)| generation);
        if let Some(generation) = engine {
            // Its last words, e.g. that it has drained, are still in the socket.
            self.hear(generation);
            if let Some(child) = self.children.remove(&generation) {
                self.bury_counts(&child);
                self.handle(Event::Died { generation, death: child.death(ended.how) });
            }
        } else if let Some(at) = self.probes.iter().position(|probe| probe.pid == ended.pid) {
            let probe = self.probes.swap_remove(at);
            self.handle(Event::ProbeEnded { digest: probe.digest, outcome: probe.end(ended.how) });
        } else {
            tracing::debug!(pid = ended.pid, "reaped an orphan");
        }
    }

    /// What is in the bay, or still known to an engine, is counted on: the report holds the bay's entries also while no engine lives.
    fn bury_counts(&mut self, dead: &Child) {
        let (machine, children) = (&self.machine, &self.children);
        let living = || {
            let named = children.values().flat_map(|child| child.memory().modules());
            named.chain(machine.report().entries.into_iter().map(|entry| entry.key)).collect()
        };
        dead.memory().add_to(&mut self.buried);
        self.buried.bound(living);
        self.buried_figures.bury(dead.memory(), living);
    }

    /// Lets the machine decide, and executes what it decides, until nothing new comes of it.
    fn handle(&mut self, event: Event) {
        self.events.push_back(event);
        while let Some(event) = self.events.pop_front() {
            for action in self.machine.handle(Instant::now(), event) {
                self.execute(action);
            }
        }
    }

    fn execute(&mut self, action: Action) {
        match action {
            Action::Spawn { generation, why, policy } => {
                let Some(listener) = &self.listener else { return };
                let log_step = self.settings.log.as_ref().map_or(0, Level::step);
                match Child::start(&self.settings.engine, listener, (generation, why), &policy, log_step) {
                    Ok(child) => drop(self.children.insert(generation, child)),
                    Err(error) => {
                        self.events.push_back(Event::SpawnFailed {
                            generation,
                            message: format!("did not start: {error}"),
                        });
                    }
                }
            }
            Action::Send { generation, message } => {
                self.events.extend(self.children.get(&generation).and_then(|child| child.send(&message)));
            }
            Action::Kill { generation } => self.children.get(&generation).into_iter().for_each(Child::kill),
            Action::Probe(start) => self.probe(start),
            Action::CloseListener => self.listener = None,
            Action::SaveJournal => store::save_journal(&self.settings.state, self.machine.journal()),
            Action::Report => self.report.iter_mut().for_each(|report| report.touch(Instant::now())),
        }
    }

    fn probe(&mut self, Start { digest, path }: Start) {
        match ProbeRun::start(&self.settings.probe, digest, &path, Instant::now()) {
            Ok(probe) => self.probes.push(probe),
            Err(error) => {
                // Nothing that the build did: it is tried again.
                let message = format!("the probe did not start: {error}");
                let outcome = ProbeOutcome::Refused { reason: Reason::StartFailed, message };
                self.events.push_back(Event::ProbeEnded { digest, outcome });
            }
        }
    }

    fn check_listener(&self) {
        let Some(listener) = &self.listener else { return };
        match listener::repair(listener) {
            Ok(Damage { deaf: false, blocking: false }) => {}
            Ok(damage) => {
                tracing::error!(?damage, "something in an engine damaged the listening socket; it is mended")
            }
            Err(error) => tracing::error!(%error, "the listening socket cannot be mended"),
        }
    }

    fn write_report(&mut self) {
        if let Some(file) = &mut self.report {
            file.write(self.machine.report(), Instant::now());
        }
    }
}

fn timing(settings: &Settings) -> Timing {
    Timing {
        drain_timeout: settings.drain_timeout,
        shutdown_delay: settings.shutdown_delay,
        handover_interval: settings.handover_interval,
        ready_timeout: settings.ready_timeout,
        hang_timeout: settings.hang_timeout,
    }
}
