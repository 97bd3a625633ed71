//! A module's answer, as it comes from the module.
//!
//! Owns the checks on it, and the release of the bytes that it is made of. Must not send it: it waits in its handle's slot.

mod unusual;

use hotbay_abi as abi;
use hotbay_abi::{Handle, Rc, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::headers::{append, views};
use super::{buf, guarded, wake_taken};
use crate::answer::{Answer, AnswerBody};
use crate::handle::{self, Reply, State};
use crate::spare;

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
    // Asked for only where something is to be released.
    let mark = || handle::with(call, |state| state.mark).unwrap_or_default();
    // SAFETY: the response is valid, and so are its parts. Owned bytes are taken (and so released) whatever comes of the response.
    let body = unsafe { buf::take(response.body, response.flags & abi::RESP_COPY != 0, mark) };
    // The high half of the flags asks for what this host must understand; the low half may be ignored.
    if response.flags >> 16 != 0 {
        return abi::UNSUPPORTED;
    }
    // SAFETY: as above.
    let head = match unsafe { head(response) } {
        Ok(head) => head,
        Err(rc) => return rc,
    };
    if head.length.is_some() || response.flags & (abi::RESP_STREAM | abi::RESP_UPGRADE) != 0 {
        return unusual::respond(call, response.flags, head, body);
    }
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        return abi::ERR;
    }
    let Head { status, headers, .. } = head;
    submit(call, Answer { status, headers, body: AnswerBody::Whole(body) })
}

/// Puts the answer where the call's task finds it.
#[inline(always)]
fn submit(call: Handle, answer: Answer) -> Rc {
    submit_and(call, answer, |_| ())
}

/// As [`submit`]. If the answer is taken, `and` comes with it, under the same lock; what it gives is dropped when the lock is left.
#[inline(always)]
fn submit_and<T>(call: Handle, answer: Answer, and: impl FnOnce(&mut State) -> T) -> Rc {
    // An answer that comes second stays here, and is released after the slot's lock is left.
    let mut answer = Some(answer);
    let answered = handle::with_call(call, |state| {
        let open = matches!(state.reply, Reply::Open);
        if let Some(answer) = answer.take_if(|_| open) {
            // It was open, so that there is nothing to drop.
            std::mem::forget(std::mem::replace(&mut state.reply, Reply::Answered(answer)));
        }
        (open, if open { state.turn.news() } else { None }, open.then(|| and(state)))
    });
    match answered {
        Some((true, waker, _dropped)) => {
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
    if size < abi::RESPONSE_SIZE_MIN {
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

/// An answer's head, checked.
struct Head {
    status: StatusCode,
    headers: HeaderMap,
    /// The content-length that it promises.
    length: Option<u64>,
}

/// Status and headers, checked: a module cannot smuggle a second answer or a false length.
///
/// # Safety
/// `response` must hold `n_headers` valid headers.
#[inline(always)]
unsafe fn head(response: &Response) -> Result<Head, Rc> {
    let status = StatusCode::from_u16(response.status).ok().filter(|status| status.as_u16() < 600);
    let status = status.filter(|status| status.as_u16() >= 200 || status.as_u16() == 101).ok_or(abi::ERR)?;
    // SAFETY: the caller's promise.
    let views = unsafe { views(response.headers, response.n_headers)? };
    let mut headers = spare::take(views.len() + 2);
    let mut length = None;
    let is_stream = response.flags & abi::RESP_STREAM != 0;
    let is_left_out = |name: &HeaderName, value: &HeaderValue| {
        if *name == header::CONTENT_LENGTH {
            promise(&mut length, value)?;
        }
        // By HTTP/1 a stream's trailers have to be announced.
        Ok(is_ours(name) && !(is_stream && *name == header::TRAILER))
    };
    // SAFETY: as above.
    unsafe { append(&mut headers, views, is_left_out)? };
    Ok(Head { status, headers, length })
}

/// Reads a content-length. A second one is refused even if it is the same: who adds one has lost sight of the first.
#[cold]
fn promise(length: &mut Option<u64>, value: &HeaderValue) -> Result<(), Rc> {
    let digits = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let read = digits.and_then(|digits| digits.parse().ok()).ok_or(abi::ERR)?;
    if length.replace(read).is_some() { Err(abi::ERR) } else { Ok(()) }
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
