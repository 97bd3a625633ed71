//! The rest of an answer that was begun as a stream, as it comes from the module.
//!
//! Owns what is taken of it and when. Must not send it: it waits in its handle's slot.

use hotbay_abi as abi;
use hotbay_abi::{Buf, Handle, Header, Rc};
use http::{HeaderMap, HeaderName, header};

use super::headers::{append, views};
use super::{buf, guarded, wake_taken};
use crate::handle::{self, Reply, State};
use crate::outgoing::Room;

pub(super) unsafe extern "C" fn write(call: Handle, input: *const Buf, flags: u32) -> Rc {
    // SAFETY: the module passes a buffer that is readable for this call, or NULL.
    guarded(|| unsafe { write_checked(call, input, flags) })
}

/// # Safety
/// As for `write` in the header.
unsafe fn write_checked(call: Handle, input: *const Buf, flags: u32) -> Rc {
    // SAFETY: the caller's promise; the struct is frozen.
    let Some(input) = (unsafe { input.as_ref() }) else { return abi::ERR };
    if flags >> 16 != 0 {
        return abi::UNSUPPORTED;
    }
    if input.ptr.is_null() && input.len > 0 {
        return abi::ERR;
    }
    // What is empty is taken like the rest, and released outside the lock.
    let mut empty = None;
    let written = handle::with_call(call, |state| {
        if !state.may_go_on() {
            return (abi::PENDING, None);
        }
        let mark = state.mark;
        let Some(outgoing) = state.outgoing() else { return (without_stream(state), None) };
        match outgoing.room(input.len) {
            Room::Full => (abi::PENDING, None),
            Room::Over => (abi::GONE, None),
            Room::TooMuch => (abi::ERR, state.turn.news()),
            Room::Yes => {
                // SAFETY: the buffer is as the header says for these flags; the module gives it away with this answer.
                let piece = unsafe { buf::take(*input, flags & abi::WRITE_COPY != 0, || mark) };
                if piece.is_empty() {
                    empty = Some(piece);
                    return (abi::READY, None);
                }
                outgoing.push(piece);
                (abi::READY, state.turn.news())
            }
        }
    });
    drop(empty);
    answer(written)
}

/// What is said to a module that writes or finishes where there is no stream.
fn without_stream(state: &State) -> Rc {
    match &state.reply {
        Reply::Open => abi::ERR,
        _ if state.has_no_body() => abi::EOF,
        _ => abi::GONE,
    }
}

pub(super) unsafe extern "C" fn finish(call: Handle, trailers: *const Header, n_trailers: u32) -> Rc {
    // SAFETY: the module passes as many trailers as it says, readable for this call.
    guarded(|| unsafe { finish_checked(call, trailers, n_trailers) })
}

/// # Safety
/// As for `finish` in the header.
unsafe fn finish_checked(call: Handle, trailers: *const Header, n_trailers: u32) -> Rc {
    // SAFETY: the caller's promise.
    let trailers = match unsafe { read_trailers(trailers, n_trailers) } {
        Ok(trailers) => trailers,
        Err(rc) => return rc,
    };
    let finished = handle::with_call(call, |state| {
        let Some(outgoing) = state.outgoing() else {
            return (if state.has_no_body() { abi::READY } else { without_stream(state) }, None);
        };
        if outgoing.is_upgrade && trailers.is_some() {
            return (abi::ERR, None);
        }
        if outgoing.is_finished() || outgoing.is_broken() {
            return (abi::GONE, None);
        }
        let rc = if outgoing.finish(trailers) { abi::READY } else { abi::ERR };
        (rc, state.turn.news())
    });
    answer(finished)
}

/// # Safety
/// As for `finish` in the header.
unsafe fn read_trailers(trailers: *const Header, count: u32) -> Result<Option<HeaderMap>, Rc> {
    let mut read = HeaderMap::new();
    // SAFETY: the caller's promise.
    unsafe { append(&mut read, views(trailers, count)?, |name, _| Ok(is_no_trailer(name)))? };
    read.remove(header::CONTENT_TYPE);
    Ok(Some(read).filter(|read| !read.is_empty()))
}

/// Fields that must be known before the body, or that say how the message is framed (RFC 9110, 6.5.1).
fn is_no_trailer(name: &HeaderName) -> bool {
    const NOT: [HeaderName; 17] = [
        header::AUTHORIZATION,
        header::CACHE_CONTROL,
        header::CONNECTION,
        header::CONTENT_ENCODING,
        header::CONTENT_LENGTH,
        header::CONTENT_RANGE,
        header::EXPIRES,
        header::HOST,
        header::LOCATION,
        header::MAX_FORWARDS,
        header::RETRY_AFTER,
        header::SET_COOKIE,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::VARY,
    ];
    NOT.contains(name) || name == "keep-alive" || name == "proxy-connection"
}

pub(super) unsafe extern "C" fn abort(call: Handle) -> Rc {
    let aborted = handle::with_call(call, |state| {
        let open = match &state.reply {
            Reply::Open => true,
            // What is complete stands.
            _ => state.outgoing().is_some_and(|outgoing| !outgoing.is_finished()),
        };
        if !open {
            return (abi::GONE, None, None);
        }
        // What was written is released outside the lock.
        let written = std::mem::replace(&mut state.reply, Reply::Aborted);
        (abi::READY, state.turn.news(), Some(written))
    });
    guarded(|| answer(aborted.map(|(rc, waker, _written)| (rc, waker))))
}

/// Wakes whoever waits, outside every lock.
fn answer(done: Option<(Rc, Option<std::task::Waker>)>) -> Rc {
    let Some((rc, waker)) = done else { return abi::GONE };
    wake_taken(waker);
    rc
}
