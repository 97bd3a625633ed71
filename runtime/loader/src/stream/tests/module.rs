//! A module that does as a test says, and the host's functions as it calls them.

use std::ffi::c_void;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hotbay_abi as abi;
use hotbay_abi::{Buf, Handle, Header, Host, Rc, Request, Response, Str, size_of_table};

use super::Stream;
use crate::answer::{Answer, AnswerBody};
use crate::call::{Incoming, Started, start};
use crate::frame::{Captures, Offer};
use crate::handle::Body;
use crate::image::Table;
use crate::instance::Raw;
use crate::queue::{Mark, Queue};
use crate::{Image, Instance};

/// What the module does when it is called for the first time, for the second time, and so on.
pub(super) type Does = Box<dyn Fn(Handle, u32) -> Rc + Send + Sync>;

/// A module, which is its own instance and state.
pub(super) struct Module {
    does: Does,
    /// How often it was called.
    pub calls: AtomicU32,
    whys: Mutex<Vec<i32>>,
}

impl Module {
    pub fn new(does: impl Fn(Handle, u32) -> Rc + Send + Sync + 'static) -> &'static Self {
        Box::leak(Box::new(Self { does: Box::new(does), calls: AtomicU32::new(0), whys: Mutex::default() }))
    }

    fn call(&self, handle: Handle) -> Rc {
        (self.does)(handle, self.calls.fetch_add(1, Ordering::SeqCst))
    }

    fn instance(&'static self) -> Arc<Instance> {
        unsafe extern "C" fn create(_: *const abi::Config, _: Handle, _: *mut *mut c_void) -> Rc {
            abi::READY
        }
        unsafe extern "C" fn settled(_: *mut c_void, _: Handle) -> Rc {
            abi::READY
        }
        unsafe extern "C" fn destroy(_: *mut c_void) {}
        unsafe extern "C" fn start(
            instance: *mut c_void,
            call: Handle,
            _: *const Request,
            out: *mut *mut c_void,
        ) -> Rc {
            // SAFETY: `out` is the host's to be written.
            unsafe { out.write(instance) };
            // SAFETY: the instance is a leaked module.
            unsafe { &*instance.cast::<Module>() }.call(call)
        }
        unsafe extern "C" fn poll(state: *mut c_void, call: Handle) -> Rc {
            // SAFETY: as above.
            unsafe { &*state.cast::<Module>() }.call(call)
        }
        unsafe extern "C" fn drop(state: *mut c_void, why: i32) {
            // SAFETY: as above.
            unsafe { &*state.cast::<Module>() }.whys.lock().unwrap().push(why);
        }
        let table = Table {
            n_handlers: 1,
            create,
            poll_instance: settled,
            stop: settled,
            destroy,
            start,
            poll,
            drop,
        };
        let pointer = std::ptr::from_ref(self).cast_mut().cast();
        let raw = Raw { image: Arc::new(Image::of(table)), pointer, handle: 0, mark: Mark::default() };
        Arc::new(Instance::new(raw, Arc::<Queue>::default()))
    }

    pub fn whys(&self) -> Vec<i32> {
        self.whys.lock().unwrap().clone()
    }
}

pub(super) fn host() -> &'static Host {
    crate::host::table()
}

pub(super) fn lent(text: &'static str) -> Buf {
    Buf { ptr: text.as_ptr(), len: text.len(), owner: std::ptr::null_mut(), release: None }
}

pub(super) fn header(name: &'static str, value: &'static str) -> Header {
    Header { name: Str::new(name.as_bytes()), value: Str::new(value.as_bytes()) }
}

pub(super) fn begin_with(call: Handle, flags: u32, headers: &[Header], first: &'static str) -> Rc {
    let response = Response {
        size: size_of_table::<Response>(),
        flags,
        status: if flags & abi::RESP_UPGRADE != 0 { 101 } else { 200 },
        pad: 0,
        n_headers: headers.len() as u32,
        headers: headers.as_ptr(),
        body: lent(first),
    };
    // SAFETY: all of it lives for the call.
    unsafe { (host().respond)(call, &raw const response) }
}

pub(super) fn begin(call: Handle, first: &'static str) -> Rc {
    begin_with(call, abi::RESP_STREAM, &[], first)
}

pub(super) fn write(call: Handle, piece: Buf) -> Rc {
    // SAFETY: the piece lives for ever, or has an owner.
    unsafe { (host().write)(call, &raw const piece, 0) }
}

pub(super) fn finish(call: Handle, trailers: &[Header]) -> Rc {
    // SAFETY: the trailers live for the call.
    unsafe { (host().finish)(call, trailers.as_ptr(), trailers.len() as u32) }
}

/// What a read gives.
pub(super) fn read(call: Handle) -> Result<Vec<u8>, Rc> {
    let mut out = lent("");
    // SAFETY: `out` is ours.
    match unsafe { (host().read)(call, &raw mut out) } {
        abi::READY => {
            // SAFETY: it is ours now, and released once.
            unsafe {
                let data = std::slice::from_raw_parts(out.ptr, out.len).to_vec();
                out.release.unwrap()(out.owner);
                Ok(data)
            }
        }
        rc => Err(rc),
    }
}

/// Starts a call of `GET /` with that body.
pub(super) fn started(module: &'static Module, body: Body) -> Started {
    let (mut parts, ()) = http::Request::get("/").body(()).unwrap().into_parts();
    parts.extensions.insert(Offer { protocol: "talk".to_owned() });
    let incoming = Incoming { parts, handler: 0, captures: Captures::default(), body, peer: None };
    start(&module.instance(), incoming)
}

pub(super) fn answered(module: &'static Module, body: Body) -> Answer {
    match started(module, body) {
        Started::Done(result) => result.unwrap(),
        Started::Pending(_) => panic!("it answers at once"),
    }
}

pub(super) fn no_body() -> Body {
    Body::Whole(Bytes::new())
}

/// The stream that a call begins at once.
pub(super) fn stream(module: &'static Module) -> Stream {
    let AnswerBody::Stream(stream) = answered(module, no_body()).body else { panic!("it is a stream") };
    *stream
}
