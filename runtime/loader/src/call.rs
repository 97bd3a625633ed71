//! One request's way through a module: start, polls, drop.
//!
//! Owns the rules of a call: one answer, `drop` exactly once for a start that answered PENDING, the handle dead before it, and a mark in the thread's
//! slot while foreign code runs. Must not route, time or count: the engine does.

use std::ffi::c_void;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hotbay_abi as abi;
use hotbay_abi::Handle;
use http::request::Parts;
use http::{HeaderMap, StatusCode};

use crate::frame::Frame;
use crate::handle::{self, Body, Closed, Kind, Reply};
use crate::marks::in_module;
use crate::{Captures, Instance};

/// Polls in a row for wakes that came while the module was being polled; then the thread's other tasks get their turn.
const POLLS_IN_A_ROW: u32 = 32;

/// A request on its way into a module.
pub struct Incoming {
    /// Its head.
    pub parts: Parts,
    /// Index into the manifest's handlers.
    pub handler: u32,
    /// The path's parameters.
    pub captures: Captures,
    /// Its body.
    pub body: Body,
}

/// What a module answers.
#[derive(Debug)]
pub struct Answer {
    /// 200 to 599.
    pub status: StatusCode,
    /// Checked.
    pub headers: HeaderMap,
    /// All of it.
    pub body: Bytes,
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CallFailure {
    /// The SDK caught a panic.
    #[error("the handler panicked: {0}")]
    Panicked(String),
    /// It said that it failed.
    #[error("the handler failed with code {code}: {words}")]
    Failed {
        /// A negative `hb_rc`.
        code: i32,
        /// From `fail`.
        words: String,
    },
    /// It said that it was done, and had not answered.
    #[error("the handler ended without an answer")]
    NoAnswer,
    /// It cut the call.
    #[error("the handler aborted the call")]
    Aborted,
    /// A million calls are alive.
    #[error("too many calls are in flight")]
    NoHandles,
}

/// Why a call that was not answered ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum DropReason {
    /// The client left.
    Disconnect = abi::DROP_DISCONNECT,
    /// It took too long.
    Timeout = abi::DROP_TIMEOUT,
}

/// How a call began.
pub enum Started {
    /// It was over at once.
    Done(Result<Answer, CallFailure>),
    /// It goes on.
    Pending(Call),
}

/// A call that goes on. Dropping it cancels it.
pub struct Call {
    instance: Arc<Instance>,
    handle: Handle,
    state: *mut c_void,
    frame: Option<Box<Frame>>,
    end: DropReason,
}

// SAFETY: the ABI requires that a call's state may be polled and dropped on any thread.
unsafe impl Send for Call {}

/// Begins a call and does its first poll, on this thread.
// What goes in and out is large: where this is part of its caller, less of it is copied.
#[inline(always)]
pub fn start(instance: &Arc<Instance>, incoming: Incoming) -> Started {
    let Incoming { parts, handler, captures, body } = incoming;
    let (inline, body) = match body {
        Body::Whole(bytes) => (Some(bytes), Body::Whole(Bytes::new())),
        stream @ Body::Stream(_) => (None, stream),
    };
    let frame = Frame::new(parts, handler, captures, inline);
    let Some(handle) = handle::open(Kind::Call, body, instance.mark()) else {
        return Started::Done(Err(CallFailure::NoHandles));
    };
    let mut state = std::ptr::null_mut();
    let start = instance.image().table().start;
    let rc = in_module(instance, handle, &frame, || {
        // SAFETY: the instance is alive (we hold it), the frame's views live until the call is over, `state` is ours.
        unsafe { start(instance.pointer(), handle, frame.request(), &raw mut state) }
    });
    if rc != abi::PENDING {
        let result = verdict(rc, handle::close(handle));
        frame.recycle();
        return Started::Done(result);
    }
    let end = DropReason::Disconnect;
    let mut call = Call { instance: Arc::clone(instance), handle, state, frame: Some(frame), end };
    match call.settle() {
        Settled::Over(result) => Started::Done(result),
        // A wake may have come already; the first poll of the future looks.
        Settled::Again | Settled::Waits => Started::Pending(call),
    }
}

enum Settled {
    Over(Result<Answer, CallFailure>),
    Again,
    Waits,
}

impl Call {
    /// What the module is told if the call is dropped before its answer.
    pub fn set_end(&mut self, end: DropReason) {
        self.end = end;
    }

    /// After foreign code has answered PENDING: is the answer there all the same, or has a wake come?
    fn settle(&mut self) -> Settled {
        let looked = handle::with(self.handle, |state| {
            state.running = false;
            match state.reply {
                Reply::Open if std::mem::take(&mut state.woken) => Settled::Again,
                Reply::Open => Settled::Waits,
                Reply::Answered(_) | Reply::Aborted => Settled::Over(Err(CallFailure::NoAnswer)),
            }
        });
        match looked {
            Some(Settled::Over(_)) | None => Settled::Over(self.finish(abi::READY, abi::DROP_DONE)),
            Some(open) => open,
        }
    }

    /// Ends the call: the handle first, so that a late word of the module's threads finds nobody, then the state.
    fn finish(&mut self, rc: abi::Rc, why: i32) -> Result<Answer, CallFailure> {
        let Some(frame) = self.frame.take() else { return Err(CallFailure::NoAnswer) };
        let closed = handle::close(self.handle);
        let drop_state = self.instance.image().table().drop;
        in_module(&self.instance, self.handle, &frame, || {
            // SAFETY: `state` came from a start that answered PENDING, and the frame was taken, so this runs once.
            unsafe { drop_state(self.state, why) }
        });
        frame.recycle();
        verdict(rc, closed)
    }

    /// One poll of the module. `None`: it waits, and the waker is in place.
    fn poll_once(&mut self, cx: &Context<'_>) -> Option<Settled> {
        let ready = handle::with(self.handle, |state| {
            let waits = matches!(state.reply, Reply::Open);
            state.running = waits;
            state.woken = false;
            !waits
        });
        if ready != Some(false) {
            return Some(Settled::Over(self.finish(abi::READY, abi::DROP_DONE)));
        }
        let poll = self.instance.image().table().poll;
        // Taken by `finish` alone, after which nobody polls.
        let Some(frame) = &self.frame else { return Some(Settled::Over(Err(CallFailure::NoAnswer))) };
        let rc = in_module(&self.instance, self.handle, frame, || {
            // SAFETY: `state` came from a start that answered PENDING and was not dropped yet.
            unsafe { poll(self.state, self.handle) }
        });
        if rc != abi::PENDING {
            let why = if rc < 0 { abi::DROP_ERROR } else { abi::DROP_DONE };
            return Some(Settled::Over(self.finish(rc, why)));
        }
        match self.settle() {
            Settled::Waits if self.register(cx) => None,
            Settled::Waits | Settled::Again => Some(Settled::Again),
            over @ Settled::Over(_) => Some(over),
        }
    }

    /// Leaves the waker; false if a wake or the answer came in between.
    fn register(&self, cx: &Context<'_>) -> bool {
        let registered = handle::with(self.handle, |state| {
            let quiet = !state.woken && matches!(state.reply, Reply::Open);
            let old = if quiet { state.waker.replace(cx.waker().clone()) } else { None };
            (quiet, old)
        });
        registered.is_some_and(|(quiet, _old)| quiet)
    }
}

impl Future for Call {
    type Output = Result<Answer, CallFailure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        for _ in 0..POLLS_IN_A_ROW {
            match self.poll_once(cx) {
                None => return Poll::Pending,
                Some(Settled::Over(result)) => return Poll::Ready(result),
                Some(Settled::Again | Settled::Waits) => {}
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.frame.is_some() {
            let _cancelled = self.finish(abi::GONE, self.end as i32);
        }
    }
}

/// What a call comes to, given what its module returned and said.
#[inline(always)]
fn verdict(rc: abi::Rc, closed: Option<Closed>) -> Result<Answer, CallFailure> {
    let Some(closed) = closed else { return Err(CallFailure::NoAnswer) };
    let words = || closed.words.unwrap_or_else(|| "no words were given".to_owned());
    match (rc, closed.reply) {
        (_, Reply::Aborted) => Err(CallFailure::Aborted),
        // A complete answer stands, whatever came after it: the client may not be told otherwise any more.
        (_, Reply::Answered(answer)) => Ok(answer),
        (abi::PANIC, _) => Err(CallFailure::Panicked(words())),
        (code, _) if code < 0 => Err(CallFailure::Failed { code, words: words() }),
        (_, Reply::Open) => Err(CallFailure::NoAnswer),
    }
}
