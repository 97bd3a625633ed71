//! `read` and `trailers`: the request's body as the script has it.
//!
//! Owns the pieces that are given out. Each lies on pages of its own, which are gone once it was released; its count is kept for ever, so that a
//! second release is seen.

use std::ffi::c_void;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use hotbay_abi::{self as abi, Buf, Handle, Header, Rc};

use super::{Call, bytes, with_call};
use crate::arena::{Room, What};
use crate::scenario::Step;
use crate::{Rule, report};

static GIVEN: AtomicUsize = AtomicUsize::new(0);
static RELEASED: AtomicUsize = AtomicUsize::new(0);

/// What a piece's owner points to. Never freed.
struct Piece {
    room: Room,
    releases: AtomicU32,
}

/// How many pieces of how many were not released.
pub(crate) fn pieces_not_released() -> (usize, usize) {
    let given = GIVEN.load(Ordering::SeqCst);
    (given - RELEASED.load(Ordering::SeqCst).min(given), given)
}

pub(super) unsafe extern "C" fn read(call: Handle, out: *mut Buf) -> Rc {
    let mut piece = None;
    let rc = with_call(call, "read", |call| next(call, &mut piece));
    let Some(bytes) = piece else { return rc };
    match lend(&bytes) {
        Ok(buf) => {
            // SAFETY: the module passes a place that may be written to; one that does not crashes here, which is reported.
            unsafe { out.write(buf) };
            rc
        }
        Err(_) => abi::GONE,
    }
}

fn next(call: &mut Call, piece: &mut Option<Vec<u8>>) -> Rc {
    if call.gone {
        return abi::GONE;
    }
    match call.steps.front().copied() {
        None => {
            call.ended = true;
            abi::EOF
        }
        Some(Step::Limit) => abi::LIMIT,
        Some(Step::Gone) => {
            call.gone = true;
            abi::GONE
        }
        // It stays until the promised wake: who polls early learns nothing new.
        Some(Step::Pending) => abi::PENDING,
        Some(Step::Piece(bytes)) => {
            call.steps.pop_front();
            *piece = Some(bytes.to_vec());
            abi::READY
        }
        Some(Step::Body) => {
            call.steps.pop_front();
            *piece = Some(bytes(call.views.body).to_vec());
            abi::READY
        }
    }
}

fn lend(bytes: &[u8]) -> std::io::Result<Buf> {
    let mut room = Room::new(What::Pieces, bytes.len())?;
    let view = room.text(bytes);
    room.freeze()?;
    let owner = Box::into_raw(Box::new(Piece { room, releases: AtomicU32::new(0) }));
    GIVEN.fetch_add(1, Ordering::SeqCst);
    Ok(Buf { ptr: view.ptr, len: view.len, owner: owner.cast(), release: Some(release) })
}

unsafe extern "C" fn release(owner: *mut c_void) {
    // SAFETY: `lend` leaked it, so that it is there however often it is released; a module that makes up owners crashes here.
    let piece = unsafe { &*owner.cast::<Piece>() };
    if piece.releases.fetch_add(1, Ordering::SeqCst) > 0 {
        report::broken(Rule::Release, "a piece was released twice");
        return;
    }
    RELEASED.fetch_add(1, Ordering::SeqCst);
    let _stays_readable = piece.room.seal();
}

pub(super) unsafe extern "C" fn trailers(call: Handle, out: *mut *const Header, n_out: *mut u32) -> Rc {
    with_call(call, "trailers", |call| {
        let (headers, count) = if call.ended { call.views.trailers } else { (std::ptr::null(), 0) };
        // SAFETY: the module passes two places that may be written to.
        unsafe {
            out.write(headers);
            n_out.write(count);
        }
        if call.gone { abi::GONE } else { abi::READY }
    })
}
