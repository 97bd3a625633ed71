//! What runs on the loader thread: loads, creates, polls, stops.
//!
//! Owns their order: one at a time, so that foreign constructors never race. A thread that was given up finds on its return that its work is no longer its
//! own, leaves what there is of an instance to the thread that took over, and ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use hotbay_abi as abi;
use hotbay_abi::Handle;
use hotbay_api::Digest;

use crate::hooks::{Hook, Limits};
use crate::instance::{Raw, Step};
use crate::marks::{marked, module_name};
use crate::queue::{Command, Next, Queue, Reply, Running, Staged, Waiting};
use crate::rc::Named;
use crate::thread::unchanged;
use crate::{CreateError, Image, Instance, InstanceConfig, LoadError};

/// What runs on the thread.
pub(crate) struct Worker {
    pub epoch: u64,
    pub queue: Arc<Queue>,
    pub images: Arc<Mutex<HashMap<Digest, Arc<Image>>>>,
    pub limits: Limits,
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
                Next::Do(Command::Discard(raw)) => self.discard(raw),
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
        let until = Instant::now() + self.limits.start;
        self.queue.begin(Running::Creating(reply, config.mark, Hook::Create));
        let (raw, step) = marked(config.mark, 0, || Raw::create(image, config));
        self.settle_create(raw, step, Hook::Create, until);
    }

    /// A pending instance goes on, whether it starts or stops.
    fn poll(&self, waiting: Waiting) {
        let Waiting { raw, until, reply } = waiting;
        let Some(reply) = reply else {
            return self.go_on_stopping(raw, Hook::PollInstance, until);
        };
        self.queue.begin(Running::Creating(reply, raw.mark, Hook::PollInstance));
        let step = marked(raw.mark, 0, || raw.poll());
        self.settle_create(raw, step, Hook::PollInstance, until);
    }

    /// What a start came to by now, as `hook` has said.
    fn settle_create(&self, raw: Raw, step: Step, hook: Hook, until: Instant) {
        let Some(Running::Creating(reply, ..)) = self.queue.end(self.epoch) else {
            return self.too_late(raw, &step, hook);
        };
        match step {
            Step::Ready => reply(Ok(Instance::new(raw, Arc::clone(&self.queue)))),
            Step::Pending => self.wait(Waiting { raw, until, reply: Some(reply) }),
            Step::Failed(_, error) if hook == Hook::Create => {
                raw.forget();
                reply(Err(error));
            }
            // What was pending exists, so it is destroyed, unlike after a create that failed at once.
            Step::Failed(_, error) => {
                reply(Err(error));
                self.discard(raw);
            }
        }
    }

    /// A start returned after it was answered for. What is there all the same is ended by the thread that took over.
    fn too_late(&self, raw: Raw, step: &Step, hook: Hook) {
        match (step, hook) {
            (Step::Ready, _) => drop(Instance::new(raw, Arc::clone(&self.queue))),
            (Step::Failed(..), Hook::Create) => raw.forget(),
            (Step::Pending | Step::Failed(..), _) => self.queue.push(Command::Discard(raw)),
        }
    }

    fn retire(&self, raw: Raw) {
        self.go_on_stopping(raw, Hook::Stop, Instant::now() + self.limits.stop);
    }

    /// Calls stop, or polls what it began.
    fn go_on_stopping(&self, raw: Raw, hook: Hook, until: Instant) {
        self.queue.begin(Running::Stopping(raw.mark, hook));
        let step = marked(raw.mark, 0, || if hook == Hook::Stop { raw.stop() } else { raw.poll() });
        let in_time = self.queue.end(self.epoch).is_some();
        match step {
            Step::Pending if in_time => return self.wait(Waiting { raw, until, reply: None }),
            Step::Pending | Step::Ready => {}
            Step::Failed(rc, error) => left_behind(&raw, Named(rc), error.words()),
        }
        if in_time {
            self.end(raw);
        } else {
            // It does not count as leaving any more. The thread that took over destroys it: one at a time is in a module's hooks.
            self.queue.push(Command::Discard(raw));
        }
    }

    /// The last of an instance that was retired.
    fn end(&self, raw: Raw) {
        let mark = raw.mark;
        if self.destroy(raw, Running::Stopping(mark, Hook::Destroy)) {
            self.queue.gone();
        }
    }

    /// The last of one that failed to start, or was given up.
    fn discard(&self, raw: Raw) {
        let mark = raw.mark;
        let _in_time = self.destroy(raw, Running::Discarding(mark));
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
            reply(Err(CreateError::Timeout(self.limits.start)));
            // No hook of it is on a stack, so it can go, with all that waits for what did not come.
            self.discard(raw);
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
