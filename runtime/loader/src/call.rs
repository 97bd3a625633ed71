//! One request's way through a module: start, polls, drop.
//!
//! Owns the rules of a call: one answer, `drop` exactly once for a start that answered PENDING, the handle dead before it, and a mark in the thread's
//! slot while foreign code runs. From the head of a streamed answer on, its [`Stream`](crate::Stream) owns the call. Must not route, time or count: the engine does.

use std::ffi::c_void;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hotbay_abi as abi;
use hotbay_abi::Handle;
use http::request::Parts;

use crate::answer::{
    Answer, AnswerBody, CallFailure, DropReason, FailureKind, by_client, failure, unfinished,
};
use crate::frame::{Frame, FrameRef, InUse};
use crate::handle::{self, Body, Closed, Kind, Reply, State};
use crate::marks::in_module;
use crate::{Captures, Instance, RequestIds};

/// Polls in a row for wakes that came while the module was being polled; then the thread's other tasks get their turn.
pub(crate) const POLLS_IN_A_ROW: u32 = 32;

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
    /// Who is at the other end of the connection.
    pub peer: Option<SocketAddr>,
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
    frame: Option<InUse>,
    end: DropReason,
}

// SAFETY: the ABI requires that a call's state may be polled and dropped on any thread.
unsafe impl Send for Call {}

/// Begins a call and does its first poll, on this thread.
// What goes in and out is large: where this is part of its caller, less of it is copied.
#[inline(always)]
pub fn start(instance: &Arc<Instance>, incoming: Incoming) -> Started {
    let Incoming { parts, handler, captures, body, peer } = incoming;
    let (inline, body) = match body {
        Body::Whole(bytes) => (Some(bytes), Body::Whole(bytes::Bytes::new())),
        stream @ Body::Stream(_) => (None, stream),
    };
    let frame = Frame::begin(parts, handler, captures, inline, peer);
    // SAFETY: the frame is only read and stays in the call until `close` has been called, here or in `finish`.
    let known = unsafe { FrameRef::new(&frame) };
    let Some(handle) = handle::open(Kind::Call, body, instance.mark(), Some(known)) else {
        return Started::Done(Err(FailureKind::NoHandles.into()));
    };
    let mut state = std::ptr::null_mut();
    let start = instance.image().table().start;
    let rc = in_module(instance, handle, &frame, || {
        // SAFETY: the instance is alive (we hold it), the frame's views live until the call is over, `state` is ours.
        unsafe { start(instance.pointer(), handle, frame.request(), &raw mut state) }
    });
    if rc != abi::PENDING {
        let closed = handle::close_answered(handle);
        frame.recycle();
        return match closed {
            Some(Ok(answer)) => Started::Done(Ok(answer)),
            Some(Err(closed)) => Started::Done(verdict(rc, Some(closed))),
            None => Started::Done(verdict(rc, None)),
        };
    }
    let end = DropReason::Disconnect;
    let mut call = Call { instance: Arc::clone(instance), handle, state, frame: Some(frame), end };
    match call.settle() {
        Settled::Over(result) => Started::Done(result),
        Settled::Begun(answer) => Started::Done(Ok(answer.followed(call))),
        // A wake may have come already; the first poll of the future looks.
        Settled::Again | Settled::Yields | Settled::Waits => Started::Pending(call),
    }
}

enum Settled {
    Over(Result<Answer, CallFailure>),
    /// The head is there, and the call goes on.
    Begun(Answer),
    Again,
    /// As `Again`, and others have waited long enough.
    Yields,
    Waits,
}

impl Answer {
    /// With the call behind its stream.
    fn followed(mut self, call: Call) -> Self {
        if let AnswerBody::Stream(stream) = &mut self.body {
            stream.follow(call);
        }
        self
    }
}

impl State {
    /// What becomes of a call that waits, by its answer; `None` while there is none.
    fn settled(&mut self) -> Option<Settled> {
        if matches!(self.reply, Reply::Open) {
            return None;
        }
        if let Reply::Answered(Answer { body: AnswerBody::Stream(stream), .. }) = &mut self.reply
            && let Some(outgoing) = stream.take_left()
            && let Reply::Answered(answer) = std::mem::replace(&mut self.reply, Reply::Begun(outgoing))
        {
            return Some(Settled::Begun(answer));
        }
        Some(Settled::Over(Err(FailureKind::NoAnswer.into())))
    }
}

impl Call {
    /// What the module is told if the call is dropped before its answer.
    pub fn set_end(&mut self, end: DropReason) {
        self.end = end;
    }

    /// What log lines call its request by.
    pub fn request(&self) -> RequestIds {
        self.frame.as_ref().map(|frame| RequestIds::of(frame, self.handle)).unwrap_or_default()
    }

    pub(crate) fn handle(&self) -> Handle {
        self.handle
    }

    /// After foreign code has answered PENDING: is the answer there all the same, or has a wake come?
    fn settle(&mut self) -> Settled {
        let looked = handle::with(self.handle, |state| {
            state.turn.end();
            let overdrawn = state.take_overdrawn();
            // The wake stays until a turn begins: an answer may come before, and then it is the stream's.
            state.settled().unwrap_or_else(|| match state.turn.is_woken() {
                true if overdrawn => Settled::Yields,
                true => Settled::Again,
                false => Settled::Waits,
            })
        });
        match looked {
            Some(Settled::Over(_)) | None => Settled::Over(self.finish(abi::READY)),
            Some(open) => open,
        }
    }

    /// Ends the call with what its answer comes to.
    fn finish(&mut self, rc: abi::Rc) -> Result<Answer, CallFailure> {
        verdict(rc, self.end_after(rc))
    }

    /// As [`Self::end`], of a call whose module has answered `rc`.
    pub(crate) fn end_after(&mut self, rc: abi::Rc) -> Option<Closed> {
        self.end(if rc < 0 { abi::DROP_ERROR } else { abi::DROP_DONE })
    }

    /// Ends the call: the handle first, so that a late word of the module's threads finds nobody, then the state. `None`: it has ended before.
    fn end(&mut self, why: i32) -> Option<Closed> {
        let frame = self.frame.take()?;
        let closed = handle::close(self.handle);
        let is_whole = closed.as_ref().is_none_or(|closed| closed.reply.is_whole());
        let why = if why == abi::DROP_DONE && !is_whole { abi::DROP_ERROR } else { why };
        let drop_state = self.instance.image().table().drop;
        in_module(&self.instance, self.handle, &frame, || {
            // SAFETY: `state` came from a start that answered PENDING, and the frame was taken, so this runs once.
            unsafe { drop_state(self.state, why) }
        });
        frame.recycle();
        closed
    }

    /// Has the module polled; the state counts as running already.
    pub(crate) fn poll_module(&self) -> abi::Rc {
        let poll = self.instance.image().table().poll;
        // Taken by `end` alone, after which nobody polls.
        let Some(frame) = &self.frame else { return abi::GONE };
        in_module(&self.instance, self.handle, frame, || {
            // SAFETY: `state` came from a start that answered PENDING and was not dropped yet.
            unsafe { poll(self.state, self.handle) }
        })
    }

    /// One poll of the module. `None`: it waits, and the waker is in place.
    fn poll_once(&mut self, cx: &Context<'_>) -> Option<Settled> {
        let settled = handle::with(self.handle, |state| {
            let settled = state.settled();
            if settled.is_none() {
                state.begin_poll();
            }
            settled
        });
        match settled {
            Some(None) => {}
            Some(Some(begun @ Settled::Begun(_))) => return Some(begun),
            Some(Some(_)) | None => return Some(Settled::Over(self.finish(abi::READY))),
        }
        let rc = self.poll_module();
        if rc != abi::PENDING {
            return Some(Settled::Over(self.finish(rc)));
        }
        match self.settle() {
            Settled::Waits if self.register(cx) => None,
            Settled::Waits => Some(Settled::Again),
            other => Some(other),
        }
    }

    /// The call itself, for a stream. This one is over without having ended.
    fn hand_over(&mut self) -> Self {
        Self { instance: Arc::clone(&self.instance), frame: self.frame.take(), ..*self }
    }

    /// Leaves the waker; false if a wake or the answer came in between.
    fn register(&self, cx: &Context<'_>) -> bool {
        let registered = handle::with(self.handle, |state| match state.reply {
            Reply::Open => state.turn.wait(|| cx.waker().clone()).ok(),
            _ => None,
        });
        // What waited before is dropped here, after the lock.
        registered.flatten().is_some()
    }
}

impl Future for Call {
    type Output = Result<Answer, CallFailure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        for _ in 0..POLLS_IN_A_ROW {
            match self.poll_once(cx) {
                None => return Poll::Pending,
                Some(Settled::Over(result)) => return Poll::Ready(result),
                Some(Settled::Begun(answer)) => return Poll::Ready(Ok(answer.followed(self.hand_over()))),
                Some(Settled::Yields) => break,
                Some(Settled::Again | Settled::Waits) => {}
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // Nothing, if it has ended before.
        let _cancelled = self.end(self.end as i32);
    }
}

/// What a call comes to, given what its module returned and said.
fn verdict(rc: abi::Rc, closed: Option<Closed>) -> Result<Answer, CallFailure> {
    let Some(closed) = closed else { return Err(FailureKind::NoAnswer.into()) };
    let ended = || closed.input.as_ref()?.ended();
    let kind = match closed.reply {
        Reply::Aborted => FailureKind::Aborted,
        // A complete answer stands, whatever came after it: the client may not be told otherwise any more.
        Reply::Answered(answer) if answer.is_complete() => return Ok(answer),
        Reply::Answered(_) | Reply::Begun(_) => {
            by_client(rc, ended()).unwrap_or_else(|| unfinished(rc, closed.words))
        }
        Reply::Open => by_client(rc, ended()).unwrap_or_else(|| failure(rc, closed.words)),
    };
    Err(CallFailure { kind, request: closed.request })
}
