//! Logs, metrics and time, through a module's table: as an author writes them, and as a host gets them.

#![allow(unsafe_code, reason = "the host's side of the C boundary")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, outside their functions"
)]

mod host;
mod subject;
mod tables;

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::Ordering;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use hotbay_abi::{self as abi, Handle, PENDING, READY, Rc, Str, size_of_table};
use serde_json::{Value, json};

unsafe extern "C" {
    fn hotbay_module_v1(host: *const abi::Host) -> *const abi::Module;
}

static MODULE: LazyLock<abi::Module> = LazyLock::new(|| {
    // SAFETY: both tables are statics.
    unsafe { *hotbay_module_v1(&*host::HOST) }
});

/// Level, clock and the table in force are the process's, so that tests take their turns.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Instance {
    me: Handle,
    pointer: *mut c_void,
}

impl Instance {
    fn new(name: &str) -> Self {
        let me = host::handle();
        let config = abi::Config {
            size: size_of_table::<abi::Config>(),
            flags: 0,
            name: Str::new(name.as_bytes()),
            config_json: Str::new(b"{}"),
            digest: Str::new(b"sha256:00"),
        };
        let mut pointer = ptr::null_mut();
        // SAFETY: all three are valid for the call.
        assert_eq!(unsafe { MODULE.create.unwrap()(&config, me, &mut pointer) }, READY);
        Self { me, pointer }
    }

    /// Begins a call; its state, if it is pending.
    fn call(&self, handler: u32) -> Call {
        let request = Box::into_raw(Box::new(abi::Request {
            size: size_of_table::<abi::Request>(),
            flags: abi::REQ_BODY_INLINE,
            handler,
            http: 11,
            pad: 0,
            n_headers: 0,
            n_params: 0,
            method: Str::new(b"GET"),
            scheme: Str::ABSENT,
            authority: Str::ABSENT,
            path: Str::new(b"/"),
            query: Str::ABSENT,
            body: Str::new(b""),
            protocol: Str::ABSENT,
            headers: ptr::null(),
            params: ptr::null(),
            content_length: 0,
            deadline_ns: 0,
            request_id: [0, 0],
        }));
        let (handle, mut state) = (host::handle(), ptr::null_mut());
        // SAFETY: the request lives in the call, which drops the state first.
        let rc = unsafe { MODULE.start.unwrap()(self.pointer, handle, request, &mut state) };
        Call { handle, rc, state, request }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // SAFETY: once; every call was dropped before.
        unsafe {
            MODULE.stop.unwrap()(self.pointer, self.me);
            MODULE.destroy.unwrap()(self.pointer);
        }
    }
}

struct Call {
    handle: Handle,
    rc: Rc,
    state: *mut c_void,
    // No box: one that is moved claims to be the only way to what is in it, and the module has another.
    request: *mut abi::Request,
}

impl Call {
    fn poll(&mut self) -> Rc {
        // SAFETY: `start` gave the pointer.
        self.rc = unsafe { MODULE.poll.unwrap()(self.state, self.handle) };
        self.rc
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.state.is_null() {
            // SAFETY: once.
            unsafe { MODULE.drop.unwrap()(self.state, abi::DROP_DONE) };
        }
        // SAFETY: of a box, and the module has dropped the call.
        drop(unsafe { Box::from_raw(self.request) });
    }
}

/// The level, message and fields of each line of a call.
fn said(call: &Call) -> Vec<(i32, String, Value)> {
    host::lines(call.handle).into_iter().map(|line| (line.level, line.message, line.fields)).collect()
}

fn line(level: i32, message: &str, fields: Value) -> (i32, String, Value) {
    (level, message.to_owned(), fields)
}

#[test]
fn what_three_crates_say_reaches_the_host_with_its_fields_and_no_set_up() {
    let _turn = turn();
    let instance = Instance::new("ns/logs");
    let call = instance.call(subject::LOGS);
    assert_eq!(call.rc, READY);
    assert_eq!(
        said(&call),
        [
            line(3, "plain", Value::Null),
            line(2, "with fields", json!({"user": 7, "kind": "a \"book\""})),
            line(3, "by log", json!({"count": 3, "name": "x", "ratio": 0.5, "ok": true})),
            line(
                3,
                "by tracing",
                json!({
                    "user": 8, "id": 1, "late": "set", "inner": true, "what": "Some(1)", "span": "outer:inner",
                })
            ),
            line(1, "after", Value::Null),
        ]
    );
    let targets: Vec<_> = host::lines(call.handle).into_iter().map(|line| line.target).collect();
    assert!(targets[0].ends_with("subject.rs") && targets[2] == "services::subject", "{targets:?}");
}

#[test]
fn the_hosts_level_counts_at_each_line_and_what_is_off_is_not_formatted() {
    let _turn = turn();
    let instance = Instance::new("ns/logs");
    let debug = |call: &Call| said(call).iter().filter(|line| line.0 == abi::LOG_DEBUG).count();
    let before = instance.call(subject::DEBUGS);
    assert_eq!((debug(&before), host::answer(before.handle).as_deref()), (0, Some("0")));
    host::LEVEL.store(abi::LOG_DEBUG, Ordering::Relaxed);
    let more = instance.call(subject::DEBUGS);
    host::LEVEL.store(abi::LOG_INFO, Ordering::Relaxed);
    assert_eq!((debug(&more), host::answer(more.handle).as_deref()), (3, Some("3")));
    assert_eq!(said(&more)[2].2["span"], "only_at_debug", "a span that is on, too");
    let after = instance.call(subject::DEBUGS);
    assert_eq!(debug(&after), 0);
}

#[test]
fn a_span_that_is_entered_again_and_again_by_a_future_is_around_each_of_its_lines() {
    let _turn = turn();
    let instance = Instance::new("ns/logs");
    let (mut one, mut other) = (instance.call(subject::SPANS), instance.call(subject::SPANS));
    assert_eq!((one.rc, other.rc), (PENDING, PENDING));
    host::pass(1_000_000);
    assert_eq!((one.poll(), other.poll()), (READY, READY));
    for call in [&one, &other] {
        let spans: Vec<_> = said(call).into_iter().map(|line| line.2).collect();
        assert_eq!(spans, [json!({"span": "request"}), json!({"span": "request"})]);
    }
}

#[test]
fn a_metric_is_registered_when_it_first_counts_for_each_module_that_counts() {
    let _turn = turn();
    let (a, b) = (Instance::new("ns/a"), Instance::new("ns/b"));
    for instance in [&a, &a, &b] {
        assert_eq!(instance.call(subject::COUNTS).rc, READY);
    }
    let orders = host::series("orders_total");
    let values: Vec<_> =
        orders.iter().map(|series| (series.kind, series.labels.len(), series.value)).collect();
    assert_eq!(values, [(abi::METRIC_COUNTER, 0, 2.0), (abi::METRIC_COUNTER, 0, 1.0)], "one a module");
    assert_ne!(orders[0].owner, orders[1].owner);
    let labelled = &host::series("labelled_total")[0];
    assert_eq!((&labelled.labels[0].0[..], &labelled.labels[0].1[..]), ("kind", "book"));
    assert_eq!(host::series("depth")[0].value, 5.0 - 2.0, "set counts anew");
    let took = &host::series("took_seconds")[0];
    assert_eq!((&took.buckets[..], took.value), (&[0.1, 1.0][..], 0.25 * 2.0));
    assert_eq!(host::series("refused"), []);
    // A new instance of the same module finds its numbers, and nothing is registered twice.
    let swapped = Instance::new("ns/a");
    assert_eq!(swapped.call(subject::COUNTS).rc, READY);
    assert_eq!(
        host::series("orders_total").iter().map(|series| series.value).collect::<Vec<_>>(),
        [3.0, 1.0]
    );
}

#[test]
fn the_sleeps_of_a_call_share_its_timer_and_the_earliest_has_it() {
    let _turn = turn();
    let instance = Instance::new("ns/time");
    let mut call = instance.call(subject::SLEEPS);
    let began = host::timers(call.handle)[0] - 50_000_000;
    assert_eq!((call.rc, host::timers(call.handle)), (PENDING, vec![began + 50_000_000, began + 20_000_000]));
    assert_eq!(call.poll(), PENDING, "a poll too many");
    assert_eq!(host::timers(call.handle).len(), 2, "and the timer is as it was");
    pass_to(began + 20_000_000);
    assert_eq!((call.poll(), host::answer(call.handle)), (PENDING, None));
    assert_eq!(host::timers(call.handle)[2], began + 50_000_000, "the next one");
    pass_to(began + 50_000_000);
    assert_eq!((call.poll(), host::answer(call.handle).as_deref()), (READY, Some("20 50")));
}

fn pass_to(moment: u64) {
    host::pass(moment.saturating_sub(host::now()));
}

#[test]
fn a_limit_ends_what_takes_longer_and_a_sleep_that_is_given_up_leaves_nothing() {
    let _turn = turn();
    let instance = Instance::new("ns/time");
    let mut call = instance.call(subject::TIMES_OUT);
    let first = host::timers(call.handle)[0];
    assert_eq!(call.rc, PENDING);
    pass_to(first);
    assert_eq!((call.poll(), host::answer(call.handle).as_deref()), (READY, Some("it took too long")));
    let given_up = instance.call(subject::TIMES_OUT);
    assert_eq!(given_up.rc, PENDING);
    drop(given_up);
    assert_eq!(instance.call(subject::LOGS).rc, READY);
}
