//! The host's functions, called as a module would, right and wrong.

mod services;
mod stops;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use hotbay_abi::{Buf, Response};
use http::HeaderName;

use super::*;
use crate::handle::{Body, Closed, Kind, Reply};
use crate::queue::Mark;

fn open(kind: Kind) -> Handle {
    handle::open(kind, Body::Whole(Bytes::new()), Mark::default(), None).unwrap()
}

fn response(body: Buf) -> Response {
    let size = size_of_table::<Response>();
    Response { size, flags: 0, status: 200, pad: 0, n_headers: 0, headers: std::ptr::null(), body }
}

fn empty() -> Buf {
    Buf { ptr: std::ptr::null(), len: 0, owner: std::ptr::null_mut(), release: None }
}

fn answer(call: Handle, response: &Response) -> Rc {
    // SAFETY: the response is whole and lives.
    unsafe { (table().respond)(call, response) }
}

#[test]
fn a_second_answer_is_gone_and_its_body_is_released_outside_every_lock() {
    static RELEASED: AtomicU32 = AtomicU32::new(0);
    /// Goes back into the host for the same call, as a module with a lock of its own might by another thread.
    unsafe extern "C" fn release(owner: *mut c_void) {
        wake_handle(owner.addr() as Handle);
        RELEASED.fetch_add(1, Ordering::SeqCst);
    }
    let (done, result) = mpsc::channel();
    std::thread::spawn(move || {
        let call = open(Kind::Call);
        let body = || Buf {
            ptr: b"x".as_ptr(),
            len: 1,
            owner: std::ptr::without_provenance_mut(call as usize),
            release: Some(release),
        };
        let codes = [answer(call, &response(body())), answer(call, &response(body()))];
        drop(handle::close(call));
        done.send(codes).unwrap();
    });
    let codes = result.recv_timeout(Duration::from_secs(60)).expect("respond must not deadlock");
    assert_eq!(codes, [abi::READY, abi::GONE]);
    assert_eq!(RELEASED.load(Ordering::SeqCst), 2, "each body must be released once");
}

#[test]
fn responses_of_older_and_newer_modules_are_read_by_their_size() {
    #[repr(C)]
    struct Longer {
        known: Response,
        news: u64,
    }
    let call = open(Kind::Call);
    let mut short = response(empty());
    short.size = abi::RESPONSE_SIZE_MIN - 1;
    assert_eq!(answer(call, &short), abi::ERR);
    let mut longer = Longer { known: response(empty()), news: 7 };
    longer.known.size = size_of_table::<Longer>();
    assert_eq!((answer(call, &longer.known), longer.news), (abi::READY, 7));
    handle::close(call);
}

#[test]
fn what_a_module_must_not_say_is_refused_and_the_call_stays_open() {
    let call = open(Kind::Call);
    let refused = |change: &dyn Fn(&mut Response), expected| {
        let mut wrong = response(empty());
        change(&mut wrong);
        assert_eq!(answer(call, &wrong), expected);
    };
    let header = |name: &'static str, value: &'static str| abi::Header {
        name: Str::new(name.as_bytes()),
        value: Str::new(value.as_bytes()),
    };
    let split = [header("x-a", "b\r\nx-c: d")];
    refused(&|response| response.status = 101, abi::ERR);
    refused(&|response| response.status = 600, abi::ERR);
    refused(&|response| response.n_headers = 1, abi::ERR);
    refused(&|response| response.n_headers = u32::MAX, abi::LIMIT);
    refused(&|response| response.flags = 1 << 16, abi::UNSUPPORTED);
    refused(&|response| (response.n_headers, response.headers) = (1, split.as_ptr()), abi::ERR);
    let lies = [header("content-length", "5")];
    refused(&|response| (response.n_headers, response.headers) = (1, lies.as_ptr()), abi::ERR);
    let hosts = [header("connection", "close"), header("transfer-encoding", "x"), header("x-a", "b")];
    let mut honest = response(empty());
    (honest.n_headers, honest.headers) = (3, hosts.as_ptr());
    assert_eq!(answer(call, &honest), abi::READY);
    let Some(Closed { reply: Reply::Answered(answer), .. }) = handle::close(call) else {
        panic!("it was answered")
    };
    assert_eq!(answer.headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-a"]);
}

#[test]
fn the_handle_of_an_instance_is_no_call() {
    let instance = open(Kind::Instance);
    let mut out = empty();
    // SAFETY: `out` is ours.
    let read = unsafe { (table().read)(instance, &raw mut out) };
    // SAFETY: any number may be given.
    let aborted = unsafe { (table().abort)(instance) };
    assert_eq!((answer(instance, &response(empty())), read, aborted), (abi::GONE, abi::GONE, abi::GONE));
    handle::close(instance);
}
