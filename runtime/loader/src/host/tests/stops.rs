//! What is said of an instance whose `stop` fails.

use std::sync::Arc;
use std::time::Instant;

use hotbay_abi::{Config, Request};
use hotbay_api::EntryKey;
use serde_json::{Value, json};

use super::services::{Lines, memory};
use super::*;
use crate::Image;
use crate::image::Table;
use crate::instance::Raw;
use crate::queue::Queue;
use crate::worker::Worker;

/// An instance whose `stop` is this.
fn instance(stop: unsafe extern "C" fn(*mut c_void, Handle) -> Rc, row: u64) -> Raw {
    unsafe extern "C" fn create(_: *const Config, _: Handle, _: *mut *mut c_void) -> Rc {
        abi::READY
    }
    unsafe extern "C" fn poll(_: *mut c_void, _: Handle) -> Rc {
        abi::ERR
    }
    unsafe extern "C" fn destroy(_: *mut c_void) {}
    unsafe extern "C" fn start(_: *mut c_void, _: Handle, _: *const Request, _: *mut *mut c_void) -> Rc {
        abi::ERR
    }
    unsafe extern "C" fn drop(_: *mut c_void, _: i32) {}
    let table = Table { n_handlers: 1, create, poll_instance: poll, stop, destroy, start, poll, drop };
    let mark = Mark { row, ..Mark::default() };
    let handle = handle::open(Kind::Instance, Body::Whole(Bytes::new()), mark, None).unwrap();
    Raw { image: Arc::new(Image::of(table)), pointer: std::ptr::null_mut(), handle, mark }
}

/// The lines that the loader thread logs until there are so many.
fn logged(instances: Vec<Raw>, count: usize) -> Vec<Value> {
    let (lines, queue) = (Lines::default(), Arc::<Queue>::default());
    let writer = lines.clone();
    instances.into_iter().for_each(|raw| queue.retire(raw));
    let (images, limits) = (Arc::default(), crate::hooks::LIMITS);
    let worker = Worker { epoch: 0, queue, images, limits };
    // Its loop has no end; it goes with the process.
    std::thread::spawn(move || {
        tracing::subscriber::with_default(hotbay_logs::json_lines(move || writer.clone()), || worker.run());
    });
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        if text.matches('\n').count() >= count {
            return text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        }
        assert!(Instant::now() < until, "{text}");
        std::thread::yield_now();
    }
}

#[test]
fn a_stop_that_fails_is_logged_with_module_and_code() {
    unsafe extern "C" fn refuses(_: *mut c_void, me: Handle) -> Rc {
        // SAFETY: the text lives for the call.
        unsafe { (table().fail)(me, Str::new(b"the file is still open")) };
        abi::ERR
    }
    unsafe extern "C" fn says_nothing(_: *mut c_void, _: Handle) -> Rc {
        42
    }
    unsafe extern "C" fn ends(_: *mut c_void, _: Handle) -> Rc {
        abi::READY
    }
    let memory = memory();
    memory.name_module(5, &EntryKey::new("shop", "stops").unwrap());
    let instances = [ends, refuses, says_nothing]
        .map(|stop: unsafe extern "C" fn(*mut c_void, Handle) -> Rc| instance(stop, 5));
    let lines = logged(instances.into(), 2);
    let told: Vec<_> =
        lines.iter().map(|line| json!([line["level"], line["module"], line["message"]])).collect();
    let stop_failed = "stop failed with";
    let left = "so something of an instance may be left behind";
    assert_eq!(
        told,
        [
            json!([
                "WARN",
                "shop/stops",
                format!("{stop_failed} rc -1 (HB_ERR), {left}: the file is still open")
            ]),
            json!([
                "WARN",
                "shop/stops",
                format!(
                    "{stop_failed} rc 42 (unknown), {left}: it answered rc 42 (unknown) and gave no words"
                )
            ]),
        ]
    );
}
