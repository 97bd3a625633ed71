//! What a module reads: the pieces of a request's body, and its trailers.
//!
//! Owns what a module has read and has not released. Must not hold a slot's lock while the body is polled.

use std::ffi::c_void;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

use bytes::Bytes;
use hotbay_abi as abi;
use hotbay_abi::{Buf, Handle, Header, Rc};
use http::HeaderMap;
use http_body::Body as _;
use http_body_util::LengthLimitError;

use super::{guarded, wake_handle};
use crate::handle;
use crate::input::Coming;

pub(super) unsafe extern "C" fn read(call: Handle, out: *mut Buf) -> Rc {
    // SAFETY: as this function's own contract.
    guarded(|| unsafe { read_checked(call, out) })
}

/// # Safety
/// `out` must be the module's to be written.
unsafe fn read_checked(call: Handle, out: *mut Buf) -> Rc {
    // The body is polled outside the slot's lock: it may wake its waker, which is this handle, from within.
    let taken = handle::with_call(call, |state| {
        if !state.may_go_on() {
            return Err(abi::PENDING);
        }
        // What was whole has been given with the request.
        state.input.as_mut().map_or(Err(abi::EOF), |input| input.take())
    });
    let mut taken = match taken {
        None => return abi::GONE,
        Some(Err(rc)) => return rc,
        Some(Ok(taken)) => taken,
    };
    let polled = poll_body(call, &mut taken.body);
    let mut taken = Some(taken);
    let kept = handle::with(call, |state| {
        let (Some(input), Some(body)) = (&mut state.input, taken.take()) else { return false };
        match &polled {
            Next::Ends(rc, trailers) => {
                let kept = input.end(&body, *rc, trailers.clone());
                taken = Some(body);
                kept
            }
            Next::Piece(_) | Next::Nothing => {
                taken = input.put_back(body).err();
                taken.is_none()
            }
        }
    });
    // What has ended, or is not wanted any more, ends here.
    drop(taken);
    match polled {
        _ if kept.is_none() => abi::GONE,
        // Another thread has upgraded the connection meanwhile: nothing that came before is read.
        _ if kept == Some(false) => {
            // What the client says now may have come, and its wake gone by.
            wake_handle(call);
            abi::PENDING
        }
        Next::Nothing => abi::PENDING,
        Next::Ends(rc, _) => rc,
        Next::Piece(data) => {
            // SAFETY: `out` is the module's to be written.
            unsafe { give(data, out) };
            abi::READY
        }
    }
}

/// # Safety
/// `out` must be the module's to be written.
unsafe fn give(data: Bytes, out: *mut Buf) {
    let owner = Box::into_raw(Box::new(data));
    // SAFETY: `owner` was made just now, and the caller promises the rest.
    unsafe {
        out.write(Buf {
            ptr: (*owner).as_ptr(),
            len: (*owner).len(),
            owner: owner.cast(),
            release: Some(release_bytes),
        });
    }
}

unsafe extern "C" fn release_bytes(owner: *mut c_void) {
    // SAFETY: `owner` is the box that `read` gave out, released once.
    drop(unsafe { Box::from_raw(owner.cast::<Bytes>()) });
}

/// What a poll of a body comes to.
enum Next {
    Piece(Bytes),
    Nothing,
    /// For the reason that is said from now on.
    Ends(Rc, Option<HeaderMap>),
}

/// The next piece that is not empty.
fn poll_body(call: Handle, body: &mut Coming) -> Next {
    let waker = waker(call);
    let mut context = Context::from_waker(&waker);
    loop {
        let frame = match std::pin::Pin::new(&mut *body).poll_frame(&mut context) {
            Poll::Pending => return Next::Nothing,
            Poll::Ready(None) => return Next::Ends(abi::EOF, None),
            Poll::Ready(Some(Err(error))) if error.is::<LengthLimitError>() => {
                return Next::Ends(abi::LIMIT, None);
            }
            Poll::Ready(Some(Err(_))) => return Next::Ends(abi::GONE, None),
            Poll::Ready(Some(Ok(frame))) => frame,
        };
        match frame.into_data() {
            Ok(data) if !data.is_empty() => return Next::Piece(data),
            // An empty piece says nothing.
            Ok(_) => {}
            Err(frame) => return Next::Ends(abi::EOF, frame.into_trailers().ok()),
        }
    }
}

pub(super) unsafe extern "C" fn trailers(call: Handle, out: *mut *const Header, n_out: *mut u32) -> Rc {
    if out.is_null() || n_out.is_null() {
        return abi::ERR;
    }
    let found = handle::with_call(call, |state| {
        let views = state.input.as_ref().map_or(&[][..], |input| input.trailers());
        (if views.is_empty() { std::ptr::null() } else { views.as_ptr() }, views.len() as u32)
    });
    let Some((views, count)) = found else { return abi::GONE };
    // SAFETY: the module's to be written. The views stay until its state has been dropped, see `handle::Closed`.
    unsafe {
        out.write(views);
        n_out.write(count);
    }
    abi::READY
}

/// A waker that is a handle: what the body's producer holds while a module waits for more. It owns nothing, so none is allocated.
fn waker(call: Handle) -> Waker {
    // SAFETY: the data of this table's wakers is a handle, which may be copied, forgotten and used from any thread at any time.
    unsafe { Waker::from_raw(raw_waker(std::ptr::without_provenance(call as usize))) }
}

fn raw_waker(call: *const ()) -> RawWaker {
    static TABLE: RawWakerVTable = RawWakerVTable::new(raw_waker, wake, wake, |_| {});
    fn wake(call: *const ()) {
        wake_handle(call.addr() as Handle);
    }
    RawWaker::new(call, &TABLE)
}
