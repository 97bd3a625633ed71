//! A host that does what a test tells it, and remembers what the module did.
//!
//! One table for the process, as with a real host; every test has handles of its own, so tests do not meet.

use std::collections::{HashMap, VecDeque};
use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex};
use std::time::Duration;

use hotbay_abi::{self as abi, Buf, GONE, Handle, PENDING, READY, Rc, Str};

#[path = "mock/wire.rs"]
#[allow(dead_code, reason = "another test uses the rest")]
mod wire;

pub use wire::Wire;
use wire::{abort, finish, trailers, write};

const DEADLINE: Duration = Duration::from_secs(60);

/// How a response's body came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    Copy,
    Static,
    Owned,
}

/// A response, as the host got it.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub given: Given,
    /// As `RESP_STREAM`.
    #[allow(dead_code, reason = "another test looks at it")]
    pub flags: u32,
    body: Buf,
    copied: Option<Vec<u8>>,
}

// SAFETY: the ABI says that owned bytes may be read and released on any thread.
unsafe impl Send for Answer {}

/// What the host knows about a handle.
#[derive(Default)]
pub struct Known {
    pub answers: Vec<Answer>,
    pub fails: Vec<String>,
    pub wakes: usize,
    /// What `read` says next; when nothing is left, PENDING.
    pub reads: VecDeque<Result<Vec<u8>, Rc>>,
    /// What `respond` says; READY if nothing is said.
    pub respond: Rc,
    pub released: Arc<AtomicUsize>,
    /// What of the answer is streamed.
    pub wire: Wire,
}

static KNOWN: LazyLock<Mutex<HashMap<Handle, Known>>> = LazyLock::new(Mutex::default);
static WOKEN: Condvar = Condvar::new();
static LOG: Mutex<Vec<(Handle, i32, String)>> = Mutex::new(Vec::new());
static LEVEL: AtomicI32 = AtomicI32::new(3);

/// The table.
pub static HOST: LazyLock<abi::Host> = LazyLock::new(|| abi::Host {
    size: abi::size_of_table::<abi::Host>(),
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

/// A new handle that the host knows.
pub fn handle() -> Handle {
    // Beyond 32 bits, so that a waker that cuts handles short is seen.
    static NEXT: AtomicU64 = AtomicU64::new((1 << 40) + 1);
    let handle = NEXT.fetch_add(1, Ordering::Relaxed);
    KNOWN.lock().unwrap().insert(handle, Known::default());
    handle
}

/// Looks at a handle, or changes what the host will say.
pub fn with<T>(handle: Handle, look: impl FnOnce(&mut Known) -> T) -> T {
    look(KNOWN.lock().unwrap().get_mut(&handle).expect("a handle of this test"))
}

/// The call is over for the host.
pub fn forget(handle: Handle) {
    KNOWN.lock().unwrap().remove(&handle);
}

/// Waits until the handle was woken, and takes the wakes.
pub fn woken(handle: Handle) -> usize {
    let known = KNOWN.lock().unwrap();
    let (mut known, timeout) =
        WOKEN.wait_timeout_while(known, DEADLINE, |known| known[&handle].wakes == 0).unwrap();
    assert!(!timeout.timed_out(), "nobody woke the call");
    std::mem::take(&mut known.get_mut(&handle).unwrap().wakes)
}

/// The lines logged for a handle.
pub fn logged(handle: Handle) -> Vec<(i32, String)> {
    let log = LOG.lock().unwrap();
    log.iter().filter(|line| line.0 == handle).map(|line| (line.1, line.2.clone())).collect()
}

/// The levels of all lines with these words, whoever's they are: what is dropped after its call speaks for the latest instance.
pub fn levels_of(words: &str) -> Vec<i32> {
    let log = LOG.lock().unwrap();
    log.iter().filter(|line| line.2.contains(words)).map(|line| line.1).collect()
}

impl Answer {
    /// The body's bytes. Owned ones are released afterwards, as a host does when it has sent them.
    pub fn into_body(self) -> Vec<u8> {
        if let Some(copied) = self.copied {
            return copied;
        }
        let bytes = text(Str { ptr: self.body.ptr, len: self.body.len });
        if let Some(release) = self.body.release {
            // SAFETY: released once: `self` is gone afterwards.
            unsafe { release(self.body.owner) };
        }
        bytes
    }
}

fn text(view: Str) -> Vec<u8> {
    // SAFETY: every view that the mock is given is valid for the call in which it is read here.
    unsafe { view.get() }.unwrap_or_default().to_vec()
}

fn string(view: Str) -> String {
    String::from_utf8(text(view)).unwrap()
}

unsafe extern "C" fn respond(call: Handle, response: *const abi::Response) -> Rc {
    // SAFETY: the module gives a response that is valid for this call.
    let response = unsafe { &*response };
    let headers = (0..response.n_headers as usize).map(|index| {
        // SAFETY: there are `n_headers` of them.
        let header = unsafe { *response.headers.add(index) };
        (string(header.name), string(header.value))
    });
    let copied = response.flags & abi::RESP_COPY != 0;
    let body = response.body;
    let answer = Answer {
        status: response.status,
        headers: headers.collect(),
        flags: response.flags,
        given: match body.release {
            _ if copied => Given::Copy,
            Some(_) => Given::Owned,
            None => Given::Static,
        },
        copied: copied.then(|| text(Str { ptr: body.ptr, len: body.len })),
        body,
    };
    match KNOWN.lock().unwrap().get_mut(&call) {
        Some(known) if known.answers.is_empty() => {
            known.answers.push(answer);
            known.respond
        }
        _ => GONE,
    }
}

unsafe extern "C" fn read(call: Handle, out: *mut Buf) -> Rc {
    let mut known = KNOWN.lock().unwrap();
    let Some(known) = known.get_mut(&call) else { return GONE };
    match known.reads.pop_front() {
        None => PENDING,
        Some(Err(rc)) => rc,
        Some(Ok(bytes)) => {
            let (ptr, len) = (bytes.as_ptr(), bytes.len());
            let owner = Box::into_raw(Box::new((bytes, Arc::clone(&known.released)))).cast();
            // SAFETY: the module gives a place to write to.
            unsafe { out.write(Buf { ptr, len, owner, release: Some(release) }) };
            READY
        }
    }
}

unsafe extern "C" fn release(owner: *mut c_void) {
    // SAFETY: `read` made it from such a box; a module that releases twice is what the counter shows, if it gets that far.
    let (_, released) = *unsafe { Box::from_raw(owner.cast::<(Vec<u8>, Arc<AtomicUsize>)>()) };
    released.fetch_add(1, Ordering::Relaxed);
}

unsafe extern "C" fn timer(_any: Handle, _at_ns: u64) -> Rc {
    GONE
}

unsafe extern "C" fn info(_call: Handle, _what: u32, _out: *mut Str) -> Rc {
    GONE
}

unsafe extern "C" fn wake(any: Handle) {
    if let Some(known) = KNOWN.lock().unwrap().get_mut(&any) {
        known.wakes += 1;
        WOKEN.notify_all();
    }
}

unsafe extern "C" fn fail(any: Handle, reason: Str) {
    if let Some(known) = KNOWN.lock().unwrap().get_mut(&any) {
        known.fails.push(string(reason));
    }
}

unsafe extern "C" fn log(any: Handle, level: i32, _target: Str, message: Str, _fields: Str) {
    let message = string(message);
    eprintln!("log {any} {level} {message}");
    LOG.lock().unwrap().push((any, level, message));
}

unsafe extern "C" fn now_ns() -> u64 {
    0
}

unsafe extern "C" fn extension(_id: *const c_char) -> *const c_void {
    ptr::null()
}
