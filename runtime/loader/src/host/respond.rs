//! A module's answer, as it comes from the module.
//!
//! Owns the checks on it, and the release of the bytes that it is made of. Must not send it: it waits in its handle's slot.

use bytes::Bytes;
use hotbay_abi as abi;
use hotbay_abi::{Buf, Handle, Rc, Response, Str};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::{guarded, wake_taken};
use crate::call::Answer;
use crate::handle::{self, Reply};
use crate::marks::marked;
use crate::queue::Mark;
use crate::spare;

/// Most headers of an answer, and most bytes of their names and values.
const MAX_HEADERS: u32 = 256;
const MAX_HEADER_BYTES: usize = 64 * 1024;

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

pub(super) unsafe extern "C" fn respond(call: Handle, response: *const Response) -> Rc {
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
