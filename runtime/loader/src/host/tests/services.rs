//! Log lines, timers, facts about a request and metrics, as a module has them.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use hotbay_abi::Header;
use hotbay_api::EntryKey;
use hotbay_protocol::{ENGINE_MEMORY_WORDS, EngineMemory, Figures, MAX_MODULE_SERIES, SeriesValue};
use hotbay_sys::memory::{SharedWords, create};
use serde_json::{Value, json};

use super::*;
use crate::Captures;
use crate::frame::{Frame, FrameRef, InUse};
use crate::marks;

const DEADLINE: Duration = Duration::from_secs(60);
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A call with a request, as `call::start` has it.
struct Calling {
    call: Handle,
    frame: Option<InUse>,
}

impl Calling {
    fn new(headers: &[(&str, &str)]) -> Self {
        let mut request = http::Request::get("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let peer: SocketAddr = "[::1]:5000".parse().unwrap();
        let frame = Frame::begin(parts, 0, Captures::default(), Some(Bytes::new()), Some(peer));
        // SAFETY: the frame stays in here until the handle is closed.
        let known = unsafe { FrameRef::new(&frame) };
        let mark = Mark { row: 1, ..Mark::default() };
        let call = handle::open(Kind::Call, Body::Whole(Bytes::new()), mark, Some(known)).unwrap();
        Self { call, frame: Some(frame) }
    }

    /// What `info` says: its code, and the text if there is one.
    fn info(&self, what: u32) -> (Rc, Option<String>) {
        let mut out = Str::ABSENT;
        // SAFETY: `out` is ours; the view lives as long as the frame.
        unsafe {
            let rc = (table().info)(self.call, what, &raw mut out);
            (rc, out.get().map(|text| String::from_utf8(text.to_vec()).unwrap()))
        }
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        handle::close(self.call);
        self.frame.take().unwrap().recycle();
    }
}

fn view(text: &str) -> Str {
    Str::new(text.as_bytes())
}

/// The memory of this test program's engine, with two modules.
pub(super) fn memory() -> EngineMemory {
    static MEMORY: Mutex<Option<EngineMemory>> = Mutex::new(None);
    let mut memory = MEMORY.lock().unwrap();
    let memory = memory.get_or_insert_with(|| {
        let fd = create("test", ENGINE_MEMORY_WORDS).unwrap();
        let memory = EngineMemory::new(SharedWords::map(&fd).unwrap()).unwrap();
        memory.name_module(1, &EntryKey::new("shop", "a").unwrap());
        memory.name_module(2, &EntryKey::new("shop", "b").unwrap());
        marks::attach_thread(&memory);
        memory
    });
    memory.clone()
}

#[derive(Clone, Default)]
pub(super) struct Lines(pub Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a module's line looks like; one line, whatever it says.
fn logged(any: Handle, message: &str, fields: &str) -> Value {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = hotbay_logs::json_lines(move || writer.clone());
    tracing::subscriber::with_default(subscriber, || {
        let fields = if fields.is_empty() { Str::ABSENT } else { view(fields) };
        // SAFETY: the texts live for the call.
        unsafe { (table().log)(any, abi::LOG_WARN, view("shop::orders"), view(message), fields) };
    });
    let bytes = lines.0.lock().unwrap();
    assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1, "{}", String::from_utf8_lossy(&bytes));
    serde_json::from_slice(&bytes).unwrap()
}

#[test]
fn a_line_says_whose_it_is_and_of_which_request_and_keeps_its_fields() {
    memory();
    let calling = Calling::new(&[
        ("x-request-id", "abc-1"),
        ("traceparent", &format!("00-{TRACE}-00f067aa0ba902b7-01")),
    ]);
    let mut line = logged(calling.call, "placed\n\u{1b}[2J{}", r#"{"user":7,"deep":{"module":"evil"}}"#);
    assert!(line["timestamp"].take().is_string());
    let expected = json!({
        "timestamp": null, "level": "WARN", "target": "module", "module": "shop/a", "origin": "shop::orders",
        "message": "placed  [2J{}", "request_id": "abc-1", "trace_id": TRACE,
        "fields": {"user": 7, "deep": {"module": "evil"}},
    });
    assert_eq!(line, expected);
    let malformed = "\"}\n{\"level\":\"ERROR\"";
    assert_eq!(logged(calling.call, "x", malformed)["fields"]["malformed"], malformed);
    let plain = Calling::new(&[("x-request-id", "bad id"), ("traceparent", "00-0")]);
    let line = logged(plain.call, "x", "");
    assert_eq!(
        line["request_id"].as_str(),
        plain.info(abi::INFO_REQUEST_ID).1.as_deref(),
        "the one that was made up"
    );
    assert!(line.get("trace_id").is_none() && line.get("fields").is_none());
    let nobody = logged(0, "x", "");
    assert!(nobody.get("request_id").is_none() && nobody["module"] == "", "{nobody}");
}

#[test]
fn a_call_is_told_what_it_asks_for_and_always_the_same() {
    let traceparent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let calling = Calling::new(&[("x-request-id", "abc-1"), ("traceparent", &traceparent)]);
    let ready = |text: &str| (abi::READY, Some(text.to_owned()));
    assert_eq!(calling.info(abi::INFO_PEER), ready("[::1]:5000"));
    assert_eq!(calling.info(abi::INFO_REQUEST_ID), ready("abc-1"));
    assert_eq!(calling.info(abi::INFO_TRACEPARENT), ready(&traceparent));
    assert_eq!(calling.info(99), (abi::UNSUPPORTED, None));
    let plain = Calling::new(&[]);
    let (rc, id) = plain.info(abi::INFO_REQUEST_ID);
    assert_eq!((rc, id.as_ref().map(String::len)), (abi::READY, Some(32)));
    assert_eq!(plain.info(abi::INFO_REQUEST_ID).1, id);
    assert_ne!(Calling::new(&[]).info(abi::INFO_REQUEST_ID).1, id, "another call has another");
    assert_eq!(plain.info(abi::INFO_TRACEPARENT), (abi::READY, None), "absent");
    let instance = open(Kind::Instance);
    let mut out = Str::ABSENT;
    // SAFETY: `out` is ours.
    let of_instance = unsafe { (table().info)(instance, abi::INFO_PEER, &raw mut out) };
    // SAFETY: NULL is what a module might give.
    let nowhere = unsafe { (table().info)(plain.call, abi::INFO_PEER, std::ptr::null_mut()) };
    assert_eq!((of_instance, nowhere), (abi::GONE, abi::ERR));
    handle::close(instance);
}

/// Counts wakes, and lets a test wait for them.
#[derive(Default)]
struct Bell {
    rung: Mutex<usize>,
    changed: Condvar,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        *self.rung.lock().unwrap() += 1;
        self.changed.notify_all();
    }
}

impl Bell {
    /// Has the next wake of `handle` ring it.
    fn hang(self: &Arc<Self>, handle: Handle) {
        let waker = Waker::from(Arc::clone(self));
        handle::with(handle, |state| {
            // A poll that answers PENDING.
            state.turn.begin();
            state.turn.end();
            drop(state.turn.wait(|| waker));
        });
    }

    fn heard(&self, count: usize) {
        let rung = self.rung.lock().unwrap();
        let (_rung, timeout) = self.changed.wait_timeout_while(rung, DEADLINE, |rung| *rung < count).unwrap();
        assert!(!timeout.timed_out(), "nobody was woken");
    }
}

fn arm(handle: Handle, at: u64) -> Rc {
    // SAFETY: any numbers may be given.
    unsafe { (table().timer)(handle, at) }
}

fn after(wait: Duration) -> u64 {
    now() + wait.as_nanos() as u64
}

#[test]
fn a_timer_wakes_at_its_moment_and_once() {
    let (call, bell) = (open(Kind::Call), Arc::<Bell>::default());
    bell.hang(call);
    let at = after(Duration::from_millis(20));
    assert_eq!(
        (arm(call, after(DEADLINE * 10)), arm(call, at)),
        (abi::READY, abi::READY),
        "the later one counts"
    );
    assert_eq!(timer::entries(call), 1);
    bell.heard(1);
    assert!(now() >= at);
    assert_eq!((timer::entries(call), handle::with(call, |state| state.timer_at)), (0, Some(0)));
    // A moment that has passed.
    bell.hang(call);
    assert_eq!(arm(call, 1), abi::READY);
    bell.heard(2);
    handle::close(call);
}

#[test]
fn a_timer_that_is_put_off_wakes_at_its_last_moment_only() {
    let (call, bell) = (open(Kind::Call), Arc::<Bell>::default());
    bell.hang(call);
    let at = after(Duration::from_millis(60));
    assert_eq!((arm(call, after(Duration::from_millis(20))), arm(call, at)), (abi::READY, abi::READY));
    bell.heard(1);
    assert!(now() >= at, "it was woken for the moment that no longer counts");
    assert_eq!(*bell.rung.lock().unwrap(), 1);
    handle::close(call);
}

#[test]
fn a_timer_that_is_disarmed_wakes_nobody_and_can_be_armed_again() {
    let (call, bell) = (open(Kind::Call), Arc::<Bell>::default());
    let (other, other_bell) = (open(Kind::Call), Arc::<Bell>::default());
    bell.hang(call);
    other_bell.hang(other);
    assert_eq!((arm(call, after(Duration::from_millis(20))), arm(call, 0)), (abi::READY, abi::READY));
    arm(other, after(Duration::from_millis(40)));
    // Entries are come to in their order.
    other_bell.heard(1);
    assert_eq!((*bell.rung.lock().unwrap(), timer::entries(call)), (0, 0));
    arm(call, after(Duration::from_millis(1)));
    bell.heard(1);
    handle::close(call);
    handle::close(other);
}

#[test]
fn nothing_is_left_of_timers_that_were_replaced_disarmed_or_outlived() {
    let call = open(Kind::Call);
    let began = Instant::now();
    for round in 0..1_000_000_u64 {
        assert_eq!(arm(call, after(DEADLINE * 100) + round), abi::READY);
    }
    eprintln!("a timer is armed in {} ns", began.elapsed().as_nanos() / 1_000_000);
    assert_eq!(timer::entries(call), 1);
    assert_eq!(arm(call, 0), abi::READY);
    assert_eq!(handle::with(call, |state| state.timer_at), Some(0));
    arm(call, after(DEADLINE * 50));
    assert_eq!(timer::entries(call), 1);
    handle::close(call);
    assert_eq!((timer::entries(call), arm(call, after(DEADLINE))), (0, abi::GONE));
    let next = open(Kind::Call);
    assert_eq!(handle::with(next, |state| state.timer_at), Some(0), "the slot's next tenant has none");
    handle::close(next);
}

#[test]
fn timers_of_many_threads_all_ring() {
    let rung = Arc::new(AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let rung = Arc::clone(&rung);
            scope.spawn(move || {
                for round in 0..50 {
                    let (call, bell) = (open(Kind::Call), Arc::<Bell>::default());
                    bell.hang(call);
                    arm(call, after(Duration::from_micros(round * 7 + thread)));
                    bell.heard(1);
                    handle::close(call);
                    rung.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(rung.load(Ordering::Relaxed), 200);
}

fn metrics() -> &'static abi::Metrics {
    // SAFETY: a C string; what is answered is a table that is valid for ever.
    unsafe { &*(table().extension)(abi::METRICS_ID.as_ptr()).cast::<abi::Metrics>() }
}

/// Registers; the number, or the code.
fn series(any: Handle, kind: u32, family: &str, labels: &[(&str, &str)], buckets: &[f64]) -> Result<u64, Rc> {
    series_with(any, kind, family, "Help.", labels, buckets)
}

fn series_with(
    any: Handle,
    kind: u32,
    family: &str,
    help: &str,
    labels: &[(&str, &str)],
    buckets: &[f64],
) -> Result<u64, Rc> {
    let labels: Vec<Header> =
        labels.iter().map(|(name, value)| Header { name: view(name), value: view(value) }).collect();
    let (count, bounds) = (labels.len() as u32, buckets.len() as u32);
    let mut out = 0;
    // SAFETY: all of it lives for the call.
    let rc = unsafe {
        (metrics().register_series)(
            any,
            kind,
            view(family),
            view(help),
            labels.as_ptr(),
            count,
            buckets.as_ptr(),
            bounds,
            &raw mut out,
        )
    };
    if rc == abi::READY { Ok(out) } else { Err(rc) }
}

fn instance_of(row: u64) -> Handle {
    let mark = Mark { row, ..Mark::default() };
    handle::open(Kind::Instance, Body::Whole(Bytes::new()), mark, None).unwrap()
}

#[test]
fn series_belong_to_a_module_and_are_found_again() {
    let (memory, a, b) = (memory(), instance_of(1), instance_of(2));
    let orders =
        |any| series(any, abi::METRIC_COUNTER, "orders_total", &[("kind", "book"), ("at", "x")], &[]);
    let number = orders(a).unwrap();
    assert_eq!(
        series(a, abi::METRIC_COUNTER, "orders_total", &[("at", "x"), ("kind", "book")], &[]),
        Ok(number)
    );
    let again = instance_of(1);
    assert_eq!(orders(again), Ok(number), "the next instance counts on");
    let reworded = series_with(
        again,
        abi::METRIC_COUNTER,
        "orders_total",
        "Other help.",
        &[("at", "x"), ("kind", "book")],
        &[],
    );
    assert_eq!(reworded, Ok(number), "so does the next build, also when it words its help otherwise");
    assert_ne!(orders(b), Ok(number));
    // SAFETY: any number may be given.
    unsafe {
        (metrics().add)(number, 2.0);
        (metrics().add)(number, -1.0);
        (metrics().set)(number, 100.0);
        for wild in [0, number + 1_000_000, u64::MAX] {
            (metrics().add)(wild, 1.0);
        }
        (metrics().observe)(series(a, abi::METRIC_HISTOGRAM, "took_seconds", &[], &[1.0]).unwrap(), 0.5);
    }
    let mut figures = Figures::default();
    figures.add_living(&memory);
    let families = figures.families();
    let orders = families.iter().find(|family| family.name == "orders_total").unwrap();
    let told: Vec<_> =
        orders.series.iter().map(|(module, _, value)| (module.to_string(), (*value).clone())).collect();
    let number = |module: &str, value| (module.to_owned(), SeriesValue::Number(value));
    assert_eq!(told, [number("shop/a", 2.0), number("shop/b", 0.0)]);
    let took = families.iter().find(|family| family.name == "took_seconds").unwrap();
    assert_eq!(took.series[0].2, &SeriesValue::Histogram { counts: vec![1, 0], sum: 0.5 });
    for handle in [a, b, again] {
        handle::close(handle);
    }
    assert_eq!(orders_after(a), Err(abi::GONE));
}

fn orders_after(any: Handle) -> Result<u64, Rc> {
    series(any, abi::METRIC_COUNTER, "orders_total", &[], &[])
}

#[test]
fn a_series_that_would_spoil_the_page_is_refused() {
    let (_memory, a, b) = (memory(), instance_of(1), instance_of(2));
    series(a, abi::METRIC_HISTOGRAM, "spoil", &[], &[1.0]).unwrap();
    for (any, kind, family, labels, buckets, expected) in [
        (a, abi::METRIC_COUNTER, "spoil", &[][..], &[][..], abi::ERR),
        (a, abi::METRIC_HISTOGRAM, "spoil", &[("l", "x")], &[2.0], abi::ERR),
        (b, abi::METRIC_GAUGE, "spoil", &[], &[], abi::ERR),
        (b, abi::METRIC_COUNTER, "spoil_count", &[], &[], abi::ERR),
        (a, abi::METRIC_COUNTER, "hotbay_requests_total", &[], &[], abi::ERR),
        (a, abi::METRIC_COUNTER, "fine", &[("module", "x")], &[], abi::ERR),
        (a, abi::METRIC_COUNTER, "not fine", &[], &[], abi::ERR),
        (a, 7, "fine", &[], &[], abi::UNSUPPORTED),
        (a, abi::METRIC_COUNTER, "fine", &[("l", &"x".repeat(300))], &[], abi::LIMIT),
        (a, abi::METRIC_HISTOGRAM, "fine", &[], &[1.0; 2000], abi::LIMIT),
        (0, abi::METRIC_COUNTER, "fine", &[], &[], abi::GONE),
    ] {
        assert_eq!(series(any, kind, family, labels, buckets), Err(expected), "{family}");
    }
    // SAFETY: the counts lie, as a module's might; NULL is not followed.
    let nowhere = unsafe {
        let null = std::ptr::null();
        let mut out = 0;
        (metrics().register_series)(a, 1, view("x"), Str::ABSENT, null, 1, std::ptr::null(), 0, &raw mut out)
    };
    assert_eq!(nowhere, abi::ERR);
    assert!(
        series(b, abi::METRIC_HISTOGRAM, "spoil", &[], &[2.0]).is_ok(),
        "another module has its own bounds"
    );
    handle::close(a);
    handle::close(b);
}

#[test]
fn a_refused_series_is_logged_once_and_then_seldom() {
    let memory = memory();
    memory.name_module(4, &EntryKey::new("shop", "wrong").unwrap());
    let wrong = instance_of(4);
    let lines = Lines::default();
    let writer = lines.clone();
    tracing::subscriber::with_default(hotbay_logs::json_lines(move || writer.clone()), || {
        for _ in 0..250 {
            assert_eq!(series(wrong, abi::METRIC_COUNTER, "not fine", &[], &[]), Err(abi::ERR));
        }
        assert_eq!(series(wrong, abi::METRIC_COUNTER, "hotbay_x", &[], &[]), Err(abi::ERR));
    });
    let lines = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> =
        lines.iter().map(|line| json!([line["module"], line["family"], line["times"]])).collect();
    assert_eq!(
        told,
        [
            json!(["shop/wrong", "not fine", null]),
            json!(["shop/wrong", "not fine", 10]),
            json!(["shop/wrong", "not fine", 100]),
            json!(["shop/wrong", "hotbay_x", null]),
        ]
    );
    handle::close(wrong);
}

#[test]
fn a_module_has_so_many_series_and_no_more() {
    let memory = memory();
    memory.name_module(3, &EntryKey::new("shop", "many").unwrap());
    let many = instance_of(3);
    let of = |n: usize| series(many, abi::METRIC_COUNTER, "many_total", &[("n", &n.to_string())], &[]);
    assert!((0..MAX_MODULE_SERIES).all(|n| of(n).is_ok()));
    assert_eq!(
        (of(MAX_MODULE_SERIES), of(0).is_ok()),
        (Err(abi::LIMIT), true),
        "those that it has are found"
    );
    handle::close(many);
}

#[test]
fn a_name_that_nobody_knows_is_no_extension() {
    // SAFETY: C strings, or NULL.
    unsafe {
        for id in [c"hotbay.metrics/2".as_ptr(), c"".as_ptr(), std::ptr::null()] {
            assert!((table().extension)(id).is_null());
        }
    }
    assert_eq!(metrics().size, size_of_table::<abi::Metrics>());
}
