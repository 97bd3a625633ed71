//! Which functions of a module are called in an instance's life, and in which order, whatever it answers.

use std::ffi::c_void;
use std::sync::mpsc;

use hotbay_abi::{Config, PANIC, PENDING, READY, Rc, Request};
use hotbay_api::EntryKey;

use super::*;
use crate::image::Table;
use crate::queue::Mark;

const DEADLINE: Duration = Duration::from_secs(60);

/// What a module answers, and what it was asked. It is its own instance.
struct Life {
    create: Rc,
    stop: Rc,
    /// What a poll answers that comes after one of them.
    poll: Rc,
    asked: Mutex<Vec<&'static str>>,
    /// It was destroyed.
    over: mpsc::SyncSender<()>,
}

impl Life {
    fn asked(&self, what: &'static str, rc: Rc) -> Rc {
        self.asked.lock().unwrap().push(what);
        rc
    }
}

/// # Safety
/// The pointer must come from a leaked life.
unsafe fn life<'l>(instance: *mut c_void) -> &'l Life {
    // SAFETY: the caller's promise.
    unsafe { &*instance.cast::<Life>() }
}

fn woken(me: Handle, rc: Rc) -> Rc {
    if rc == PENDING {
        // SAFETY: any number may be given.
        unsafe { (crate::host::table().wake)(me) };
    }
    rc
}

fn table() -> Table {
    /// The config is the life's address.
    unsafe extern "C" fn create(config: *const Config, me: Handle, out: *mut *mut c_void) -> Rc {
        // SAFETY: the host's views live for the call, and `out` may be written.
        let instance = unsafe {
            let json = str::from_utf8((*config).config_json.get().unwrap()).unwrap();
            out.write(std::ptr::with_exposed_provenance_mut(json.parse().unwrap()));
            life(*out)
        };
        woken(me, instance.asked("create", instance.create))
    }
    unsafe extern "C" fn poll_instance(instance: *mut c_void, _: Handle) -> Rc {
        // SAFETY: `create` gave it.
        let instance = unsafe { life(instance) };
        instance.asked("poll", instance.poll)
    }
    unsafe extern "C" fn stop(instance: *mut c_void, me: Handle) -> Rc {
        // SAFETY: as above.
        let instance = unsafe { life(instance) };
        woken(me, instance.asked("stop", instance.stop))
    }
    unsafe extern "C" fn destroy(instance: *mut c_void) {
        // SAFETY: as above.
        let instance = unsafe { life(instance) };
        instance.asked("destroy", READY);
        instance.over.send(()).unwrap();
    }
    unsafe extern "C" fn start(_: *mut c_void, _: Handle, _: *const Request, _: *mut *mut c_void) -> Rc {
        READY
    }
    unsafe extern "C" fn drop(_: *mut c_void, _: i32) {}
    Table { n_handlers: 1, create, poll_instance, stop, destroy, start, poll: poll_instance, drop }
}

/// What a module is asked that answers so.
fn asked(create: Rc, poll: Rc, stop: Rc) -> String {
    let (over, is_over) = mpsc::sync_channel(1);
    let instance: &'static Life =
        Box::leak(Box::new(Life { create, stop, poll, asked: Mutex::default(), over }));
    let queue = Arc::<Queue>::default();
    let worker = Worker { epoch: 0, queue: Arc::clone(&queue), images: Arc::default() };
    // Its loop has no end; it goes with the process.
    std::thread::spawn(move || worker.run());
    let json = std::ptr::from_ref(instance).expose_provenance().to_string();
    let config = InstanceConfig { key: EntryKey::new("a", "b").unwrap(), json, mark: Mark::default() };
    let (reply, made) = mpsc::sync_channel(1);
    let reply: Reply<_> = Box::new(move |result| reply.send(result).unwrap());
    queue.push(Command::Create { image: Arc::new(Image::of(table())), config, reply });
    let made: Result<Instance, CreateError> = made.recv_timeout(DEADLINE).unwrap();
    let failed_at_once = made.is_err() && create != PENDING;
    // Retires it.
    drop(made);
    if !failed_at_once {
        is_over.recv_timeout(DEADLINE).unwrap();
    }
    instance.asked.lock().unwrap().join(" ")
}

#[test]
fn an_instance_that_was_made_is_stopped_and_destroyed_whatever_stop_answers() {
    assert_eq!(asked(READY, READY, READY), "create stop destroy");
    assert_eq!(asked(READY, READY, PANIC), "create stop destroy");
    assert_eq!(asked(READY, READY, 77), "create stop destroy");
    assert_eq!(asked(READY, READY, PENDING), "create stop poll destroy");
    assert_eq!(asked(READY, PANIC, PENDING), "create stop poll destroy");
    assert_eq!(asked(PENDING, READY, READY), "create poll stop destroy");
}

#[test]
fn what_create_refused_at_once_is_left_alone_and_what_failed_later_is_only_destroyed() {
    for rc in [PANIC, abi::ERR, abi::DENIED, 77] {
        assert_eq!(asked(rc, READY, READY), "create", "{rc}");
        assert_eq!(asked(PENDING, rc, READY), "create poll destroy", "{rc}");
    }
}
