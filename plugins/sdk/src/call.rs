//! One call, from its start to its drop.
//!
//! Owns the order: the body is read whole if the handler wants it so, the handler is called, its future polled, its response handed over, its
//! stream or new protocol driven. Must not know C: `entry` turns pointers into what is used here, and guards every step.

use std::mem::{self, ManuallyDrop};
use std::pin::Pin;
use std::task::{Context, Poll};

use hotbay_abi::{EOF, ERR, Handle, LIMIT, PENDING, READY, Rc};

use crate::answer::{self, Sent};
use crate::body::Source;
use crate::extract::Argument;
use crate::link::Held;
use crate::outgoing::Outgoing;
use crate::runtime::Runtime;
use crate::upgrade::Running;
use crate::{Request, Response, Trailers, host};

/// So many pieces of a body are read before other calls of the thread get their turn.
const PIECES_A_TURN: usize = 64;

type Answering<'a> = Pin<Box<dyn Future<Output = Response> + Send + 'a>>;

/// How a handler is called.
#[derive(Clone, Copy)]
pub enum Call {
    /// Answers at once.
    Plain(for<'a> fn(Request<'a>) -> Response),
    /// Answers when its future is done.
    Future(for<'a> fn(Request<'a>) -> Answering<'a>),
    /// Answers by itself.
    Steps(for<'a> fn(Request<'a>) -> Stepping),
}

impl Call {
    /// The first step of a handler that has what it waits for: what the host is told, and what was made for the call, to be kept if that is PENDING.
    /// `Err` is a stage to go on with. What was made is in `left` if this panics: whoever catches that drops it.
    #[inline(always)]
    pub(crate) fn step(
        self,
        request: Request<'static>,
        handle: Handle,
        left: &mut Option<Stage>,
    ) -> Result<(Rc, Stage), Stage> {
        match self {
            Self::Plain(function) => Stage::after(answer::send(handle, function(request)))
                .map_or_else(|rc| Ok((rc, Stage::Over)), Err),
            Self::Future(function) => {
                let mut future = Saved::new(function(request), Stage::Running, left);
                let waker = host::waker(handle);
                match future.made.as_mut().poll(&mut Context::from_waker(&waker)) {
                    Poll::Pending => Ok((PENDING, future.into_stage())),
                    // The answer goes first: the client need not wait for what the future holds to be dropped.
                    Poll::Ready(response) => match Stage::after(answer::send(handle, response)) {
                        Ok(next) => {
                            drop(future.into_stage());
                            Err(next)
                        }
                        Err(rc) => Ok((rc, future.into_stage())),
                    },
                }
            }
            Self::Steps(function) => {
                let mut steps = Saved::new(function(request), Stage::Stepping, left);
                let rc = steps.made.as_mut().advance(handle);
                Ok((rc, steps.into_stage()))
            }
        }
    }
}

/// What was made for a call, while the author's code runs in it. A panic leaves it to `left` rather than drop it: a destructor that panicked while
/// another panic unwinds would end the process.
struct Saved<'l, T> {
    made: ManuallyDrop<T>,
    stage: fn(T) -> Stage,
    left: &'l mut Option<Stage>,
}

impl<'l, T> Saved<'l, T> {
    #[inline(always)]
    fn new(made: T, stage: fn(T) -> Stage, left: &'l mut Option<Stage>) -> Self {
        Self { made: ManuallyDrop::new(made), stage, left }
    }

    #[inline(always)]
    fn into_stage(self) -> Stage {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: taken once, because `this` is not dropped.
        (this.stage)(unsafe { ManuallyDrop::take(&mut this.made) })
    }
}

impl<T> Drop for Saved<'_, T> {
    fn drop(&mut self) {
        // SAFETY: taken once: `into_stage` does not come here.
        *self.left = Some((self.stage)(unsafe { ManuallyDrop::take(&mut self.made) }));
    }
}

/// A handler that does not make a [`Response`], but talks to the host in its own words.
#[doc(hidden)]
pub trait Steps: Send {
    /// Goes on until it waits (PENDING), has answered (READY) or failed.
    fn advance(self: Pin<&mut Self>, call: Handle) -> Rc;
}

pub(crate) type Stepping = Pin<Box<dyn Steps>>;

/// What `#[handler]` puts beside a function.
pub struct Handler {
    /// The function's name.
    pub name: &'static str,
    /// Empty means every method.
    pub methods: &'static [&'static str],
    /// The path template.
    pub path: &'static str,
    /// The function.
    pub call: Call,
    /// What of the body it waits for.
    pub body: BodyMode,
    /// It may block its thread, so the host calls it on a pool.
    pub blocking: bool,
    /// What the function takes.
    pub arguments: &'static [Argument],
}

/// When a handler is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyMode {
    /// When the whole body has come.
    Whole,
    /// When the head has come: it reads the body itself, or not at all.
    Stream,
}

impl BodyMode {
    /// What a handler with both kinds of arguments wants: one that needs the whole body decides.
    pub const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Stream, Self::Stream) => Self::Stream,
            _ => Self::Whole,
        }
    }
}

/// A call that is under way. Its lifetimes are erased: `entry` promises that it is dropped before the host's request goes.
pub(crate) struct CallState {
    /// Declared before `body`, and so dropped before it: a future may hold a view of the body.
    stage: Stage,
    body: Vec<u8>,
    link: Option<Held>,
    runtime: &'static Runtime,
}

pub(crate) enum Stage {
    /// What the handler waits for is there.
    Begin {
        call: Call,
        request: Request<'static>,
    },
    /// Its body is not.
    Reading {
        call: Call,
        request: Request<'static>,
    },
    Running(Answering<'static>),
    Stepping(Stepping),
    Sending(Pin<Box<dyn Source>>, Outgoing),
    Upgraded(Running),
    /// Answered, or given up; a host does not poll any more.
    Over,
}

impl CallState {
    pub fn new(stage: Stage, link: Option<Held>, runtime: &'static Runtime) -> Self {
        Self { stage, body: Vec::new(), link, runtime }
    }

    /// What has to be entered before anything of this is touched.
    pub fn runtime(&self) -> &'static Runtime {
        self.runtime
    }

    /// The host has polled: whoever waits for it is asked again, wherever it runs.
    pub fn poll(&mut self, handle: Handle) -> Rc {
        if let Some(link) = &self.link {
            link.0.pass_on();
        }
        self.advance(handle)
    }

    /// Goes on until the call waits or is over.
    pub fn advance(&mut self, handle: Handle) -> Rc {
        loop {
            match &mut self.stage {
                Stage::Begin { call, request } => {
                    let (call, request) = (*call, *request);
                    if let Some(rc) = self.begin(call, request, handle) {
                        return rc;
                    }
                }
                Stage::Reading { call, request } => {
                    let (call, request) = (*call, *request);
                    match read(handle, &mut self.body) {
                        EOF => {
                            // SAFETY: the bytes are on the heap and not touched again until `self` is dropped, the future before them.
                            let body = unsafe { mem::transmute::<&[u8], &'static [u8]>(&self.body) };
                            self.stage = Stage::Over;
                            if let Some(rc) = self.begin(call, request.with_body(body), handle) {
                                return rc;
                            }
                        }
                        LIMIT => {
                            let response =
                                Response::text("the request's body is too large\n").with_status(413);
                            return self.answer(response, handle).unwrap_or(ERR);
                        }
                        other => return other,
                    }
                }
                Stage::Running(future) => {
                    let waker = host::waker(handle);
                    let Poll::Ready(response) = future.as_mut().poll(&mut Context::from_waker(&waker)) else {
                        return PENDING;
                    };
                    if let Some(rc) = self.answer(response, handle) {
                        return rc;
                    }
                }
                Stage::Stepping(steps) => return steps.as_mut().advance(handle),
                Stage::Sending(source, outgoing) => return outgoing.advance(source.as_mut(), handle),
                Stage::Upgraded(running) => {
                    let waker = host::waker(handle);
                    if running.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
                        return PENDING;
                    }
                    // The connection goes with the future, which ends our side if nobody has.
                    self.stage = Stage::Over;
                    host::finish(handle, &Trailers::new());
                    return READY;
                }
                Stage::Over => return ERR,
            }
        }
    }

    /// Calls the handler. `None`: go on.
    fn begin(&mut self, call: Call, request: Request<'static>, handle: Handle) -> Option<Rc> {
        match call {
            Call::Plain(function) => self.answer(function(request), handle),
            Call::Future(function) => {
                self.stage = Stage::Running(function(request));
                None
            }
            Call::Steps(function) => {
                self.stage = Stage::Stepping(function(request));
                None
            }
        }
    }

    /// The answer goes first: the client need not wait for what the future holds to be dropped. `None`: go on.
    fn answer(&mut self, response: Response, handle: Handle) -> Option<Rc> {
        let next = Stage::after(answer::send(handle, response));
        let (stage, rc) = match next {
            Ok(stage) => (stage, None),
            Err(rc) => (Stage::Over, Some(rc)),
        };
        self.stage = stage;
        rc
    }
}

impl Stage {
    /// What follows an answer's head, or what the host is told if nothing does.
    pub fn after(sent: Sent) -> Result<Self, Rc> {
        match sent {
            Sent::Over(rc) => Err(rc.min(READY)),
            Sent::Stream(source, outgoing) => Ok(Self::Sending(source, outgoing)),
            Sent::Upgrade(running) => Ok(Self::Upgraded(running)),
        }
    }
}

/// Reads until the body has ended or the host has no more for now. READY is never returned.
fn read(handle: Handle, body: &mut Vec<u8>) -> Rc {
    for _ in 0..PIECES_A_TURN {
        match host::read(handle) {
            Ok(piece) => body.extend_from_slice(&piece),
            Err(rc) => return rc,
        }
    }
    host::wake(handle);
    PENDING
}
