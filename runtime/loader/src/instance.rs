//! An instance: an image with a config.
//!
//! Owns the calls of create, poll_instance, stop and destroy, all of which run on the loader thread. Dropping the last [`Instance`] retires it:
//! the calls that held it are over by then, and the loader thread stops and destroys what is left.

use std::ffi::c_void;
use std::sync::Arc;

use bytes::Bytes;
use hotbay_abi as abi;
use hotbay_abi::{Config, Handle, Rc, Str, size_of_table};
use hotbay_api::{EntryKey, Reason};

use crate::Image;
use crate::handle::{self, Body, Kind};
use crate::hooks::Overdue;
use crate::queue::{Mark, Queue};
use crate::rc::Named;

/// What an instance is made with.
#[derive(Clone, Debug)]
pub struct InstanceConfig {
    /// Which module it serves.
    pub key: EntryKey,
    /// A JSON object.
    pub json: String,
    /// How it is named in the engine's memory.
    pub mark: Mark,
}

/// Why an instance could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CreateError {
    /// The module said no, or panicked.
    #[error("the module could not start: {0}")]
    Failed(String),
    /// The module refuses its config.
    #[error("the module refuses its config: {0}")]
    Config(String),
    /// One call did not return.
    #[error("the module did not start: {0}")]
    Overdue(Overdue),
    /// The instance stayed pending.
    #[error("the module did not start within {0:?}; look at what its create waits for")]
    Timeout(std::time::Duration),
}

impl CreateError {
    /// In one word.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Failed(_) => Reason::StartFailed,
            Self::Config(_) => Reason::ConfigRejected,
            Self::Overdue(_) | Self::Timeout(_) => Reason::StartTimeout,
        }
    }

    /// The module's own words, if it had any.
    pub(crate) fn words(&self) -> &str {
        match self {
            Self::Failed(words) | Self::Config(words) => words,
            Self::Overdue(_) | Self::Timeout(_) => "",
        }
    }
}

/// A running module. Calls hold it; its drop retires it.
#[derive(Debug)]
pub struct Instance {
    raw: Option<Raw>,
    queue: Arc<Queue>,
}

/// The module's side of an instance.
#[derive(Debug)]
pub(crate) struct Raw {
    pub image: Arc<Image>,
    pub pointer: *mut c_void,
    pub handle: Handle,
    pub mark: Mark,
}

// SAFETY: the ABI requires that an instance may be used from every engine thread at once, and retired on the loader thread.
unsafe impl Send for Raw {}
// SAFETY: as above.
unsafe impl Sync for Raw {}

impl Instance {
    pub(crate) fn new(raw: Raw, queue: Arc<Queue>) -> Self {
        Self { raw: Some(raw), queue }
    }

    fn raw(&self) -> &Raw {
        // Only `drop` takes it.
        match &self.raw {
            Some(raw) => raw,
            None => unreachable!("an instance has its raw part until it is dropped"),
        }
    }

    /// What it runs.
    pub fn image(&self) -> &Image {
        &self.raw().image
    }

    /// How it is named in the engine's memory.
    pub fn mark(&self) -> Mark {
        self.raw().mark
    }

    pub(crate) fn pointer(&self) -> *mut c_void {
        self.raw().pointer
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(raw) = self.raw.take() {
            self.queue.retire(raw);
        }
    }
}

/// How a call of create, poll_instance or stop came out.
pub(crate) enum Step {
    Ready,
    Pending,
    Failed(Rc, CreateError),
}

impl Raw {
    /// Calls `create`. On failure there is nothing to destroy.
    pub fn create(image: Arc<Image>, config: &InstanceConfig) -> (Self, Step) {
        let Some(handle) = handle::open(Kind::Instance, Body::Whole(Bytes::new()), config.mark, None) else {
            let raw = Self { image, pointer: std::ptr::null_mut(), handle: 0, mark: config.mark };
            return (
                raw,
                Step::Failed(
                    abi::LIMIT,
                    CreateError::Failed("too many calls and instances are alive".to_owned()),
                ),
            );
        };
        let name = config.key.to_string();
        let digest = image.digest().to_string();
        let view = Config {
            size: size_of_table::<Config>(),
            flags: 0,
            name: Str::new(name.as_bytes()),
            config_json: Str::new(config.json.as_bytes()),
            digest: Str::new(digest.as_bytes()),
        };
        let mut pointer = std::ptr::null_mut();
        // SAFETY: the views live for the call, and `pointer` is ours to be written.
        let rc = unsafe { (image.table().create)(&raw const view, handle, &raw mut pointer) };
        let raw = Self { image, pointer, handle, mark: config.mark };
        let step = raw.step(rc);
        (raw, step)
    }

    /// Calls `poll_instance`.
    pub fn poll(&self) -> Step {
        handle::with(self.handle, |state| {
            state.turn.begin();
        });
        // SAFETY: the instance is pending: create or stop said so, and nothing settled it yet.
        let rc = unsafe { (self.image.table().poll_instance)(self.pointer, self.handle) };
        self.step(rc)
    }

    /// Calls `stop`.
    pub fn stop(&self) -> Step {
        handle::with(self.handle, |state| state.turn.begin());
        // SAFETY: the instance is alive, no call holds it, and it is retired once.
        let rc = unsafe { (self.image.table().stop)(self.pointer, self.handle) };
        self.step(rc)
    }

    /// Ends the handle, then calls `destroy`.
    pub fn destroy(self) {
        handle::close(self.handle);
        // SAFETY: create has failed after it was pending or was given up, or stop has settled or was; no call holds the instance, and none of its
        // hooks is on a stack.
        unsafe { (self.image.table().destroy)(self.pointer) }
    }

    /// Ends the handle of an instance that create refused at once: there is nothing to destroy.
    pub fn forget(self) {
        handle::close(self.handle);
    }

    /// Puts `waker` in place; false if a wake has come already.
    pub fn register(&self, waker: std::task::Waker) -> bool {
        let quiet = handle::with(self.handle, |state| {
            let waiting = state.turn.wait(|| waker);
            state.turn.take_woken();
            waiting.ok()
        });
        // What waited before is dropped here, after the lock.
        quiet.flatten().is_some()
    }

    fn step(&self, rc: Rc) -> Step {
        let words = handle::with(self.handle, |state| {
            state.turn.end();
            state.words.take()
        });
        let words =
            || words.flatten().unwrap_or_else(|| format!("it answered {} and gave no words", Named(rc)));
        match rc {
            abi::READY => Step::Ready,
            abi::PENDING => Step::Pending,
            abi::DENIED => Step::Failed(rc, CreateError::Config(words())),
            // Negative, or a value that the header does not name.
            _ => Step::Failed(rc, CreateError::Failed(words())),
        }
    }
}
