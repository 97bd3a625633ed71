//! `write`, `finish` and `abort`: an answer that comes in pieces.
//!
//! Owns the order in which they may come, and the promised length.

use hotbay_abi::{self as abi, Buf, Handle, Header, Rc};

use super::{Call, Kept, State, answer, bytes_of, with_call};
use crate::{Rule, report};

pub(super) unsafe extern "C" fn write(call: Handle, input: *const Buf, flags: u32) -> Rc {
    if input.is_null() {
        report::broken(Rule::Stream, "write was called with NULL");
        return abi::ERR;
    }
    // SAFETY: the module passes a buffer that is valid for this call.
    let piece = unsafe { *input };
    with_call(call, "write", |call| write_piece(call, piece, flags))
}

fn write_piece(call: &mut Call, piece: Buf, flags: u32) -> Rc {
    if flags >> 16 != 0 {
        report::broken(Rule::Stream, &format!("write was called with flags {flags:#x}"));
        return abi::UNSUPPORTED;
    }
    let number = call.writes;
    let leaves = call.script.leaves_at_write.is_some_and(|at| number >= at);
    let State::Streaming { left } = call.state else { return out_of_order(call, "write") };
    call.writes += 1;
    call.gone |= leaves;
    if call.gone {
        return abi::GONE;
    }
    if call.script.slow && number.is_multiple_of(2) {
        return abi::PENDING;
    }
    let length = piece.len as u64;
    if left.is_some_and(|left| left < length) {
        report::broken(Rule::Answer, "the stream goes beyond its content-length");
        call.state = State::Aborted;
        return abi::ERR;
    }
    call.state = State::Streaming { left: left.map(|left| left - length) };
    call.said.1.extend_from_slice(bytes_of(&piece));
    if flags & abi::WRITE_COPY == 0 {
        call.kept.push(Kept::new(piece));
    }
    abi::READY
}

pub(super) unsafe extern "C" fn finish(call: Handle, trailers: *const Header, n_trailers: u32) -> Rc {
    with_call(call, "finish", |call| {
        let State::Streaming { left } = call.state else {
            let rc = out_of_order(call, "finish");
            // Where nobody wants the body, its end is as good as taken.
            return if rc == abi::EOF { abi::READY } else { rc };
        };
        if call.gone {
            return abi::GONE;
        }
        if let Err((rc, words)) = answer::headers(trailers, n_trailers) {
            report::broken(Rule::Answer, &format!("trailers: {words}"));
            return rc;
        }
        if let Some(left @ 1..) = left {
            report::broken(
                Rule::Answer,
                &format!("the stream ends {left} bytes short of its content-length"),
            );
            call.state = State::Aborted;
            return abi::ERR;
        }
        call.state = State::Complete;
        abi::READY
    })
}

/// A call that is not streaming. That is the module's fault, unless the host ended the stream.
fn out_of_order(call: &Call, name: &str) -> Rc {
    match call.state {
        _ if call.gone => {}
        State::Complete if call.script.head => return abi::EOF,
        State::Open => {
            report::broken(Rule::Stream, &format!("{name} was called before respond"));
            return abi::ERR;
        }
        _ => report::broken(Rule::Stream, &format!("{name} was called when the answer had ended")),
    }
    abi::GONE
}

pub(super) unsafe extern "C" fn abort(call: Handle) -> Rc {
    with_call(call, "abort", |call| {
        if call.gone || call.state == State::Complete {
            return abi::GONE;
        }
        call.state = State::Aborted;
        abi::READY
    })
}
