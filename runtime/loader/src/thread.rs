//! The loader thread as others see it.
//!
//! Owns what it is asked for, and its watch: a call that does not return is answered for, and a new thread goes on. Must not run module code.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use hotbay_api::Digest;
use hotbay_protocol::{EngineMemory, LOADER_SLOT};

use crate::hooks::{Hook, LIMITS, Overdue};
use crate::queue::{Command, Mark, Queue, Running, Staged};
use crate::worker::Worker;
use crate::{CreateError, Image, Instance, InstanceConfig, LoadError, marks};

/// Loads and makes instances, on a thread of its own.
#[derive(Debug)]
pub struct Loader {
    queue: Arc<Queue>,
    memory: EngineMemory,
    images: Arc<Mutex<HashMap<Digest, Arc<Image>>>>,
}

/// What did not return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hang {
    /// The dynamic linker: no other load can ever succeed in this process.
    Linker,
    /// A module's hook: a new loader thread goes on.
    Module {
        /// Whose.
        mark: Mark,
        /// Which, and what to do about it.
        overdue: Overdue,
    },
}

impl Loader {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the thread cannot be made.
    pub fn new(memory: EngineMemory) -> std::io::Result<Self> {
        let loader = Self { queue: Arc::default(), memory, images: Arc::default() };
        loader.spawn(0, LOADER_SLOT)?;
        Ok(loader)
    }

    fn spawn(&self, epoch: u64, slot: usize) -> std::io::Result<()> {
        let (queue, images) = (Arc::clone(&self.queue), Arc::clone(&self.images));
        let worker = Worker { epoch, queue, images, limits: LIMITS };
        let memory = self.memory.clone();
        let body = move || {
            marks::attach(&memory, slot);
            worker.run();
        };
        std::thread::Builder::new().name(format!("loader-{epoch}")).spawn(body).map(|_thread| ())
    }

    /// Loads a staged file, once for each digest; later calls get the same image. Its bytes are hashed again before they run. The
    /// caller must have checked and probed it: that it is an honest module cannot be proven, only that it is the module that was asked for.
    pub fn load_probed(
        &self,
        staged: Staged,
        reply: impl FnOnce(Result<Arc<Image>, LoadError>) + Send + 'static,
    ) {
        self.queue.push(Command::Load { staged, reply: Box::new(reply) });
    }

    /// Makes an instance.
    pub fn create(
        &self,
        image: Arc<Image>,
        config: InstanceConfig,
        reply: impl FnOnce(Result<Instance, CreateError>) + Send + 'static,
    ) {
        self.queue.push(Command::Create { image, config, reply: Box::new(reply) });
    }

    /// How many images are mapped, and how many of them no instance uses.
    pub fn images(&self) -> (usize, usize) {
        let images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        (images.len(), images.values().filter(|image| Arc::strong_count(image) == 1).count())
    }

    /// How many instances nobody uses any more and are not destroyed yet.
    pub fn leaving(&self) -> usize {
        self.queue.leaving()
    }

    /// Waits until there is none: each has stopped and is destroyed, or does not return. One at a time may wait.
    pub async fn stopped(&self) {
        std::future::poll_fn(|cx| self.queue.poll_none_leaving(cx)).await;
    }

    /// To be called a few times a second: answers for a call that does not return, and lets a new thread go on.
    pub fn watch(&self) -> Option<Hang> {
        let limit = |running: &Running| match running {
            Running::Loading(_) => LIMITS.load,
            Running::Creating(..) | Running::Stopping(..) | Running::Discarding(_) => LIMITS.call,
        };
        let (epoch, running) = self.queue.take_over(limit)?;
        let slot = marks::next_slot();
        // A hang in the linker is the keeper's to judge, by the mark that stays where it is.
        if !matches!(running, Running::Loading(_)) {
            self.memory.move_loader(slot);
        }
        if let Err(error) = self.spawn(epoch, slot) {
            tracing::error!(%error, "failed to start a new loader thread; nothing can be loaded any more");
        }
        Some(give_up(&self.queue, running))
    }
}

/// Answers for a call that another thread has been started for.
pub(crate) fn give_up(queue: &Queue, running: Running) -> Hang {
    let overdue = |mark, hook| Hang::Module { mark, overdue: Overdue { hook, limit: LIMITS.call } };
    match running {
        Running::Loading(reply) => {
            reply(Err(LoadError::Hangs(LIMITS.load)));
            Hang::Linker
        }
        Running::Creating(reply, mark, hook) => {
            reply(Err(CreateError::Overdue(Overdue { hook, limit: LIMITS.call })));
            overdue(mark, hook)
        }
        Running::Stopping(mark, hook) => {
            queue.gone();
            overdue(mark, hook)
        }
        Running::Discarding(mark) => overdue(mark, Hook::Destroy),
    }
}

/// Whether the file is what was staged: read-only, and of that digest.
pub(crate) fn unchanged(path: &Path, digest: Digest) -> Result<(), LoadError> {
    let changed = || LoadError::Changed(digest);
    let file = std::fs::metadata(path).map_err(|_| changed())?;
    let bytes = std::fs::read(path).map_err(|_| changed())?;
    let sealed = file.permissions().readonly() && Digest::of(&bytes) == digest;
    if sealed { Ok(()) } else { Err(changed()) }
}

/// Loads a staged file in this process, which should be a child made for it: constructors that crash or hang end only that.
///
/// # Errors
/// As for [`Loader::load_probed`].
pub fn probe(path: &Path, digest: Digest, handlers: usize) -> Result<(), LoadError> {
    unchanged(path, digest)?;
    // SAFETY: these are the bytes that the digest names, nobody can write to them, and this process exists to find out what they do.
    unsafe { Image::load(path, digest, handlers) }.map(|_image| ())
}
