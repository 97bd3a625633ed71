//! Which functions of a module are called in an instance's life, and in which order, whatever it answers.

use std::ffi::c_void;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::Duration;

use hotbay_abi::{Config, PANIC, PENDING, READY, Rc, Request};
use hotbay_api::EntryKey;

use super::*;
use crate::hooks::{LIMITS, Overdue};
use crate::image::Table;
use crate::queue::Mark;
use crate::thread::{Hang, give_up};

const DEADLINE: Duration = Duration::from_secs(60);

/// What a module answers, and what it was asked. It is its own instance.
struct Life {
    create: Rc,
    stop: Rc,
    /// What a poll answers that comes after one of them.
    poll: Rc,
    asked: Mutex<Vec<&'static str>>,
    /// Where it does not return before it is told to.
    held: Mutex<Option<Hold>>,
    /// It was destroyed, by the thread of this name.
    over: SyncSender<String>,
}

struct Hold {
    at: &'static str,
    entered: SyncSender<()>,
    released: Receiver<()>,
}

impl Life {
    fn asked(&self, what: &'static str, rc: Rc) -> Rc {
        self.asked.lock().unwrap().push(what);
        let held = self.held.lock().unwrap().take_if(|hold| hold.at == what);
        if let Some(Hold { entered, released, .. }) = held {
            entered.send(()).unwrap();
            released.recv_timeout(DEADLINE).unwrap();
        }
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
        instance.over.send(std::thread::current().name().unwrap().to_owned()).unwrap();
    }
    unsafe extern "C" fn start(_: *mut c_void, _: Handle, _: *const Request, _: *mut *mut c_void) -> Rc {
        READY
    }
    unsafe extern "C" fn drop(_: *mut c_void, _: i32) {}
    Table { n_handlers: 1, create, poll_instance, stop, destroy, start, poll: poll_instance, drop }
}

/// A loader and a module that answers so.
struct Case {
    limits: Limits,
    queue: Arc<Queue>,
    life: &'static Life,
    over: Receiver<String>,
}

const MARK: Mark = Mark { row: 7, fingerprint: 8 };

impl Case {
    fn new(create: Rc, poll: Rc, stop: Rc) -> Self {
        let (over, is_over) = mpsc::sync_channel(1);
        let life = Life { create, stop, poll, asked: Mutex::default(), held: Mutex::default(), over };
        let life = Box::leak(Box::new(life));
        Self { limits: LIMITS, queue: Arc::default(), life, over: is_over }
    }

    /// Has a loader thread go on. Its loop has no end; it goes with the process.
    fn spawn(&self, epoch: u64) {
        let (queue, limits) = (Arc::clone(&self.queue), self.limits);
        let worker = Worker { epoch, queue, images: Arc::default(), limits };
        std::thread::Builder::new().name(format!("loader-{epoch}")).spawn(move || worker.run()).unwrap();
    }

    fn create(&self) -> Receiver<Result<Instance, CreateError>> {
        let json = std::ptr::from_ref(self.life).expose_provenance().to_string();
        let config = InstanceConfig { key: EntryKey::new("a", "b").unwrap(), json, mark: MARK };
        let (reply, made) = mpsc::sync_channel(1);
        let reply: Reply<_> = Box::new(move |result| reply.send(result).unwrap());
        self.queue.push(Command::Create { image: Arc::new(Image::of(table())), config, reply });
        made
    }

    /// Waits until it was destroyed. Returns by whom, and what it was asked.
    fn over(&self) -> (String, String) {
        let by = self.over.recv_timeout(DEADLINE).unwrap();
        (by, self.asked())
    }

    fn asked(&self) -> String {
        self.life.asked.lock().unwrap().join(" ")
    }

    /// Gives up what is called `at` while it is under way, and only then has it return. Returns what was said of it.
    fn outlast(&self, at: &'static str, begin: impl FnOnce()) -> Hang {
        let (entered, is_entered) = mpsc::sync_channel(1);
        let (release, released) = mpsc::sync_channel(1);
        *self.life.held.lock().unwrap() = Some(Hold { at, entered, released });
        begin();
        is_entered.recv_timeout(DEADLINE).unwrap();
        let (epoch, running) = self.queue.take_over(|_| Duration::ZERO).unwrap();
        let hang = give_up(&self.queue, running);
        self.spawn(epoch);
        release.send(()).unwrap();
        hang
    }
}

/// What a module is asked that answers so.
fn asked(create: Rc, poll: Rc, stop: Rc) -> String {
    let case = Case::new(create, poll, stop);
    case.spawn(0);
    let made = case.create().recv_timeout(DEADLINE).unwrap();
    let failed_at_once = made.is_err() && create != PENDING;
    // Retires it.
    drop(made);
    if failed_at_once { case.asked() } else { case.over().1 }
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

#[test]
fn a_start_that_stays_pending_is_given_up_and_destroyed() {
    let mut case = Case::new(PENDING, PENDING, READY);
    case.limits.start = Duration::ZERO;
    case.spawn(0);
    let made = case.create().recv_timeout(DEADLINE).unwrap();
    assert_eq!(made.unwrap_err(), CreateError::Timeout(Duration::ZERO));
    assert_eq!(case.over().1, "create destroy");
}

#[test]
fn a_stop_that_stays_pending_ends_in_destroy() {
    let mut case = Case::new(READY, READY, PENDING);
    case.limits.stop = Duration::ZERO;
    case.spawn(0);
    drop(case.create().recv_timeout(DEADLINE).unwrap());
    assert_eq!(case.over().1, "create stop destroy");
}

fn hang(hook: Hook) -> Hang {
    Hang::Module { mark: MARK, overdue: Overdue { hook, limit: LIMITS.call } }
}

/// By whom an instance is destroyed whose create, or the poll after it, was given up before it returned, and what it was asked.
fn start_outlasted(at: &'static str, create: Rc, poll: Rc) -> (String, String) {
    let (case, hook) =
        (Case::new(create, poll, READY), if at == "poll" { Hook::PollInstance } else { Hook::Create });
    case.spawn(0);
    let (say, said) = mpsc::sync_channel(1);
    let hung = case.outlast(at, || say.send(case.create()).unwrap());
    assert_eq!(hung, hang(hook));
    let made = said.recv().unwrap().recv_timeout(DEADLINE).unwrap();
    assert_eq!(made.unwrap_err(), CreateError::Overdue(Overdue { hook, limit: LIMITS.call }));
    case.over()
}

#[test]
fn a_start_that_returns_after_it_was_given_up_is_ended_by_the_thread_that_took_over() {
    let by_the_next = |asked: &str| ("loader-1".to_owned(), asked.to_owned());
    assert_eq!(start_outlasted("create", READY, READY), by_the_next("create stop destroy"));
    assert_eq!(start_outlasted("create", PENDING, READY), by_the_next("create destroy"));
    assert_eq!(start_outlasted("poll", PENDING, READY), by_the_next("create poll stop destroy"));
    assert_eq!(start_outlasted("poll", PENDING, PENDING), by_the_next("create poll destroy"));
    assert_eq!(start_outlasted("poll", PENDING, PANIC), by_the_next("create poll destroy"));
}

/// The same of one whose stop, or the poll after it, was given up.
fn stop_outlasted(at: &'static str, stop: Rc, poll: Rc) -> (String, String) {
    let case = Case::new(READY, poll, stop);
    case.spawn(0);
    let made = case.create().recv_timeout(DEADLINE).unwrap();
    let hung = case.outlast(at, || drop(made));
    assert_eq!(hung, hang(if at == "poll" { Hook::PollInstance } else { Hook::Stop }));
    assert_eq!(case.queue.leaving(), 0, "nobody waits for what was given up");
    case.over()
}

#[test]
fn a_stop_that_returns_after_it_was_given_up_ends_in_destroy_by_the_thread_that_took_over() {
    let by_the_next = |asked: &str| ("loader-1".to_owned(), asked.to_owned());
    assert_eq!(stop_outlasted("stop", READY, READY), by_the_next("create stop destroy"));
    assert_eq!(stop_outlasted("stop", PENDING, READY), by_the_next("create stop destroy"));
    assert_eq!(stop_outlasted("stop", PANIC, READY), by_the_next("create stop destroy"));
    assert_eq!(stop_outlasted("poll", PENDING, READY), by_the_next("create stop poll destroy"));
    assert_eq!(stop_outlasted("poll", PENDING, PENDING), by_the_next("create stop poll destroy"));
}

#[test]
fn a_destroy_that_is_given_up_is_named_and_others_go_on() {
    let case = Case::new(READY, READY, READY);
    case.spawn(0);
    let made = case.create().recv_timeout(DEADLINE).unwrap();
    assert_eq!(case.outlast("destroy", || drop(made)), hang(Hook::Destroy));
    assert_eq!(case.queue.leaving(), 0);
    assert_eq!(case.over(), ("loader-0".to_owned(), "create stop destroy".to_owned()));
    // The next thread has nothing of it left to do, and serves.
    drop(case.create().recv_timeout(DEADLINE).unwrap());
    assert_eq!(case.over().0, "loader-1");
}
