//! A request's body, as a module reads it.
//!
//! Owns the pieces that a module has and has not released. Must not hold a slot's lock while the body is polled.

use std::ffi::c_void;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hotbay_abi as abi;
use hotbay_abi::{Buf, Handle, Rc};
use http_body::Body as _;
use http_body_util::LengthLimitError;

use super::{guarded, wake_handle};
use crate::handle::{self, Body};

pub(super) unsafe extern "C" fn read(call: Handle, out: *mut Buf) -> Rc {
    // SAFETY: as this function's own contract.
    guarded(|| unsafe { read_checked(call, out) })
}

/// # Safety
/// `out` must be the module's to be written.
unsafe fn read_checked(call: Handle, out: *mut Buf) -> Rc {
    // The body is polled outside the slot's lock: it may wake its waker, which is this handle, from within.
    let mut body = match handle::with_call(call, |state| state.body.take()) {
        None => return abi::GONE,
        Some(None) => return abi::PENDING,
        Some(Some(body)) => body,
    };
    let polled = poll_body(call, &mut body);
    // If the call has ended meanwhile, the body ends here.
    if handle::with(call, |state| state.body.replace(body)).is_none() {
        return abi::GONE;
    }
    match polled {
        Err(rc) => rc,
        Ok(data) => {
            let owner = Box::into_raw(Box::new(data));
            // SAFETY: `owner` was made just now, and `out` is the module's to be written.
            unsafe {
                out.write(Buf {
                    ptr: (*owner).as_ptr(),
                    len: (*owner).len(),
                    owner: owner.cast(),
                    release: Some(release_bytes),
                });
            }
            abi::READY
        }
    }
}

/// The next piece that is not empty, or what `read` answers instead.
fn poll_body(call: Handle, body: &mut Body) -> Result<Bytes, Rc> {
    let Body::Stream(stream) = body else { return Err(abi::EOF) };
    let waker = HandleWaker::waker(call);
    let mut context = Context::from_waker(&waker);
    loop {
        match std::pin::Pin::new(&mut *stream).poll_frame(&mut context) {
            Poll::Pending => return Err(abi::PENDING),
            Poll::Ready(None) => return Err(abi::EOF),
            // Trailers are not offered yet, and an empty piece says nothing.
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) if !data.is_empty() => return Ok(data),
                _ => {}
            },
            Poll::Ready(Some(Err(error))) if error.is::<LengthLimitError>() => return Err(abi::LIMIT),
            Poll::Ready(Some(Err(_))) => return Err(abi::GONE),
        }
    }
}

unsafe extern "C" fn release_bytes(owner: *mut c_void) {
    // SAFETY: `owner` is the box that `read` gave out, released once.
    drop(unsafe { Box::from_raw(owner.cast::<Bytes>()) });
}

/// A waker that is a handle: what the body's producer holds while a module waits for more.
struct HandleWaker(Handle);

impl HandleWaker {
    fn waker(handle: Handle) -> Waker {
        std::sync::Arc::new(Self(handle)).into()
    }
}

impl std::task::Wake for HandleWaker {
    fn wake(self: std::sync::Arc<Self>) {
        wake_handle(self.0);
    }
}
