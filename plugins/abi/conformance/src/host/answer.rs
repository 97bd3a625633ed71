//! `respond`, and what the module lends for an answer.
//!
//! Owns the checks on an answer's form, and the comparison that shows whether lent bytes stayed as they were.

use hotbay_abi::{self as abi, Buf, Handle, Header, Rc, Response, Str};

use super::{State, bytes, bytes_of, with_call};
use crate::arena::what_is_at;
use crate::{Rule, report};

/// The host's limits.
const MAX_HEADERS: u32 = 256;
const MAX_HEADER_BYTES: usize = 64 * 1024;

/// Bytes that the module lent, and what they were when it did.
pub(crate) struct Kept {
    buf: Buf,
    then: Vec<u8>,
}

// SAFETY: the ABI lets the receiver release a buffer on any thread.
unsafe impl Send for Kept {}

impl Kept {
    pub(super) fn new(buf: Buf) -> Self {
        if what_is_at(buf.ptr as usize).is_some() && buf.len > 0 && buf.release.is_none() {
            report::broken(
                Rule::Bodies,
                "a view of the host's was handed over as if it were the module's; copy it (HB_RESP_COPY)",
            );
        }
        Self { then: bytes_of(&buf).to_vec(), buf }
    }

    /// Lent for the life of the process.
    pub fn is_static(&self) -> bool {
        self.buf.release.is_none()
    }

    /// Compares, and releases.
    pub fn release(self) {
        // What lies in the host's own pages was reported, and is sealed by now.
        if what_is_at(self.buf.ptr as usize).is_none() && bytes_of(&self.buf) != self.then {
            report::broken(
                Rule::Bodies,
                "bytes that were handed over have changed before they were released",
            );
        }
        if let Some(release) = self.buf.release {
            // SAFETY: this is the one release, and `owner` belongs to it.
            unsafe { release(self.buf.owner) };
        }
    }
}

pub(super) unsafe extern "C" fn respond(call: Handle, response: *const Response) -> Rc {
    // SAFETY: every struct begins with its size; a module that passes less than that crashes here, which is reported.
    let size = if response.is_null() { 0 } else { unsafe { (&raw const (*response).size).read() } };
    if size < abi::RESPONSE_SIZE_MIN {
        report::broken(Rule::Answer, &format!("the response's size is {size}"));
        return abi::ERR;
    }
    // SAFETY: it is as long as today's.
    let response = unsafe { &*response };
    let copied = response.flags & abi::RESP_COPY != 0;
    let mut owned = (!copied).then(|| Kept::new(response.body));
    let rc = with_call(call, "respond", |call| {
        if call.state != State::Open {
            report::broken(Rule::OneAnswer, "respond was called for a call that was answered already");
        }
        if call.gone || call.state != State::Open {
            return abi::GONE;
        }
        call.kept.extend(owned.take());
        let upgrade = call.script.upgrade;
        match state_after(response, upgrade, call.script.head) {
            Ok(state) => {
                (call.state, call.said) = (state, (response.status, bytes_of(&response.body).to_vec()))
            }
            Err((rc, words)) => {
                report::broken(Rule::Answer, &words);
                return rc;
            }
        }
        if call.script.head {
            call.state = State::Complete;
            return abi::EOF;
        }
        abi::READY
    });
    // Taken, though nobody wants it. Outside the lock: it runs code of the module.
    owned.into_iter().for_each(Kept::release);
    rc
}

/// How far the answer is with this response; or what is wrong with it.
fn state_after(response: &Response, upgrade: bool, head: bool) -> Result<State, (Rc, String)> {
    let flags = response.flags;
    if flags >> 16 != 0 {
        return Err((abi::UNSUPPORTED, format!("flags {flags:#x} ask for what no host knows")));
    }
    let upgrades = flags & abi::RESP_UPGRADE != 0;
    if upgrades && !upgrade {
        return Err((abi::DENIED, "an upgrade that the client did not offer".to_owned()));
    }
    let status = response.status;
    let is_known = (200..600).contains(&status) || (upgrades && status == 101);
    if !is_known {
        return Err((abi::ERR, format!("status {status}")));
    }
    let promised = headers(response.headers, response.n_headers)?;
    let first = response.body.len as u64;
    if flags & abi::RESP_STREAM != 0 || upgrades {
        let left = promised.map(|promised| promised.checked_sub(first));
        let too_long = || (abi::ERR, "the first piece is longer than the content-length".to_owned());
        return Ok(State::Streaming { left: left.map(|left| left.ok_or_else(too_long)).transpose()? });
    }
    match promised {
        Some(promised) if promised != first && !head && status != 304 => {
            Err((abi::ERR, format!("content-length {promised} with a body of {first} bytes")))
        }
        _ => Ok(State::Complete),
    }
}

/// Checks headers; the content-length among them.
pub(super) fn headers(pointer: *const Header, count: u32) -> Result<Option<u64>, (Rc, String)> {
    if count > MAX_HEADERS {
        return Err((abi::LIMIT, format!("{count} headers")));
    }
    if count > 0 && pointer.is_null() {
        return Err((abi::ERR, format!("{count} headers at NULL")));
    }
    let views = if count == 0 {
        &[]
    } else {
        // SAFETY: the module promises that many; one that lies crashes here, which is reported.
        unsafe { std::slice::from_raw_parts(pointer, count as usize) }
    };
    let (mut total, mut length) = (0, None);
    for Header { name, value } in views {
        let (name, value) = (bytes(*name), bytes(*value));
        total += name.len() + value.len();
        if total > MAX_HEADER_BYTES {
            return Err((abi::LIMIT, format!("more than {MAX_HEADER_BYTES} bytes of headers")));
        }
        let shown = || Str::new(name);
        if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
            return Err((abi::ERR, format!("{:?} is no name of a header", super::text(shown()))));
        }
        if value.iter().any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f) {
            return Err((abi::ERR, format!("control characters in the header {}", super::text(shown()))));
        }
        if name == b"content-length" {
            let number = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
            length = Some(number.ok_or((abi::ERR, "a content-length that is no number".to_owned()))?);
        }
    }
    Ok(length)
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
