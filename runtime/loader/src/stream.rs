//! The body of an answer that is sent while its call goes on.
//!
//! Owns the call from the answer's head to its end: who polls the body polls the module, and who drops it cancels the call. Must not decide what a
//! client sees: it says how the answer ended, and whoever sends it ends or cuts the connection.

use std::fmt;
use std::task::{Context, Poll};

use bytes::Bytes;
use hotbay_abi as abi;
use http_body::Frame;

use crate::answer::{CallFailure, DropReason, FailureKind, by_client, unfinished};
use crate::call::{Call, POLLS_IN_A_ROW};
use crate::handle::{self, Body, Reply, State};
use crate::input::Input;
use crate::outgoing::Outgoing;

/// What is still to be sent of an answer.
pub struct Stream {
    /// Until the module is done with it.
    call: Option<Call>,
    /// What the client has not taken: in here before the head is collected and after the call, in the handle's slot while it goes on.
    left: Option<Box<Outgoing>>,
    /// What is still to come of a promised length.
    length: Option<u64>,
    is_upgrade: bool,
    /// Upgrades: that our side has ended was said.
    is_half_closed: bool,
}

/// What a stream finds in its call's slot.
enum Look {
    Piece(Bytes),
    /// The module is to be polled, and counts as running.
    Poll,
    /// Our side has ended.
    Finished,
    /// Both sides of an upgraded connection have.
    Over,
    /// There will be no clean end.
    Broken,
    /// The module would go on, and others have waited long enough.
    Yields,
    /// The waker is in place.
    Waits,
}

impl Stream {
    /// An answer that begins.
    pub(crate) fn new(outgoing: Outgoing) -> Self {
        let (length, is_upgrade) = (outgoing.length(), outgoing.is_upgrade);
        Self { call: None, left: Some(Box::new(outgoing)), length, is_upgrade, is_half_closed: false }
    }

    /// Where a call's pieces are while its answer was not collected.
    pub(crate) fn left(&mut self) -> Option<&mut Outgoing> {
        self.left.as_deref_mut()
    }

    /// Takes the pieces out, for the slot.
    pub(crate) fn take_left(&mut self) -> Option<Box<Outgoing>> {
        self.left.take()
    }

    /// From now on the pieces are in the slot of `call`.
    pub(crate) fn follow(&mut self, call: Call) {
        self.call = Some(call);
    }

    /// Whether all of it is there and was ended.
    pub(crate) fn is_finished(&self) -> bool {
        self.left.as_ref().is_some_and(|left| left.is_finished())
    }

    /// Whether the pieces are of another protocol, and HTTP ends with the head.
    pub fn is_upgrade(&self) -> bool {
        self.is_upgrade
    }

    /// Bytes that are still to come, if the module has promised how many.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Whether the module is done with it. Of an upgraded connection the client may have more to say until then.
    pub fn is_over(&self) -> bool {
        self.call.is_none()
    }

    /// Whether nothing more will come.
    pub fn is_end(&self) -> bool {
        self.call.is_none() && self.left.as_ref().is_none_or(|left| left.is_empty())
    }

    /// What the module is told if the stream is dropped before its end.
    pub fn set_end(&mut self, end: DropReason) {
        if let Some(call) = &mut self.call {
            call.set_end(end);
        }
    }

    /// What the client says from now on, on a connection that was upgraded.
    pub fn upgraded(&mut self, client: Body) {
        let (Some(call), Body::Stream(client)) = (&self.call, client) else { return };
        let waker = handle::with(call.handle(), |state| {
            state.input.get_or_insert_with(|| Box::new(Input::awaited())).follow(client);
            // A read was refused so far.
            state.turn.wake()
        });
        if let Some(waker) = waker.flatten() {
            waker.wake();
        }
    }

    /// The next piece or the trailers, for which the module is polled when it was woken. `None`: our side has ended; of an upgraded connection that
    /// [is not over](Self::is_over) this is to be polled on, until it is.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CallFailure>>> {
        let mut polls = 0;
        while let Some(call) = &mut self.call {
            match look(call, cx, polls, Wants::Piece { again: self.is_half_closed }) {
                Look::Piece(piece) => return Poll::Ready(Some(Ok(self.sent(piece)))),
                Look::Poll => {
                    polls += 1;
                    let rc = call.poll_module();
                    if rc != abi::PENDING
                        && let Err(failure) = self.end(rc)
                    {
                        return Poll::Ready(Some(Err(failure)));
                    }
                }
                Look::Finished if self.is_upgrade => {
                    self.is_half_closed = true;
                    return Poll::Ready(None);
                }
                Look::Finished | Look::Over => {
                    if let Err(failure) = self.end(abi::READY) {
                        return Poll::Ready(Some(Err(failure)));
                    }
                }
                Look::Broken => return Poll::Ready(self.end(abi::ERR).err().map(Err)),
                Look::Yields => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Look::Waits => return Poll::Pending,
            }
        }
        Poll::Ready(self.next_left().map(Ok))
    }

    /// Has the module polled, if it was woken, while its pieces have to wait; says if it has failed.
    pub fn poll_on(&mut self, cx: &mut Context<'_>) -> Option<CallFailure> {
        let mut polls = 0;
        loop {
            let call = self.call.as_mut()?;
            match look(call, cx, polls, Wants::News) {
                Look::Poll => {
                    polls += 1;
                    let rc = call.poll_module();
                    if rc != abi::PENDING {
                        return self.end(rc).err();
                    }
                }
                Look::Broken => return self.end(abi::ERR).err(),
                Look::Yields => {
                    cx.waker().wake_by_ref();
                    return None;
                }
                Look::Waits | Look::Piece(_) | Look::Finished | Look::Over => return None,
            }
        }
    }

    fn sent(&mut self, piece: Bytes) -> Frame<Bytes> {
        self.length = self.length.map(|length| length.saturating_sub(piece.len() as u64));
        Frame::data(piece)
    }

    /// What is left after the call.
    fn next_left(&mut self) -> Option<Frame<Bytes>> {
        let left = self.left.as_mut()?;
        match left.next() {
            Some(piece) => Some(self.sent(piece)),
            None => left.take_trailers().map(Frame::trailers),
        }
    }

    /// Ends the call, whose module has answered `rc`. What it has written stays, if it was ended properly.
    fn end(&mut self, rc: abi::Rc) -> Result<(), CallFailure> {
        let Some(mut call) = self.call.take() else { return Ok(()) };
        let Some(closed) = call.end_after(rc) else { return Err(FailureKind::NoAnswer.into()) };
        let ended = || closed.input.as_ref()?.ended();
        let kind = match closed.reply {
            // Complete, whatever came after it.
            Reply::Begun(left) if left.is_finished() => {
                self.left = Some(left);
                return Ok(());
            }
            Reply::Begun(left) if left.is_broken() => FailureKind::FalseLength,
            Reply::Aborted => FailureKind::Aborted,
            Reply::Begun(_) | Reply::Answered(_) | Reply::Open => {
                by_client(rc, ended()).unwrap_or_else(|| unfinished(rc, closed.words))
            }
        };
        Err(CallFailure { kind, request: closed.request })
    }
}

/// What is looked for.
#[derive(Clone, Copy)]
enum Wants {
    /// The next piece, or that there is no more; `again`: that our side has ended is known.
    Piece { again: bool },
    /// Only whether the module is to be polled.
    News,
}

/// What is to be done next for a call whose answer has begun and whose module was polled `polls` times for it.
fn look(call: &Call, cx: &Context<'_>, polls: u32, wants: Wants) -> Look {
    let mut replaced = None;
    let looked = handle::with(call.handle(), |state| {
        state.turn.end();
        let overdrawn = state.take_overdrawn();
        // First the module, if anything has come for it, so that its next piece is under way while this one is sent; then the pieces, so that a module
        // which wakes itself cannot hold them up.
        let polls_first = state.turn.is_woken() && polls == 0;
        if let Some(found) = found(state, wants, polls_first) {
            return found;
        }
        match state.turn.wait(|| cx.waker().clone()) {
            Err(_) if overdrawn || polls >= POLLS_IN_A_ROW => Look::Yields,
            Err(_) => {
                state.begin_poll();
                Look::Poll
            }
            Ok(before) => {
                replaced = before;
                Look::Waits
            }
        }
    });
    drop(replaced);
    looked.unwrap_or(Look::Broken)
}

/// What is there without asking the module, which may be about to be asked first.
fn found(state: &mut State, wants: Wants, polls_first: bool) -> Option<Look> {
    let Reply::Begun(outgoing) = &mut state.reply else { return Some(Look::Broken) };
    if outgoing.is_broken() {
        return Some(Look::Broken);
    }
    let Wants::Piece { again } = wants else { return None };
    if polls_first {
        return None;
    }
    if outgoing.is_finished() && !outgoing.is_upgrade {
        return Some(Look::Finished);
    }
    if let Some(piece) = outgoing.next() {
        if outgoing.has_room_again() {
            state.turn.again();
        }
        return Some(Look::Piece(piece));
    }
    let reads_on = || state.input.as_ref().is_some_and(|input| !input.has_ended());
    match outgoing.is_finished() {
        true if !again => Some(Look::Finished),
        true if !reads_on() => Some(Look::Over),
        _ => None,
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("length", &self.length).field("is_upgrade", &self.is_upgrade).finish()
    }
}

#[cfg(test)]
mod tests;
