//! The mock host's table, and what it remembers of each handle.
//!
//! Owns [`TABLE`], the handles, and the waiting for wakes. Every function checks as a host must, answers as the call's script says, and reports what
//! breaks a rule. Must not call into the module but to release what it gave, and never with the lock held.

mod answer;
mod body;
mod extra;
mod stream;

use std::collections::{HashMap, VecDeque};
use std::ffi::c_void;
use std::sync::atomic::AtomicI32;
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hotbay_abi::{self as abi, Buf, Handle, Host, Rc, Str};

use crate::request::Views;
use crate::scenario::{Script, Step};
use crate::{Rule, report};

pub(crate) use answer::Kept;
pub(crate) use body::pieces_not_released;

/// The host's table, and room behind it that a module of today knows nothing of.
#[repr(C)]
pub(crate) struct Table {
    host: Host,
    news: [usize; 8],
}

// SAFETY: plain data and functions that may be called from any thread.
unsafe impl Sync for Table {}
// SAFETY: as above.
unsafe impl Send for Table {}

static LEVEL: AtomicI32 = AtomicI32::new(abi::LOG_TRACE);
static TABLE: LazyLock<[Table; 2]> = LazyLock::new(|| [table(false), table(true)]);
static WORLD: LazyLock<Mutex<World>> = LazyLock::new(Mutex::default);
static CHANGED: Condvar = Condvar::new();

/// Handles begin beyond 32 bits, so that a module that cuts them short is seen.
const FIRST: Handle = (1 << 40) + 1;

#[derive(Default)]
struct World {
    handles: HashMap<Handle, Entry>,
}

/// What is known of a handle.
struct Entry {
    dead: bool,
    woken: bool,
    /// A script's PENDING promised a wake.
    owed: bool,
    /// Of `now_ns`; 0: none.
    timer: u64,
    words: String,
    /// `None`: an instance.
    call: Option<Call>,
}

/// What is known of a call.
struct Call {
    script: Script,
    steps: VecDeque<Step>,
    /// `read` has answered EOF.
    ended: bool,
    /// The client has left.
    gone: bool,
    writes: u32,
    state: State,
    kept: Vec<Kept>,
    views: Views,
    said: Said,
}

/// An answer's status, and its body as far as it came.
pub(crate) type Said = (u16, Vec<u8>);

impl Call {
    /// The promised wake comes: what it was promised for is there.
    fn may_go_on(&mut self) {
        self.steps.pop_front_if(|step| *step == Step::Pending);
    }
}

/// How far the answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// `left` of the content-length that was promised.
    Streaming {
        left: Option<u64>,
    },
    Complete,
    Aborted,
}

/// How a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stands {
    /// It goes on.
    Open,
    /// Its answer is complete, or it was cut by the module.
    Complete,
    /// The client has left, and the module was told.
    Gone,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// It is to be polled.
    Woken,
    /// It needs no poll any more.
    Over,
    /// Nobody woke it in time.
    InVain,
    /// The time is over that there was for all of it, whatever it waits for.
    Late,
}

/// The table; with `newer`, one that is longer than today's.
pub(crate) fn host(newer: bool) -> *const Host {
    &raw const TABLE[usize::from(newer)].host
}

fn table(newer: bool) -> Table {
    let size = if newer { size_of::<Table>() as u32 } else { abi::size_of_table::<Host>() };
    let host = Host {
        size,
        abi_minor: u32::from(abi::ABI_MINOR) + u32::from(newer),
        respond: answer::respond,
        read: body::read,
        write: stream::write,
        finish: stream::finish,
        abort: stream::abort,
        wake,
        timer,
        trailers: body::trailers,
        info: extra::info,
        fail,
        log: extra::log,
        log_level: LEVEL.as_ptr(),
        now_ns: extra::now_ns,
        extension: extra::extension,
    };
    Table { host, news: [usize::MAX; 8] }
}

fn world() -> MutexGuard<'static, World> {
    WORLD.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    fn open(&mut self, call: Option<Call>) -> Handle {
        let handle = FIRST + self.handles.len() as Handle;
        let words = String::new();
        self.handles.insert(handle, Entry { dead: false, woken: false, owed: false, timer: 0, words, call });
        handle
    }
}

/// A handle for an instance.
pub(crate) fn open_instance() -> Handle {
    world().open(None)
}

/// A handle for a call.
pub(crate) fn open_call(script: Script, views: Views) -> Handle {
    let steps = script.body.unwrap_or_default().iter().copied().collect();
    let (ended, gone, kept, said) = (false, script.gone, Vec::new(), Said::default());
    world().open(Some(Call { script, steps, ended, gone, writes: 0, state: State::Open, kept, views, said }))
}

/// What the call was answered with.
pub(crate) fn take_said(handle: Handle) -> Said {
    let mut world = world();
    let call = world.handles.get_mut(&handle).and_then(|entry| entry.call.as_mut());
    call.map(|call| std::mem::take(&mut call.said)).unwrap_or_default()
}

/// The handle is dead from now on.
pub(crate) fn kill(handle: Handle) {
    if let Some(entry) = world().handles.get_mut(&handle) {
        entry.dead = true;
    }
}

/// What the module lent for this call's answer, to be released by whoever gets it here.
pub(crate) fn take_kept(handle: Handle) -> Vec<Kept> {
    let mut world = world();
    let call = world.handles.get_mut(&handle).and_then(|entry| entry.call.as_mut());
    call.map(|call| std::mem::take(&mut call.kept)).unwrap_or_default()
}

/// What the module last said with `fail`.
pub(crate) fn words(handle: Handle) -> String {
    let words = world().handles.get(&handle).map(|entry| entry.words.clone()).unwrap_or_default();
    if words.is_empty() { "no words were given".to_owned() } else { words }
}

/// How a call stands.
pub(crate) fn stands(handle: Handle) -> Stands {
    world().handles.get(&handle).map_or(Stands::Gone, Entry::stands)
}

impl Entry {
    fn stands(&self) -> Stands {
        match &self.call {
            None => Stands::Open,
            Some(call) if call.gone => Stands::Gone,
            Some(call) if matches!(call.state, State::Complete | State::Aborted) => Stands::Complete,
            Some(_) => Stands::Open,
        }
    }
}

/// Waits until the handle is to be polled, or need not be. A timer may take its time, up to `left`, if there is such a bound; the patience begins after it.
pub(crate) fn wait(handle: Handle, patience: Duration, left: Option<Duration>) -> Waited {
    let began = Instant::now();
    let mut until = began + patience;
    let bound = left.map(|left| began + left);
    let mut world = world();
    loop {
        let Some(entry) = world.handles.get_mut(&handle) else { return Waited::InVain };
        if entry.stands() != Stands::Open {
            return Waited::Over;
        }
        let now = extra::now();
        let rings = entry.timer != 0 && entry.timer <= now;
        if entry.woken || entry.owed || rings {
            if std::mem::take(&mut entry.owed) {
                entry.call.iter_mut().for_each(Call::may_go_on);
            }
            entry.woken = false;
            entry.timer = if rings { 0 } else { entry.timer };
            return Waited::Woken;
        }
        let alarm = (entry.timer != 0).then(|| Instant::now() + Duration::from_nanos(entry.timer - now));
        until = alarm.map_or(until, |alarm| until.max(alarm + patience));
        let (next, now) = (alarm.unwrap_or(until), Instant::now());
        if bound.is_some_and(|bound| bound < next && bound <= now) {
            return Waited::Late;
        }
        if next <= now && alarm.is_none() {
            return Waited::InVain;
        }
        let next = bound.map_or(next, |bound| bound.min(next)).saturating_duration_since(now);
        world = CHANGED.wait_timeout(world, next).unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// Looks at a living call on behalf of the host's function `name`; GONE, and a report, if it is none.
fn with_call(handle: Handle, name: &str, look: impl FnOnce(&mut Call) -> Rc) -> Rc {
    let mut world = world();
    let rc = match world.handles.get_mut(&handle) {
        None => {
            report::broken(Rule::Handles, &format!("{name} was called with {handle:#x}, which is no handle"));
            abi::GONE
        }
        Some(Entry { call: None, .. }) => {
            report::broken(Rule::Handles, &format!("{name} was called with the handle of an instance"));
            abi::GONE
        }
        Some(Entry { dead: true, .. }) => {
            report::remark(Rule::AfterDrop, &format!("{name} was called when the call was over"));
            abi::GONE
        }
        Some(Entry { call: Some(call), owed, .. }) => {
            let rc = look(call);
            *owed |= rc == abi::PENDING;
            rc
        }
    };
    CHANGED.notify_all();
    rc
}

/// Looks at any handle; 0 and a dead one are nothing to speak of.
fn with_any(handle: Handle, name: &str, look: impl FnOnce(&mut Entry)) -> Rc {
    let mut world = world();
    let rc = match world.handles.get_mut(&handle) {
        None if handle == 0 => abi::GONE,
        None => {
            report::broken(Rule::Handles, &format!("{name} was called with {handle:#x}, which is no handle"));
            abi::GONE
        }
        Some(entry) if entry.dead => abi::GONE,
        Some(entry) => {
            look(entry);
            abi::READY
        }
    };
    CHANGED.notify_all();
    rc
}

/// A wake that nobody asked for.
pub(crate) fn wake_anyhow(handle: Handle) {
    with_any(handle, "wake", |entry| entry.woken = true);
}

unsafe extern "C" fn wake(any: Handle) {
    with_any(any, "wake", |entry| entry.woken = true);
}

unsafe extern "C" fn timer(any: Handle, at_ns: u64) -> Rc {
    with_any(any, "timer", |entry| entry.timer = at_ns)
}

unsafe extern "C" fn fail(any: Handle, reason: Str) {
    let words = text(reason);
    with_any(any, "fail", |entry| entry.words = words);
}

/// The bytes of a view that the module lent for this call of a host function.
fn bytes<'call>(view: Str) -> &'call [u8] {
    // SAFETY: the ABI asks that what is passed in is valid for the call; a module that lies crashes here, which is reported.
    unsafe { view.get() }.unwrap_or_default()
}

fn text(view: Str) -> String {
    String::from_utf8_lossy(bytes(view)).into_owned()
}

/// Bytes of a buffer.
fn bytes_of<'buf>(buf: &Buf) -> &'buf [u8] {
    bytes(Str { ptr: buf.ptr, len: buf.len })
}

const _: () = assert!(size_of::<*mut c_void>() == size_of::<Handle>(), "the ABI is LP64 only");
