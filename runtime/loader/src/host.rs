//! The table of functions that modules call.
//!
//! Owns the checks on everything that comes from a module: handles, names and values of headers, sizes. Must not block, nor call back into a
//! module but to release what it gave.

use std::ffi::c_void;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hotbay_abi as abi;
use hotbay_abi::{Buf, ExtensionId, Handle, Host, Rc, Response, Str, size_of_table};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body::Body as _;
use http_body_util::LengthLimitError;

use crate::call::Answer;
use crate::handle::{self, Body, Reply};
use crate::queue::Mark;
use crate::spare;
use crate::thread::{marked, module_name};

/// Most headers of an answer, and most bytes of their names and values.
const MAX_HEADERS: u32 = 256;
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// Most bytes that are kept of what a module says with `fail`.
const MAX_WORDS: usize = 1024;

static LOG_LEVEL: AtomicI32 = AtomicI32::new(3);
static HOST: OnceLock<Host> = OnceLock::new();

/// Sets the most detailed level that modules may log at: 1 error … 5 trace.
pub fn set_log_level(level: i32) {
    LOG_LEVEL.store(level, Ordering::Relaxed);
}

/// The one table of this process.
pub(crate) fn table() -> &'static Host {
    HOST.get_or_init(|| Host {
        size: size_of_table::<Host>(),
        abi_minor: u32::from(abi::ABI_MINOR),
        respond,
        read,
        abort,
        wake,
        fail,
        log,
        log_level: LOG_LEVEL.as_ptr(),
        now_ns,
        extension,
    })
}

/// Bytes that a module lent with a release function.
struct Owned {
    buf: Buf,
    mark: Mark,
}

// SAFETY: the ABI lets the receiver release a buffer on any thread.
unsafe impl Send for Owned {}

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the module promises `len` bytes until release, which runs on drop.
        unsafe { Str { ptr: self.buf.ptr, len: self.buf.len }.get() }.unwrap_or_default()
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if let Some(release) = self.buf.release {
            // SAFETY: `owner` belongs to `release`, and this is its one call.
            marked(self.mark, 0, || unsafe { release(self.buf.owner) });
        }
    }
}

/// Takes over a body, by the response's flags. Owned bytes are taken (and so released) whatever comes of the response.
///
/// # Safety
/// `body` must be as the header says for a `respond` with these flags.
unsafe fn take_body(call: Handle, body: Buf, flags: u32) -> Bytes {
    // SAFETY: the caller promises `len` bytes, for this call at least.
    let view = || unsafe { Str { ptr: body.ptr, len: body.len }.get() }.unwrap_or_default();
    if flags & abi::RESP_COPY != 0 {
        return Bytes::copy_from_slice(view());
    }
    if body.release.is_some() {
        let mark = handle::with(call, |state| state.mark).unwrap_or_default();
        return Bytes::from_owner(Owned { buf: body, mark });
    }
    // SAFETY: without a release function the bytes live as long as the process, as the header says.
    Bytes::from_static(unsafe { Str { ptr: body.ptr, len: body.len }.get() }.unwrap_or_default())
}

unsafe extern "C" fn respond(call: Handle, response: *const Response) -> Rc {
    // SAFETY: the module passes a response that lives for this call, or NULL.
    guarded(|| unsafe { respond_checked(call, response) })
}

/// # Safety
/// As for `respond` in the header.
unsafe fn respond_checked(call: Handle, response: *const Response) -> Rc {
    // SAFETY: every struct begins with its size; nothing beyond it is read.
    let Some(response) = (unsafe { read_prefix(response) }) else { return abi::ERR };
    let response = &response;
    // SAFETY: the response is valid, and so are its parts.
    let body = unsafe { take_body(call, response.body, response.flags) };
    // The high half of the flags asks for what this host must understand; the low half may be ignored.
    if response.flags >> 16 != 0 {
        return abi::UNSUPPORTED;
    }
    // SAFETY: as above.
    let (status, headers) = match unsafe { head(response) } {
        Ok(head) => head,
        Err(rc) => return rc,
    };
    // An answer that comes second stays here, and is released after the slot's lock is left.
    let mut answer = Some(Answer { status, headers, body });
    let answered = handle::with_call(call, |state| {
        let open = matches!(state.reply, Reply::Open);
        if let Some(answer) = answer.take_if(|_| open) {
            state.reply = Reply::Answered(answer);
        }
        (open, if state.running || !open { None } else { state.waker.take() })
    });
    match answered {
        Some((true, waker)) => {
            wake_taken(waker);
            abi::READY
        }
        _ => abi::GONE,
    }
}

/// The response as this host knows it: a module built for an older or newer host has a shorter or longer one.
///
/// # Safety
/// `response` must be NULL or point to as many bytes as its size says.
unsafe fn read_prefix(response: *const Response) -> Option<Response> {
    if response.is_null() {
        return None;
    }
    // SAFETY: the caller's promise; the size comes first.
    let size = unsafe { (&raw const (*response).size).read() };
    if size < abi::RESPONSE_SIZE_0_1 {
        return None;
    }
    let mut known = std::mem::MaybeUninit::<Response>::zeroed();
    let length = (size as usize).min(size_of::<Response>());
    // SAFETY: `length` bytes are readable by the caller's promise, and fit; zeros are valid for every field that is left out.
    unsafe {
        std::ptr::copy_nonoverlapping(response.cast::<u8>(), known.as_mut_ptr().cast::<u8>(), length);
        Some(known.assume_init())
    }
}

/// Runs a host function so that nothing unwinds into the module.
fn guarded(function: impl FnOnce() -> Rc) -> Rc {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(function)).unwrap_or_else(|payload| {
        // Dropping it may panic once more.
        std::mem::forget(payload);
        abi::ERR
    })
}

/// Status and headers, checked: a module cannot smuggle a second answer or a false length.
///
/// # Safety
/// `response` must hold `n_headers` valid headers.
unsafe fn head(response: &Response) -> Result<(StatusCode, HeaderMap), Rc> {
    let status = StatusCode::from_u16(response.status).ok().filter(|status| status.as_u16() >= 200);
    let status = status.filter(|status| status.as_u16() < 600).ok_or(abi::ERR)?;
    if response.n_headers > MAX_HEADERS {
        return Err(abi::LIMIT);
    }
    let views = if response.n_headers == 0 {
        &[]
    } else if response.headers.is_null() {
        return Err(abi::ERR);
    } else {
        // SAFETY: the caller promises that many headers.
        unsafe { std::slice::from_raw_parts(response.headers, response.n_headers as usize) }
    };
    let mut headers = spare::take(views.len() + 2);
    let mut total = 0;
    for view in views {
        // SAFETY: names and values are borrowed for this call.
        let (name, value) =
            unsafe { (view.name.get().unwrap_or_default(), view.value.get().unwrap_or_default()) };
        total += name.len() + value.len();
        if total > MAX_HEADER_BYTES {
            return Err(abi::LIMIT);
        }
        if let Some(value) = usual_type(name, value) {
            headers.append(header::CONTENT_TYPE, value);
            continue;
        }
        let name = HeaderName::from_bytes(name).map_err(|_| abi::ERR)?;
        let value = HeaderValue::from_bytes(value).map_err(|_| abi::ERR)?;
        if !is_ours(&name) {
            headers.append(name, value);
        }
    }
    Ok((status, headers))
}

static TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
static HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
static JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The header that most answers have alone, with the values that most of them have: known by its bytes, so that it is neither parsed nor copied.
fn usual_type(name: &[u8], value: &[u8]) -> Option<HeaderValue> {
    let usual = [&TEXT, &JSON, &HTML];
    if name != b"content-type" {
        return None;
    }
    usual.into_iter().find(|usual| value == usual.as_bytes()).cloned()
}

/// Headers that describe the connection or the body's length: the host knows these better than any module.
fn is_ours(name: &HeaderName) -> bool {
    const OURS: [HeaderName; 7] = [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::TRAILER,
        header::TE,
        header::UPGRADE,
        header::DATE,
    ];
    OURS.contains(name) || name == "keep-alive" || name == "proxy-connection"
}

unsafe extern "C" fn read(call: Handle, out: *mut Buf) -> Rc {
    // SAFETY: as this function's own contract.
    guarded(|| unsafe { read_checked(call, out) })
}

/// # Safety
/// `out` must be the module's to be written.
unsafe fn read_checked(call: Handle, out: *mut Buf) -> Rc {
    // The body is polled outside the slot's lock: it may wake its waker, which is this handle, from within.
    let mut body = match handle::with_call(call, |state| state.body.take()) {
        None => return abi::GONE,
        Some(None) => return abi::PENDING,
        Some(Some(body)) => body,
    };
    let polled = poll_body(call, &mut body);
    // If the call has ended meanwhile, the body ends here.
    if handle::with(call, |state| state.body.replace(body)).is_none() {
        return abi::GONE;
    }
    match polled {
        Err(rc) => rc,
        Ok(data) => {
            let owner = Box::into_raw(Box::new(data));
            // SAFETY: `owner` was made just now, and `out` is the module's to be written.
            unsafe {
                out.write(Buf {
                    ptr: (*owner).as_ptr(),
                    len: (*owner).len(),
                    owner: owner.cast(),
                    release: Some(release_bytes),
                });
            }
            abi::READY
        }
    }
}

/// The next piece that is not empty, or what `read` answers instead.
fn poll_body(call: Handle, body: &mut Body) -> Result<Bytes, Rc> {
    let Body::Stream(stream) = body else { return Err(abi::EOF) };
    let waker = HandleWaker::waker(call);
    let mut context = Context::from_waker(&waker);
    loop {
        match std::pin::Pin::new(&mut *stream).poll_frame(&mut context) {
            Poll::Pending => return Err(abi::PENDING),
            Poll::Ready(None) => return Err(abi::EOF),
            // Trailers are not offered yet, and an empty piece says nothing.
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) if !data.is_empty() => return Ok(data),
                _ => {}
            },
            Poll::Ready(Some(Err(error))) if error.is::<LengthLimitError>() => return Err(abi::LIMIT),
            Poll::Ready(Some(Err(_))) => return Err(abi::GONE),
        }
    }
}

unsafe extern "C" fn release_bytes(owner: *mut c_void) {
    // SAFETY: `owner` is the box that `read` gave out, released once.
    drop(unsafe { Box::from_raw(owner.cast::<Bytes>()) });
}

unsafe extern "C" fn abort(call: Handle) -> Rc {
    let aborted = handle::with_call(call, |state| {
        let open = matches!(state.reply, Reply::Open);
        if open {
            state.reply = Reply::Aborted;
        }
        (open, if state.running { None } else { state.waker.take() })
    });
    match aborted {
        Some((true, waker)) => {
            wake_taken(waker);
            abi::READY
        }
        _ => abi::GONE,
    }
}

unsafe extern "C" fn wake(any: Handle) {
    wake_handle(any);
}

/// Has the task behind `any` polled again; coalescing.
pub(crate) fn wake_handle(any: Handle) {
    let waker = handle::with(any, |state| {
        state.woken = true;
        if state.running { None } else { state.waker.take() }
    });
    wake_taken(waker.flatten());
}

/// Wakes outside every lock.
fn wake_taken(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// A waker that is a handle: what the body's producer holds while a module waits for more.
struct HandleWaker(Handle);

impl HandleWaker {
    fn waker(handle: Handle) -> Waker {
        std::sync::Arc::new(Self(handle)).into()
    }
}

impl std::task::Wake for HandleWaker {
    fn wake(self: std::sync::Arc<Self>) {
        wake_handle(self.0);
    }
}

unsafe extern "C" fn fail(any: Handle, reason: Str) {
    // SAFETY: the text is borrowed for this call.
    let words = unsafe { text(reason, MAX_WORDS) };
    handle::with(any, |state| state.words.replace(words));
}

unsafe extern "C" fn log(any: Handle, level: i32, target: Str, message: Str) {
    if level > LOG_LEVEL.load(Ordering::Relaxed) {
        return;
    }
    // On a thread that is ending, tracing's own thread-local buffer may be gone already, and says so by a panic.
    guarded(|| {
        // SAFETY: the texts are borrowed for this call.
        unsafe { log_line(any, level, target, message) };
        abi::READY
    });
}

/// # Safety
/// The texts must be valid for this call.
unsafe fn log_line(any: Handle, level: i32, target: Str, message: Str) {
    // SAFETY: the texts are borrowed for this call.
    let (target, message) = unsafe { (text(target, 256), text(message, 16 * 1024)) };
    let module = handle::with(any, |state| state.mark.row).and_then(module_name).unwrap_or_default();
    match level {
        ..=1 => tracing::error!(target: "module", module, origin = target, "{message}"),
        2 => tracing::warn!(target: "module", module, origin = target, "{message}"),
        3 => tracing::info!(target: "module", module, origin = target, "{message}"),
        4 => tracing::debug!(target: "module", module, origin = target, "{message}"),
        _ => tracing::trace!(target: "module", module, origin = target, "{message}"),
    }
}

/// A module's text, shortened and without control characters, so that it cannot forge log lines.
///
/// # Safety
/// `view` must be valid for this call.
unsafe fn text(view: Str, limit: usize) -> String {
    // SAFETY: the caller promises it.
    let bytes = unsafe { view.get() }.unwrap_or_default();
    let shortened = bytes.get(..limit).unwrap_or(bytes);
    String::from_utf8_lossy(shortened).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

unsafe extern "C" fn now_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

unsafe extern "C" fn extension(_id: ExtensionId) -> *const c_void {
    // No extension exists yet; NULL says "absent", as the header has it.
    std::ptr::null()
}

#[cfg(test)]
mod tests;
