//! An engine's process, seen from the keeper.
//!
//! Owns its start with socket and shared memory, its channel, and the evidence that it leaves. Decides nothing.

use std::ffi::OsString;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use hotbay_protocol::{
    Channel, ChannelError, ENGINE_MEMORY_WORDS, EngineMemory, ToEngine, ToKeeper, Want, Why,
};
use hotbay_sys::memory::{self, SharedWords};
use hotbay_sys::process::{self, Ending};
use hotbay_sys::seqpacket;

use crate::blame::Death;
use crate::machine::Event;

/// A running engine.
#[derive(Debug)]
pub struct Child {
    pub pid: i32,
    generation: u64,
    channel: Channel,
    memory: EngineMemory,
    /// There is nothing more to read: polling it would return at once, for ever.
    closed: bool,
}

impl Child {
    /// Starts an engine and gives it socket, memory and policy, and has it log as much as this process.
    ///
    /// # Errors
    /// When the program cannot be started, or the system has no room.
    pub fn start(
        command: &[OsString],
        listener: &TcpListener,
        (generation, why): (u64, Why),
        policy: &ToEngine,
        log_step: i8,
    ) -> io::Result<Self> {
        let shared = memory::create("hotbay-engine", ENGINE_MEMORY_WORDS)?;
        let memory = EngineMemory::new(SharedWords::map(&shared)?)?;
        let (channel, theirs) = Channel::pair()?;
        // Ours alone: the keeper waits for nobody.
        seqpacket::set_nonblocking(channel.as_fd())?;
        let child = process::spawn(program(command)?, Some(theirs.into_fd()))?;
        let child = Self { pid: child.pid, generation, channel, memory, closed: false };
        let hello = ToEngine::Hello { generation, why };
        let log = ToEngine::Log { step: log_step };
        let greetings = [(&hello, &[listener.as_fd(), shared.as_fd()][..]), (policy, &[]), (&log, &[])];
        // Where nothing was changed there is nothing to say of it.
        let greetings = greetings.into_iter().take(if log_step == 0 { 2 } else { 3 });
        // One that has died by now is found by its death.
        for (message, fds) in greetings {
            if let Err(error) = child.channel.send_with(message, fds) {
                tracing::warn!(engine = generation, %error, "engine cannot be greeted");
            }
        }
        Ok(child)
    }

    /// The channel, while there may be something to read.
    pub fn readable(&self) -> Option<&Channel> {
        Some(&self.channel).filter(|_| !self.closed)
    }

    /// Sends a message. A failure becomes an event, but for what can be missed: an engine that does not read is found by its silence.
    pub fn send(&self, message: &ToEngine) -> Option<Event> {
        match self.channel.send(message) {
            Ok(()) => None,
            Err(ChannelError::WouldBlock) if matches!(message, ToEngine::Ping(_) | ToEngine::Log { .. }) => {
                None
            }
            Err(error) => {
                tracing::debug!(engine = self.generation, %error, "message not sent");
                Some(Event::Lost { generation: self.generation })
            }
        }
    }

    /// The next thing that the engine has said.
    pub fn next_event(&mut self) -> Option<Event> {
        let generation = self.generation;
        while !self.closed {
            match self.channel.receive::<ToKeeper>() {
                Ok((message, _)) => return Some(self.event(message)),
                Err(ChannelError::WouldBlock) => return None,
                // A message that this keeper does not know: an engine of a newer version may send one.
                Err(error @ ChannelError::Malformed { .. }) => {
                    tracing::warn!(engine = generation, %error, "message ignored");
                }
                Err(_) => {
                    self.closed = true;
                    return Some(Event::Lost { generation });
                }
            }
        }
        None
    }

    fn event(&self, message: ToKeeper) -> Event {
        let generation = self.generation;
        match message {
            ToKeeper::Ready { ok, failed } => Event::Ready { generation, ok, failed },
            ToKeeper::Active => Event::Active { generation },
            ToKeeper::Drained { cut } => Event::Drained { generation, cut },
            ToKeeper::Want(Want::Retired) => Event::Retired { generation },
            ToKeeper::Want(Want::LoaderHangs) => {
                Event::LoaderHangs { generation, suspect: self.memory.suspect(self.memory.loader_slot()) }
            }
            ToKeeper::Want(Want::WorkersHeld) => Event::WorkersHeld { generation },
            ToKeeper::Want(Want::PoolHeld) => Event::PoolHeld { generation },
            ToKeeper::Stall { key } => Event::Stalled { key },
            ToKeeper::Demote(demoted) => Event::Demoted { generation, demoted },
            ToKeeper::Probe { digest, path } => Event::Probe { generation, digest, path },
            ToKeeper::Report(piece) => Event::Report { generation, piece },
            ToKeeper::Pong(_) => Event::Pong { generation },
        }
    }

    /// What it counts in.
    pub fn memory(&self) -> &EngineMemory {
        &self.memory
    }

    /// Ends the engine, if it has not ended yet.
    pub fn kill(&self) {
        if let Err(error) = process::kill_group(self.pid) {
            tracing::error!(engine = self.generation, %error, "engine cannot be killed");
        }
    }

    /// The evidence. To be read once the process is dead.
    pub fn death(&self, how: Ending) -> Death {
        let loader = self.memory.loader_slot();
        Death { how, crash: self.memory.crash(), suspects: self.memory.suspects(), loader }
    }
}

/// The command of a list of program and arguments, with nothing to read.
///
/// # Errors
/// When the list is empty.
pub fn program(command: &[OsString]) -> io::Result<Command> {
    let (program, arguments) = command.split_first().ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "no program is configured to be started")
    })?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    Ok(command)
}
