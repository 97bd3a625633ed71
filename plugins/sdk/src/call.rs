//! One call, from its start to its drop.
//!
//! Owns the order: the body is read whole, the handler is called, its future polled, its response handed over. Must not know C: `entry`
//! turns pointers into what is used here, and guards every step.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use hotbay_abi::{EOF, ERR, Handle, LIMIT, PENDING, READY, Rc};

use crate::{Request, Response, answer, host};

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
}

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
}

/// A call that is under way. Its lifetimes are erased: `entry` promises that it is dropped before the host's request goes.
pub(crate) struct CallState {
    /// Declared before `body`, and so dropped before it: a future may hold a view of the body.
    stage: Stage,
    body: Vec<u8>,
}

enum Stage {
    Reading {
        call: Call,
        request: Request<'static>,
    },
    Running(Answering<'static>),
    /// Answered, or given up; a host does not poll any more.
    Over,
}

impl CallState {
    /// Takes the first step of a call. With `whole` the request has its body already; otherwise it is read first.
    pub(crate) fn start(call: Call, request: Request<'static>, whole: bool, handle: Handle) -> (Self, Rc) {
        let mut state = Self { stage: Stage::Over, body: Vec::new() };
        let rc = host::guard(handle, || {
            if whole {
                state.begin(call, request, handle)
            } else {
                state.stage = Stage::Reading { call, request };
                state.advance(handle)
            }
        });
        (state, rc)
    }

    /// Goes on until the call waits or is over.
    pub(crate) fn advance(&mut self, handle: Handle) -> Rc {
        match &mut self.stage {
            Stage::Reading { call, request } => {
                let (call, request) = (*call, *request);
                match read(handle, &mut self.body) {
                    EOF => {
                        // SAFETY: the bytes are on the heap and not touched again until `self` is dropped, the future before them.
                        let body = unsafe { mem::transmute::<&[u8], &'static [u8]>(&self.body) };
                        self.begin(call, request.with_body(body), handle)
                    }
                    LIMIT => self
                        .answer(Response::text("the request's body is too large\n").with_status(413), handle),
                    other => other,
                }
            }
            Stage::Running(future) => {
                let waker = host::waker(handle);
                match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    Poll::Ready(response) => self.answer(response, handle),
                    Poll::Pending => PENDING,
                }
            }
            Stage::Over => ERR,
        }
    }

    fn begin(&mut self, call: Call, request: Request<'static>, handle: Handle) -> Rc {
        match call {
            Call::Plain(function) => self.answer(function(request), handle),
            Call::Future(function) => {
                self.stage = Stage::Running(function(request));
                self.advance(handle)
            }
        }
    }

    /// The answer goes first: the client need not wait for what the future holds to be dropped.
    fn answer(&mut self, response: Response, handle: Handle) -> Rc {
        let rc = answer::send(handle, response);
        self.stage = Stage::Over;
        rc
    }
}

/// Reads until the body has ended or the host has no more for now. READY is never returned.
fn read(handle: Handle, body: &mut Vec<u8>) -> Rc {
    for _ in 0..PIECES_A_TURN {
        match host::read(handle, body) {
            READY => {}
            // A positive answer that this SDK does not know is no progress.
            rc if rc > EOF => return ERR,
            rc => return rc,
        }
    }
    host::wake(handle);
    PENDING
}
