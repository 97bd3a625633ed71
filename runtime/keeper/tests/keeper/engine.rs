//! The test's engine: speaks the whole protocol, answers each connection with its generation and process id, and fails as it is told.
//!
//! Its modes are a list, one for each generation; the last one holds for all that follow.

use std::io::Write;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;

use hotbay_api::{Digest, EntryKey, EntryReport, EntryState};
use hotbay_protocol::{
    Channel, EngineMemory, LOADER_SLOT, Probe, ProbeOutcome, ReportPiece, ToEngine, ToKeeper, Want,
};
use hotbay_sys::memory::SharedWords;
use hotbay_sys::{crash, process};
use rustix::event::{PollFd, PollFlags, poll};

/// The only module that these engines know.
pub const MODULE: &str = "shop/faulty";
/// Its fingerprint.
pub const FINGERPRINT: u64 = 0xf00d;

struct Engine {
    channel: Channel,
    generation: u64,
    memory: EngineMemory,
    mode: String,
}

/// Runs an engine; `folder` is where it leaves what it was told.
pub fn run(modes: &str, folder: &Path) -> ExitCode {
    let channel = Channel::new(process::inherited_socket().unwrap());
    std::fs::write(folder.join("engine-pid"), std::process::id().to_string()).unwrap();
    let (hello, mut fds) = channel.receive().unwrap();
    let ToEngine::Hello { generation, .. } = hello else { panic!("{hello:?} came first") };
    let (policy, _) = channel.receive().unwrap();
    record(folder, "policies", &policy);
    let memory = EngineMemory::new(SharedWords::map(&fds.remove(1)).unwrap()).unwrap();
    let listener = TcpListener::from(fds.remove(0));
    let mode =
        modes.split(',').nth(generation as usize - 1).or(modes.split(',').next_back()).unwrap().to_owned();
    let engine = Engine { channel, generation, memory, mode };
    engine.start(folder);
    engine.serve(listener, folder)
}

/// Whether it is the answer to the probe of `kind`, and that it took too long.
fn is_timeout(answer: &ToEngine, kind: &str) -> bool {
    let late = Probe { digest: Digest::of(kind.as_bytes()), outcome: ProbeOutcome::TimedOut };
    *answer == ToEngine::Probed(late)
}

fn record(folder: &Path, name: &str, message: &ToEngine) {
    let mut line = serde_json::to_vec(message).unwrap();
    line.push(b'\n');
    let path = folder.join(format!("{name}.jsonl"));
    std::fs::File::options().append(true).create(true).open(path).unwrap().write_all(&line).unwrap();
}

impl Engine {
    fn say(&self, message: &ToKeeper) {
        self.channel.send(message).unwrap();
    }

    fn start(&self, folder: &Path) {
        crash::install(self.memory.words().clone(), EngineMemory::crash_offset()).unwrap();
        let (namespace, name) = MODULE.split_once('/').unwrap();
        let key = EntryKey::new(namespace, name).unwrap();
        self.memory.name_module(1, &key);
        let entry = EntryReport {
            key,
            sequence: Some(self.generation),
            state: EntryState::Active,
            wanted: "1.0".into(),
            serving: None,
            failure: None,
            notice: None,
        };
        self.say(&ToKeeper::Report(ReportPiece {
            restart: true,
            entries: vec![entry],
            ..ReportPiece::default()
        }));
        match self.mode.as_str() {
            "die-starting" => std::process::exit(3),
            "never-ready" => loop {
                std::thread::park();
            },
            "abort-loading" => {
                self.enter(LOADER_SLOT);
                std::process::abort();
            }
            "probes" => self.probe(folder),
            _ => {}
        }
        self.say(&ToKeeper::Ready { ok: 1, failed: 0 });
    }

    /// Asks for a probe of each kind, and records the answers.
    fn probe(&self, folder: &Path) {
        let kinds = ["passed", "refused", "crashed", "hung", "hung-2", "hung-3"];
        let ask = |kind: &str| {
            self.say(&ToKeeper::Probe { digest: Digest::of(kind.as_bytes()), path: folder.join(kind) });
        };
        kinds.into_iter().for_each(ask);
        let mut open = kinds.len();
        while open > 0 {
            let (answer, _) = self.channel.receive().unwrap();
            // One that does not hang may be too slow on a machine that has much to do, and is asked for again, as an engine does.
            let late = kinds.into_iter().find(|kind| !kind.starts_with("hung") && is_timeout(&answer, kind));
            match late {
                Some(kind) => ask(kind),
                None => {
                    record(folder, "probed", &answer);
                    open -= 1;
                }
            }
        }
    }

    fn enter(&self, slot: usize) {
        crash::set_slot(Some(slot));
        self.memory.slot(slot).unwrap().enter(1, FINGERPRINT, 0);
    }

    fn serve(&self, listener: TcpListener, folder: &Path) -> ExitCode {
        let mut active = false;
        loop {
            let mut fds = vec![PollFd::from_borrowed_fd(self.channel.as_fd(), PollFlags::IN)];
            if active {
                fds.push(PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN));
            }
            poll(&mut fds, None).unwrap();
            let [told, waiting] =
                [0, 1].map(|index| fds.get(index).is_some_and(|fd| !fd.revents().is_empty()));
            if waiting {
                self.accept(&listener);
            }
            if told {
                match self.channel.receive::<ToEngine>().unwrap().0 {
                    ToEngine::Activate => {
                        active = true;
                        self.say(&ToKeeper::Active);
                        self.misbehave(&listener);
                    }
                    log @ ToEngine::Log { .. } => record(folder, "log-steps", &log),
                    ToEngine::Ping(number) => self.say(&ToKeeper::Pong(number)),
                    ToEngine::Drain { .. } => {
                        drop(listener);
                        self.say(&ToKeeper::Drained { cut: 0 });
                        return ExitCode::SUCCESS;
                    }
                    other => panic!("{other:?} is not for a running engine"),
                }
            }
        }
    }

    /// What some modes do once they are active.
    fn misbehave(&self, listener: &TcpListener) {
        let stop = |signal| rustix::process::kill_process(rustix::process::getpid(), signal).unwrap();
        match self.mode.as_str() {
            "hang" => stop(rustix::process::Signal::STOP),
            "deafen" => rustix::net::shutdown(listener, rustix::net::Shutdown::Both).unwrap(),
            "load-hangs" => {
                self.enter(LOADER_SLOT);
                self.say(&ToKeeper::Want(Want::LoaderHangs));
            }
            _ => {}
        }
    }

    /// Another engine may have taken the connection meanwhile.
    fn accept(&self, listener: &TcpListener) {
        let Ok((mut stream, _)) = listener.accept() else { return };
        let shard = self.memory.shard(Some(1));
        shard.begin();
        match self.mode.as_str() {
            "crash" => {
                self.enter(5);
                std::process::abort();
            }
            "exit" => {
                self.enter(5);
                std::process::exit(0);
            }
            // The client may have gone; its own test notices.
            _ => {
                shard.answered(1, 200);
                shard.end(std::time::Duration::from_millis(3));
                drop(writeln!(stream, "{} {}", self.generation, std::process::id()));
            }
        }
    }
}
