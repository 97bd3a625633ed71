//! What the loader thread has to do.
//!
//! Owns commands, the one that is under way, and which thread may take them: a thread that hangs in foreign code is replaced, and finds on its
//! return that its work is no longer its own. Must not run foreign code.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use hotbay_abi::Handle;
use hotbay_api::Digest;

use crate::hooks::Hook;
use crate::instance::Raw;
use crate::{CreateError, Image, Instance, InstanceConfig, LoadError};

/// Where a result goes. Runs on the loader thread; must be quick.
pub(crate) type Reply<T> = Box<dyn FnOnce(T) + Send>;

pub(crate) enum Command {
    Load {
        staged: Staged,
        reply: Reply<Result<Arc<Image>, LoadError>>,
    },
    Create {
        image: Arc<Image>,
        config: InstanceConfig,
        reply: Reply<Result<Instance, CreateError>>,
    },
    /// An instance that was pending may go on.
    Poll(Handle),
    Retire(Raw),
    /// One that was given up while a call of it was under way: it is only destroyed.
    Discard(Raw),
}

/// A staged file to be loaded.
#[derive(Clone, Debug)]
pub struct Staged {
    /// Where it is.
    pub path: PathBuf,
    /// Of its bytes.
    pub digest: Digest,
    /// How many handlers its manifest names.
    pub handlers: usize,
    /// On whose behalf: who is to blame if its constructors end the process.
    pub mark: Mark,
}

/// Names an instance in the engine's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mark {
    /// The module's row.
    pub row: u64,
    /// The revision's fingerprint, as a number.
    pub fingerprint: u64,
}

/// What is under way, so that a watcher can tell how long, and answer in its place.
pub(crate) enum Running {
    Loading(Reply<Result<Arc<Image>, LoadError>>),
    Creating(Reply<Result<Instance, CreateError>>, Mark, Hook),
    /// One that was retired, and counts as leaving.
    Stopping(Mark, Hook),
    /// One that failed to start, or was given up before.
    Discarding(Mark),
}

/// An instance that said PENDING.
pub(crate) struct Waiting {
    pub raw: Raw,
    pub until: Instant,
    /// `None`: it is stopping.
    pub reply: Option<Reply<Result<Instance, CreateError>>>,
}

/// What the thread does next.
pub(crate) enum Next {
    Do(Command),
    Expired(Waiting),
    /// Another thread has taken over.
    Leave,
}

#[derive(Default)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    commands: VecDeque<Command>,
    waiting: Vec<Waiting>,
    running: Option<(Instant, Running)>,
    epoch: u64,
    /// Instances that nobody uses any more and that are not destroyed yet.
    leaving: usize,
    /// Who waits until there is none.
    waits_for_none: Option<Waker>,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("epoch", &self.inner().epoch).finish_non_exhaustive()
    }
}

impl Queue {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn push(&self, command: Command) {
        self.inner().commands.push_back(command);
        self.changed.notify_all();
    }

    /// Waits for work for the thread of `epoch`.
    pub fn next(&self, epoch: u64) -> Next {
        let mut inner = self.inner();
        loop {
            if inner.epoch != epoch {
                return Next::Leave;
            }
            // First, because an instance that wakes itself again and again keeps the commands coming.
            let now = Instant::now();
            if let Some(index) = inner.waiting.iter().position(|waiting| waiting.until <= now) {
                return Next::Expired(inner.waiting.swap_remove(index));
            }
            if let Some(command) = inner.commands.pop_front() {
                return Next::Do(command);
            }
            let nearest = inner.waiting.iter().map(|waiting| waiting.until - now).min();
            let timeout = nearest.unwrap_or(Duration::from_secs(3600));
            inner = self.changed.wait_timeout(inner, timeout).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Says what is under way from now.
    pub fn begin(&self, running: Running) {
        self.inner().running = Some((Instant::now(), running));
    }

    /// Says that it is over; `None` if another thread has answered for it meanwhile.
    pub fn end(&self, epoch: u64) -> Option<Running> {
        let mut inner = self.inner();
        if inner.epoch != epoch {
            return None;
        }
        inner.running.take().map(|(_, running)| running)
    }

    /// If what is under way takes longer than `limit` allows for it: takes it over for a new thread, whose epoch comes with it.
    pub fn take_over(&self, limit: impl Fn(&Running) -> Duration) -> Option<(u64, Running)> {
        let mut inner = self.inner();
        let (since, running) = inner.running.take()?;
        if since.elapsed() < limit(&running) {
            inner.running = Some((since, running));
            return None;
        }
        inner.epoch += 1;
        self.changed.notify_all();
        Some((inner.epoch, running))
    }

    /// Nobody uses an instance any more: it is to be stopped and destroyed.
    pub fn retire(&self, raw: Raw) {
        let mut inner = self.inner();
        inner.leaving += 1;
        inner.commands.push_back(Command::Retire(raw));
        drop(inner);
        self.changed.notify_all();
    }

    /// One that was retired is destroyed, or was given up.
    pub fn gone(&self) {
        let mut inner = self.inner();
        debug_assert!(inner.leaving > 0, "more instances are gone than were retired");
        inner.leaving = inner.leaving.saturating_sub(1);
        let waits = if inner.leaving == 0 { inner.waits_for_none.take() } else { None };
        drop(inner);
        waits.into_iter().for_each(Waker::wake);
    }

    /// How many are retired and not gone yet.
    pub fn leaving(&self) -> usize {
        self.inner().leaving
    }

    /// Ready when there is none; one at a time may wait.
    pub fn poll_none_leaving(&self, cx: &Context<'_>) -> Poll<()> {
        let mut inner = self.inner();
        if inner.leaving == 0 {
            return Poll::Ready(());
        }
        inner.waits_for_none = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Keeps a pending instance.
    pub fn wait(&self, waiting: Waiting) {
        self.inner().waiting.push(waiting);
    }

    /// Takes out the pending instance of `handle`.
    pub fn take_waiting(&self, handle: Handle) -> Option<Waiting> {
        let mut inner = self.inner();
        let index = inner.waiting.iter().position(|waiting| waiting.raw.handle == handle)?;
        Some(inner.waiting.swap_remove(index))
    }
}
