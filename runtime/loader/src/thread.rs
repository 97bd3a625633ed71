//! The loader thread, and the marks that every thread leaves when it enters module code.
//!
//! Owns what runs on the loader thread: loads, creates, stops. One at a time, so that foreign constructors never race. A watcher answers for a call
//! that does not return and lets a new thread go on.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use hotbay_abi::Handle;
use hotbay_api::Digest;
use hotbay_protocol::{CallSlot, EngineMemory, LOADER_SLOT};
use hotbay_sys::crash;

use crate::frame::Frame;
use crate::instance::{Raw, Step};
use crate::queue::{Command, Mark, Next, Queue, Reply, Running, Staged, Waiting};
use crate::{CreateError, Image, Instance, InstanceConfig, LoadError};

/// DESIGN §4: how long dlopen and the entry function may take in the engine. The probe has shown them quick before.
const LOAD_LIMIT: Duration = Duration::from_secs(10);
/// DESIGN §4: how long a call of create, poll_instance or stop may take.
const CALL_LIMIT: Duration = Duration::from_secs(3);
/// DESIGN §4: how long an instance may stay pending.
const PENDING_LIMIT: Duration = Duration::from_secs(30);
/// How long a stop may stay pending before the instance is destroyed all the same.
const STOP_LIMIT: Duration = Duration::from_secs(10);

static MEMORY: OnceLock<EngineMemory> = OnceLock::new();
static NEXT_SLOT: AtomicUsize = AtomicUsize::new(LOADER_SLOT + 1);

thread_local! {
    static SLOT: OnceCell<CallSlot> = const { OnceCell::new() };
}

/// Gives this thread a slot in the engine's memory, and says which, for nobody else to use. Threads without one run module code unmarked.
pub fn attach_thread(memory: &EngineMemory) -> usize {
    let slot = NEXT_SLOT.fetch_add(1, Ordering::Relaxed);
    attach(memory, slot);
    slot
}

fn attach(memory: &EngineMemory, slot: usize) {
    MEMORY.get_or_init(|| memory.clone());
    crash::describe_with(Frame::describe);
    // Past the last slot a thread runs module code unmarked: sharing a mark would blame the innocent.
    let Some(call_slot) = memory.slot(slot) else { return };
    SLOT.with(|here| {
        here.get_or_init(|| call_slot);
    });
    crash::set_slot(Some(slot));
}

/// The module whose row this is.
pub(crate) fn module_name(row: u64) -> Option<String> {
    let row = usize::try_from(row).ok()?;
    MEMORY.get()?.module(row).map(|key| key.to_string())
}

/// Runs foreign code with this thread's mark set, on behalf of the request in `frame`, which a crash names.
pub(crate) fn in_module<R>(
    instance: &Instance,
    handle: Handle,
    frame: &Frame,
    code: impl FnOnce() -> R,
) -> R {
    let before = crash::enter(std::ptr::from_ref(frame).cast());
    let result = marked(instance.mark(), handle, code);
    crash::leave(before);
    result
}

/// As [`in_module`], where there is no request.
pub(crate) fn marked<R>(mark: Mark, handle: Handle, code: impl FnOnce() -> R) -> R {
    SLOT.with(|slot| match slot.get() {
        None => code(),
        Some(slot) => {
            let before = slot.enter(mark.row, mark.fingerprint, handle);
            let result = code();
            slot.leave(before);
            result
        }
    })
}

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
    /// A module's create, poll_instance or stop: a new loader thread goes on.
    Module,
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
        let worker = Worker { epoch, queue: Arc::clone(&self.queue), images: Arc::clone(&self.images) };
        let memory = self.memory.clone();
        let body = move || {
            attach(&memory, slot);
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

    /// To be called a few times a second: answers for a call that does not return, and lets a new thread go on.
    pub fn watch(&self) -> Option<Hang> {
        let limit = |running: &Running| match running {
            Running::Loading(_) => LOAD_LIMIT,
            Running::Creating(_) | Running::Stopping => CALL_LIMIT,
        };
        let (epoch, running) = self.queue.take_over(limit)?;
        let slot = NEXT_SLOT.fetch_add(1, Ordering::Relaxed);
        // A hang in the linker is the keeper's to judge, by the mark that stays where it is.
        if !matches!(running, Running::Loading(_)) {
            self.memory.move_loader(slot);
        }
        if let Err(error) = self.spawn(epoch, slot) {
            tracing::error!(%error, "failed to start a new loader thread; nothing can be loaded any more");
        }
        match running {
            Running::Loading(reply) => {
                reply(Err(LoadError::Hangs(LOAD_LIMIT)));
                Some(Hang::Linker)
            }
            Running::Creating(reply) => {
                reply(Err(CreateError::Timeout(CALL_LIMIT)));
                Some(Hang::Module)
            }
            Running::Stopping => Some(Hang::Module),
        }
    }
}

/// Whether the file is what was staged: read-only, and of that digest.
fn unchanged(path: &Path, digest: Digest) -> Result<(), LoadError> {
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

/// What runs on the thread.
struct Worker {
    epoch: u64,
    queue: Arc<Queue>,
    images: Arc<Mutex<HashMap<Digest, Arc<Image>>>>,
}

impl Worker {
    fn run(&self) {
        loop {
            match self.queue.next(self.epoch) {
                Next::Leave => return,
                Next::Expired(waiting) => self.expire(waiting),
                Next::Do(Command::Load { staged, reply }) => self.load(&staged, reply),
                Next::Do(Command::Create { image, config, reply }) => self.create(image, &config, reply),
                Next::Do(Command::Poll(handle)) => {
                    if let Some(waiting) = self.queue.take_waiting(handle) {
                        self.poll(waiting);
                    }
                }
                Next::Do(Command::Retire(raw)) => self.retire(raw),
            }
        }
    }

    fn load(&self, staged: &Staged, reply: Reply<Result<Arc<Image>, LoadError>>) {
        let Staged { path, digest, handlers, mark } = staged;
        let known = self.images.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned();
        if let Some(image) = known {
            return reply(Ok(image));
        }
        self.queue.begin(Running::Loading(reply));
        let loaded = unchanged(path, *digest).and_then(|()| {
            // SAFETY: these are the bytes that the digest names, nobody can write to them, and the caller has had them checked and probed.
            marked(*mark, 0, || unsafe { Image::load(path, *digest, *handlers) }).map(Arc::new)
        });
        let Some(Running::Loading(reply)) = self.queue.end(self.epoch) else { return };
        if let Ok(image) = &loaded {
            self.images.lock().unwrap_or_else(PoisonError::into_inner).insert(*digest, Arc::clone(image));
        }
        reply(loaded);
    }

    fn create(
        &self,
        image: Arc<Image>,
        config: &InstanceConfig,
        reply: Reply<Result<Instance, CreateError>>,
    ) {
        self.queue.begin(Running::Creating(reply));
        let (raw, step) = marked(config.mark, 0, || Raw::create(image, config));
        let Some(Running::Creating(reply)) = self.queue.end(self.epoch) else {
            return self.too_late(raw, &step);
        };
        self.settle_create(raw, step, Instant::now() + PENDING_LIMIT, reply);
    }

    fn settle_create(
        &self,
        raw: Raw,
        step: Step,
        until: Instant,
        reply: Reply<Result<Instance, CreateError>>,
    ) {
        match step {
            Step::Ready => reply(Ok(Instance::new(raw, Arc::clone(&self.queue)))),
            Step::Pending => self.wait(Waiting { raw, until, reply: Some(reply) }),
            Step::Failed(error) => {
                raw.forget();
                reply(Err(error));
            }
        }
    }

    /// A pending instance goes on, whether it starts or stops.
    fn poll(&self, waiting: Waiting) {
        let Waiting { raw, until, reply } = waiting;
        match reply {
            Some(reply) => {
                self.queue.begin(Running::Creating(reply));
                let step = marked(raw.mark, 0, || raw.poll());
                let Some(Running::Creating(reply)) = self.queue.end(self.epoch) else {
                    return self.too_late(raw, &step);
                };
                match step {
                    // What was pending exists, so it is destroyed, unlike after a create that failed at once.
                    Step::Failed(error) => {
                        reply(Err(error));
                        self.destroy(raw);
                    }
                    step => self.settle_create(raw, step, until, reply),
                }
            }
            None => {
                self.queue.begin(Running::Stopping);
                let step = marked(raw.mark, 0, || raw.poll());
                if self.queue.end(self.epoch).is_some() {
                    self.settle_stop(raw, &step, until);
                }
            }
        }
    }

    fn retire(&self, raw: Raw) {
        self.queue.begin(Running::Stopping);
        let step = marked(raw.mark, 0, || raw.stop());
        if self.queue.end(self.epoch).is_some() {
            self.settle_stop(raw, &step, Instant::now() + STOP_LIMIT);
        }
    }

    fn settle_stop(&self, raw: Raw, step: &Step, until: Instant) {
        if matches!(step, Step::Pending) {
            return self.wait(Waiting { raw, until, reply: None });
        }
        self.destroy(raw);
    }

    /// A start returned after it was answered for. An instance that is there all the same is retired by the thread that took over.
    fn too_late(&self, raw: Raw, step: &Step) {
        match step {
            Step::Ready => self.queue.push(Command::Retire(raw)),
            Step::Pending | Step::Failed(_) => raw.forget(),
        }
    }

    fn destroy(&self, raw: Raw) {
        self.queue.begin(Running::Stopping);
        let mark = raw.mark;
        marked(mark, 0, || raw.destroy());
        let _over = self.queue.end(self.epoch);
    }

    /// Keeps a pending instance, or polls it at once if its wake has come already.
    fn wait(&self, waiting: Waiting) {
        let handle = waiting.raw.handle;
        let queue = Arc::clone(&self.queue);
        let quiet = waiting.raw.register(std::task::Waker::from(Arc::new(Wakes { queue, handle })));
        self.queue.wait(waiting);
        if !quiet {
            self.queue.push(Command::Poll(handle));
        }
    }

    fn expire(&self, waiting: Waiting) {
        let Waiting { raw, reply, .. } = waiting;
        if let Some(reply) = reply {
            // Its code may still run somewhere: it is left alone, never destroyed under its feet.
            raw.forget();
            reply(Err(CreateError::Timeout(PENDING_LIMIT)));
        } else {
            self.destroy(raw);
        }
    }
}

/// Has a pending instance polled on the loader thread.
struct Wakes {
    queue: Arc<Queue>,
    handle: Handle,
}

impl std::task::Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.queue.push(Command::Poll(self.handle));
    }
}
