//! What runs on the loader thread: loads, creates, polls, stops.
//!
//! Owns their order: one at a time, so that foreign constructors never race. A thread that was given up finds on its return that its work is no longer its
//! own, and leaves.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hotbay_abi as abi;
use hotbay_abi::Handle;
use hotbay_api::Digest;

use crate::instance::{Raw, Step};
use crate::marks::{marked, module_name};
use crate::queue::{Command, Next, Queue, Reply, Running, Staged, Waiting};
use crate::rc::Named;
use crate::thread::unchanged;
use crate::{CreateError, Image, Instance, InstanceConfig, LoadError};

/// DESIGN §4: how long an instance may stay pending.
const PENDING_LIMIT: Duration = Duration::from_secs(30);
/// How long a stop may stay pending before the instance is destroyed all the same.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// What runs on the thread.
pub(crate) struct Worker {
    pub epoch: u64,
    pub queue: Arc<Queue>,
    pub images: Arc<Mutex<HashMap<Digest, Arc<Image>>>>,
}

impl Worker {
    pub fn run(&self) {
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
            Step::Failed(_, error) => {
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
                    Step::Failed(_, error) => {
                        reply(Err(error));
                        let _in_time = self.destroy(raw, Running::Discarding);
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
        match step {
            Step::Pending => return self.wait(Waiting { raw, until, reply: None }),
            Step::Ready => {}
            Step::Failed(rc, error) => left_behind(&raw, Named(*rc), error.words()),
        }
        self.end(raw);
    }

    /// The last of an instance that was retired.
    fn end(&self, raw: Raw) {
        if self.destroy(raw, Running::Stopping) {
            self.queue.gone();
        }
    }

    /// A start returned after it was answered for. An instance that is there all the same is retired by the thread that took over.
    fn too_late(&self, raw: Raw, step: &Step) {
        match step {
            Step::Ready => drop(Instance::new(raw, Arc::clone(&self.queue))),
            Step::Pending | Step::Failed(..) => raw.forget(),
        }
    }

    /// False if it took so long that it was given up.
    fn destroy(&self, raw: Raw, running: Running) -> bool {
        self.queue.begin(running);
        let mark = raw.mark;
        marked(mark, 0, || raw.destroy());
        self.queue.end(self.epoch).is_some()
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
            left_behind(&raw, Named(abi::PENDING), "it was still pending when its time was over");
            self.end(raw);
        }
    }
}

/// An instance goes whatever its stop says, so the log is all that learns of it.
fn left_behind(raw: &Raw, rc: Named, words: &str) {
    let module = module_name(raw.mark.row);
    let digest = raw.image.digest();
    tracing::warn!(module, digest = %digest.short(), "stop failed with {rc}, so something of an instance may be left behind: {words}");
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

#[cfg(test)]
mod tests;
