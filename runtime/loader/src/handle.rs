//! Handles: how a module names a call or an instance to its host.
//!
//! Owns the slots behind the numbers. A number is an index and a generation; a stale one finds another generation and is refused, so a late or
//! malicious module can never reach somebody else's request. Must not run foreign code (wakers, releases) under a slot's lock:
//! what has to be dropped or woken is handed out.

mod turn;
mod turns;

use std::cell::RefCell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;

use bytes::Bytes;
use hotbay_abi::Handle;

use crate::answer::{Answer, AnswerBody};
use crate::frame::{Frame, FrameRef};
use crate::host::{RequestIds, timer};
use crate::input::{Coming, Input};
use crate::outgoing::Outgoing;
use crate::queue::Mark;
use turn::Turn;

/// 1,048,576 calls at a time; 44 bits of generation last 5 years on one slot at 100,000 calls a second, and then the slot retires.
const INDEX_BITS: u32 = 20;
const MAX_GENERATION: u64 = (1 << (64 - INDEX_BITS)) - 1;
const CHUNK: usize = 1024;
const CHUNKS: usize = (1 << INDEX_BITS) / CHUNK;
/// Free indexes that a thread keeps for itself, so that most calls touch no shared list.
const LOCAL: usize = 64;

/// A request's body as it came to the engine.
pub enum Body {
    /// All of it.
    Whole(Bytes),
    /// Still arriving. A length limit shows as [`http_body_util::LengthLimitError`].
    Stream(Coming),
}

/// What a slot holds while its handle lives.
pub(crate) struct State {
    /// Whether some handle names it. What is large in it is filled and emptied where it lies, because every request has one.
    live: bool,
    /// What the module has answered.
    pub reply: Reply,
    /// Whether start or poll is on some stack, and who waits for the next poll.
    pub turn: Turn<Waker>,
    /// Reads and writes that this poll was answered with READY.
    ready: u8,
    /// What is to be read; `None`: nothing, the body was whole.
    pub input: Option<Box<Input>>,
    /// What the module said with `fail`.
    pub words: Option<String>,
    /// Which module's it is, for log lines and blame.
    pub mark: Mark,
    /// What the handle names.
    pub kind: Kind,
    /// The request, until `close`; an instance has none.
    frame: Option<FrameRef>,
    /// When the timer of this handle is due, as `now_ns` counts; 0: it is not armed.
    pub timer_at: u64,
    /// Where it stands among all timers, which is no later than that; 0: it is not there.
    pub timer_entry: u64,
}

/// What a handle names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Call,
    Instance,
}

/// How far the answer is.
pub(crate) enum Reply {
    Open,
    /// Nobody has collected it yet.
    Answered(Answer),
    /// Its head is on the way to the client; here is what follows.
    Begun(Box<Outgoing>),
    Aborted,
}

impl Reply {
    /// Whether the client gets all of it.
    pub fn is_whole(&self) -> bool {
        match self {
            Self::Answered(answer) => answer.is_complete(),
            Self::Begun(outgoing) => outgoing.is_finished(),
            Self::Open | Self::Aborted => false,
        }
    }
}

struct Slot {
    generation: AtomicU64,
    state: Mutex<State>,
}

static SLOTS: [OnceLock<Box<[Slot]>>; CHUNKS] = [const { OnceLock::new() }; CHUNKS];
static NEXT: AtomicU32 = AtomicU32::new(0);
static FREE: Mutex<Vec<u32>> = Mutex::new(Vec::new());

struct Local(Vec<u32>);

thread_local! {
    static FREE_HERE: RefCell<Local> = const { RefCell::new(Local(Vec::new())) };
}

impl Drop for Local {
    fn drop(&mut self) {
        lock(&FREE).append(&mut self.0);
    }
}

/// A poisoned lock is taken all the same: the state behind it is replaced whole, never half-changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn empty() -> Self {
        Self {
            live: false,
            reply: Reply::Open,
            turn: Turn::new(),
            ready: 0,
            input: None,
            words: None,
            mark: Mark::default(),
            kind: Kind::Call,
            frame: None,
            timer_at: 0,
            timer_entry: 0,
        }
    }

    #[cold]
    fn take_all(&mut self, handle: Handle) -> Closed {
        // Short copies only, and of few calls: the slot's lock is held.
        let cut = self.frame().filter(|_| !self.reply.is_whole());
        let request = cut.map(|frame| Box::new(RequestIds::of(frame, handle)));
        Closed {
            request,
            reply: std::mem::replace(&mut self.reply, Reply::Open),
            words: self.words.take(),
            input: self.input.take(),
        }
    }

    /// The request of the call.
    pub fn frame(&self) -> Option<&Frame> {
        // SAFETY: who opened the handle promised that the frame outlives it, and whoever has this state holds the lock that `close` takes.
        self.frame.map(|frame| unsafe { frame.get() })
    }
}

/// Gives a handle to a call or instance that is about to run; `None` when a million are alive. A call's `frame` must not be touched, moved or
/// recycled before `close` has returned, as [`FrameRef::new`] wants it.
pub(crate) fn open(kind: Kind, body: Body, mark: Mark, frame: Option<FrameRef>) -> Option<Handle> {
    let index = free_index()?;
    let slot = slot(index)?;
    let mut state = lock(&slot.state);
    // The rest is empty: `close` has left it so.
    state.live = true;
    state.begin_poll();
    (state.kind, state.mark, state.frame) = (kind, mark, frame);
    if let Body::Stream(body) = body {
        state.input = Some(Box::new(Input::new(body)));
    }
    drop(state);
    Some(slot.generation.load(Ordering::Acquire) << INDEX_BITS | u64::from(index))
}

/// What is left of a handle that was ended.
pub(crate) struct Closed {
    /// What the module has answered.
    pub reply: Reply,
    /// What it said with `fail`.
    pub words: Option<String>,
    /// What log lines call its request by, if that has no whole answer.
    pub request: Option<Box<RequestIds>>,
    /// What is left of its input, with trailers that the module may look at until its state has been dropped.
    pub input: Option<Box<Input>>,
}

/// Ends a handle and returns what came of it; `None` if it was stale.
pub(crate) fn close(handle: Handle) -> Option<Closed> {
    close_with(handle, |state| state.take_all(handle))
}

/// As [`close`], of a call that may have been answered as most are: then only the answer is taken out, which is large.
// Where this is part of its caller, it is moved once.
#[allow(clippy::result_large_err, reason = "both are as large, and neither is an error")]
#[inline(always)]
pub(crate) fn close_answered(handle: Handle) -> Option<Result<Answer, Closed>> {
    close_with(handle, |state| {
        let is_usual = state.words.is_none() && state.input.is_none();
        match &mut state.reply {
            reply @ Reply::Answered(Answer { body: AnswerBody::Whole(_), .. }) if is_usual => {
                match std::mem::replace(reply, Reply::Open) {
                    Reply::Answered(answer) => Ok(answer),
                    reply => Err(Closed { reply, words: None, request: None, input: None }),
                }
            }
            _ => Err(state.take_all(handle)),
        }
    })
}

#[inline(always)]
fn close_with<R>(handle: Handle, take: impl FnOnce(&mut State) -> R) -> Option<R> {
    let (index, generation) = parts(handle);
    let slot = slot(index)?;
    let mut state = lock(&slot.state);
    if slot.generation.load(Ordering::Relaxed) != generation || !state.live {
        return None;
    }
    state.live = false;
    let taken = take(&mut state);
    // Dropped after the lock.
    let _waker = state.turn.leave();
    if state.timer_entry != 0 {
        timer::forget(handle, &mut state);
    }
    slot.generation.store(generation + 1, Ordering::Release);
    drop(state);
    if generation + 1 < MAX_GENERATION {
        give_back(index);
    }
    Some(taken)
}

/// As [`with`], for a handle that must name a call.
#[inline(always)]
pub(crate) fn with_call<R>(handle: Handle, change: impl FnOnce(&mut State) -> R) -> Option<R> {
    with(handle, |state| (state.kind == Kind::Call).then(|| change(state))).flatten()
}

/// Runs `change` on the state of a live handle. `change` must not run foreign code.
#[inline(always)]
pub(crate) fn with<R>(handle: Handle, change: impl FnOnce(&mut State) -> R) -> Option<R> {
    let (index, generation) = parts(handle);
    let slot = slot(index)?;
    // Stale handles of a busy slot do not even contend for its lock.
    if slot.generation.load(Ordering::Acquire) != generation {
        return None;
    }
    let mut state = lock(&slot.state);
    if slot.generation.load(Ordering::Relaxed) != generation {
        return None;
    }
    state.live.then(|| change(&mut state))
}

fn parts(handle: Handle) -> (u32, u64) {
    // Generations begin at 1, so that handle 0 names nothing.
    ((handle & ((1 << INDEX_BITS) - 1)) as u32, handle >> INDEX_BITS)
}

fn slot(index: u32) -> Option<&'static Slot> {
    let index = index as usize;
    SLOTS.get(index / CHUNK)?.get()?.get(index % CHUNK)
}

fn free_index() -> Option<u32> {
    let here = FREE_HERE.with_borrow_mut(|local| {
        if local.0.is_empty() {
            let mut free = lock(&FREE);
            let keep = free.len().saturating_sub(LOCAL / 2);
            local.0.extend(free.drain(keep..));
        }
        local.0.pop()
    });
    here.or_else(fresh_index)
}

fn fresh_index() -> Option<u32> {
    let index = NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| {
        (next < 1 << INDEX_BITS).then_some(next + 1)
    });
    let index = index.ok()?;
    SLOTS.get(index as usize / CHUNK)?.get_or_init(|| {
        (0..CHUNK)
            .map(|_| Slot { generation: AtomicU64::new(1), state: Mutex::new(State::empty()) })
            .collect()
    });
    Some(index)
}

fn give_back(index: u32) {
    FREE_HERE.with_borrow_mut(|local| {
        local.0.push(index);
        if local.0.len() > LOCAL {
            let spill = local.0.drain(..LOCAL / 2);
            lock(&FREE).extend(spill);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open_call() -> Option<Handle> {
        open(Kind::Call, Body::Whole(Bytes::new()), Mark::default(), None)
    }

    #[test]
    fn a_closed_handle_reaches_nobody() {
        let first = open_call().unwrap();
        assert!(with(first, |_| ()).is_some());
        assert!(close(first).is_some());
        assert!(close(first).is_none(), "a second close must find nothing");
        let second = open_call().unwrap();
        assert_ne!(first, second);
        assert!(with(first, |_| ()).is_none(), "the old handle must not reach the slot's new tenant");
        assert!(with(0, |_| ()).is_none() && with(u64::MAX, |_| ()).is_none());
        close(second);
    }

    #[test]
    fn threads_share_slots_without_sharing_handles() {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                std::thread::spawn(|| {
                    let handles: Vec<_> =
                        (0..if cfg!(miri) { 10 } else { 500 }).map(|_| open_call().unwrap()).collect();
                    for &handle in &handles {
                        assert!(with(handle, |state| state.turn.wake()).is_some_and(|waker| waker.is_none()));
                    }
                    handles.iter().for_each(|&handle| {
                        assert!(
                            with(handle, |state| state.turn.take_woken()) == Some(true)
                                && close(handle).is_some()
                        )
                    });
                    handles
                })
            })
            .collect();
        let mut all: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count, "no handle may be given out twice");
    }
}
