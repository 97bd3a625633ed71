//! A host with services: it remembers lines, timers and figures.
//!
//! One table for the process, as with a real host; every test has handles of its own.

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_void};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};

use hotbay_abi::{self as abi, Buf, GONE, Handle, Header, PENDING, READY, Rc, Str, size_of_table};
use serde_json::Value;

/// A line as the module gave it.
#[derive(Clone, Debug)]
pub struct Line {
    pub handle: Handle,
    pub level: i32,
    pub target: String,
    pub message: String,
    /// NULL if there were none.
    pub fields: Value,
}

/// A series as the module registered it.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    pub owner: Handle,
    pub kind: u32,
    pub family: String,
    pub labels: Vec<(String, String)>,
    pub buckets: Vec<f64>,
    pub value: f64,
}

static LINES: Mutex<Vec<Line>> = Mutex::new(Vec::new());
static ANSWERS: LazyLock<Mutex<HashMap<Handle, String>>> = LazyLock::new(Mutex::default);
static TIMERS: LazyLock<Mutex<HashMap<Handle, Vec<u64>>>> = LazyLock::new(Mutex::default);
static SERIES: Mutex<Vec<Series>> = Mutex::new(Vec::new());
pub static LEVEL: AtomicI32 = AtomicI32::new(abi::LOG_INFO);
static NOW: AtomicU64 = AtomicU64::new(1_000_000_000);

pub static HOST: LazyLock<abi::Host> = LazyLock::new(|| abi::Host {
    size: size_of_table::<abi::Host>(),
    abi_minor: u32::from(abi::ABI_MINOR),
    respond,
    read,
    write,
    finish,
    abort,
    wake,
    timer,
    trailers,
    info,
    fail,
    log,
    log_level: LEVEL.as_ptr(),
    now_ns,
    extension,
});

static METRICS: abi::Metrics =
    abi::Metrics { size: size_of_table::<abi::Metrics>(), pad: 0, register_series, add, set, observe };

/// A handle that nobody has had.
pub fn handle() -> Handle {
    static NEXT: AtomicU64 = AtomicU64::new(1 << 40);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The lines of a handle.
pub fn lines(handle: Handle) -> Vec<Line> {
    LINES.lock().unwrap().iter().filter(|line| line.handle == handle).cloned().collect()
}

/// What a call was answered with.
pub fn answer(handle: Handle) -> Option<String> {
    ANSWERS.lock().unwrap().get(&handle).cloned()
}

/// Every moment that a handle's timer was set to.
pub fn timers(handle: Handle) -> Vec<u64> {
    TIMERS.lock().unwrap().get(&handle).cloned().unwrap_or_default()
}

/// The series of a family.
pub fn series(family: &str) -> Vec<Series> {
    SERIES.lock().unwrap().iter().filter(|series| series.family == family).cloned().collect()
}

pub fn now() -> u64 {
    NOW.load(Ordering::Relaxed)
}

/// Lets time pass.
pub fn pass(ns: u64) {
    NOW.fetch_add(ns, Ordering::Relaxed);
}

fn text(view: Str) -> String {
    // SAFETY: every view is valid for the call in which it is read here.
    String::from_utf8(unsafe { view.get() }.unwrap_or_default().to_vec()).unwrap()
}

unsafe extern "C" fn respond(call: Handle, response: *const abi::Response) -> Rc {
    // SAFETY: the module gives a response that is valid for this call, and its answers here are short texts, which it lends.
    let body = unsafe { (*response).body };
    let body = text(Str { ptr: body.ptr, len: body.len });
    ANSWERS.lock().unwrap().insert(call, body);
    READY
}

unsafe extern "C" fn log(any: Handle, level: i32, target: Str, message: Str, fields: Str) {
    let fields =
        if fields.ptr.is_null() { Value::Null } else { serde_json::from_str(&text(fields)).unwrap() };
    let line = Line { handle: any, level, target: text(target), message: text(message), fields };
    LINES.lock().unwrap().push(line);
}

unsafe extern "C" fn timer(any: Handle, at_ns: u64) -> Rc {
    TIMERS.lock().unwrap().entry(any).or_default().push(at_ns);
    READY
}

unsafe extern "C" fn now_ns() -> u64 {
    now()
}

unsafe extern "C" fn extension(id: *const c_char) -> *const c_void {
    // SAFETY: the module gives a C string.
    match unsafe { CStr::from_ptr(id) } == abi::METRICS_ID {
        true => (&raw const METRICS).cast(),
        false => ptr::null(),
    }
}

unsafe extern "C" fn register_series(
    any: Handle,
    kind: u32,
    family: Str,
    _help: Str,
    labels: *const Header,
    n_labels: u32,
    buckets: *const f64,
    n_buckets: u32,
    out: *mut u64,
) -> Rc {
    // SAFETY: there are so many of them.
    let labels = (0..n_labels as usize).map(|index| unsafe { *labels.add(index) });
    let labels = labels.map(|label| (text(label.name), text(label.value))).collect();
    // SAFETY: as above.
    let buckets = (0..n_buckets as usize).map(|index| unsafe { *buckets.add(index) }).collect();
    let family = text(family);
    if family == "refused" {
        return abi::LIMIT;
    }
    let mut all = SERIES.lock().unwrap();
    all.push(Series { owner: any, kind, family, labels, buckets, value: 0.0 });
    // SAFETY: the module gives a place to write to.
    unsafe { out.write(all.len() as u64) };
    READY
}

fn change(series: u64, change: impl FnOnce(&mut f64)) {
    change(&mut SERIES.lock().unwrap()[series as usize - 1].value);
}

unsafe extern "C" fn add(series: u64, value: f64) {
    change(series, |known| *known += value);
}

unsafe extern "C" fn set(series: u64, value: f64) {
    change(series, |known| *known = value);
}

unsafe extern "C" fn observe(series: u64, value: f64) {
    change(series, |known| *known += value);
}

unsafe extern "C" fn read(_call: Handle, _out: *mut Buf) -> Rc {
    PENDING
}

unsafe extern "C" fn write(_call: Handle, _input: *const Buf, _flags: u32) -> Rc {
    GONE
}

unsafe extern "C" fn finish(_call: Handle, _trailers: *const Header, _n: u32) -> Rc {
    GONE
}

unsafe extern "C" fn abort(_call: Handle) -> Rc {
    GONE
}

unsafe extern "C" fn wake(_any: Handle) {}

unsafe extern "C" fn trailers(_call: Handle, _out: *mut *const Header, _n: *mut u32) -> Rc {
    GONE
}

unsafe extern "C" fn info(_call: Handle, _what: u32, _out: *mut Str) -> Rc {
    GONE
}

unsafe extern "C" fn fail(_any: Handle, reason: Str) {
    eprintln!("fail: {}", text(reason));
}
