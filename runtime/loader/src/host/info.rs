//! What few calls ask about their request: who sent it, its id, its trace.
//!
//! Owns which words of a client are believed. Nothing of it is done for a call that does not ask: texts are made on demand, and kept with the request.

use std::fmt::Write as _;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use hotbay_abi as abi;
use hotbay_abi::{Handle, Rc, Str};
use http::{HeaderMap, HeaderName};

use super::guarded;
use crate::frame::Frame;
use crate::handle;

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Of a client's request id.
const MAX_ID: usize = 128;

pub(super) unsafe extern "C" fn info(call: Handle, what: u32, out: *mut Str) -> Rc {
    guarded(|| {
        if out.is_null() {
            return abi::ERR;
        }
        // The views lie in the frame, which stays as long as the call's state: longer than the slot's lock is held.
        let told = handle::with_call(call, |state| state.frame().map(|frame| tell(frame, call, what)));
        match told.flatten() {
            None => abi::GONE,
            Some(None) => abi::UNSUPPORTED,
            Some(Some(text)) => {
                // SAFETY: not NULL, and the module's to be written.
                unsafe { out.write(text) };
                abi::READY
            }
        }
    })
}

/// `None`: nobody here knows what that is.
fn tell(frame: &Frame, call: Handle, what: u32) -> Option<Str> {
    let headers = frame.headers();
    Some(match what {
        abi::INFO_PEER => match frame.peer() {
            Some(peer) => Str::new(frame.asked().peer.get_or_init(|| peer.to_string()).as_bytes()),
            None => Str::ABSENT,
        },
        abi::INFO_REQUEST_ID => match headers.and_then(sent_id) {
            Some(id) => Str::new(id.as_bytes()),
            None => Str::new(frame.asked().request_id.get_or_init(|| made_up(call)).as_bytes()),
        },
        abi::INFO_TRACEPARENT => {
            headers.and_then(traceparent).map_or(Str::ABSENT, |text| Str::new(text.as_bytes()))
        }
        _ => return None,
    })
}

/// What log lines call a request by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestIds {
    /// As the module knows it; without a client's, the host's own.
    pub request_id: Option<String>,
    /// The trace that it belongs to, if its client said so: 32 digits.
    pub trace_id: Option<String>,
}

impl RequestIds {
    /// Those of a request that is, or was, `call`.
    #[cold]
    pub(crate) fn of(frame: &Frame, call: Handle) -> Self {
        Self { request_id: Some(request_id(frame, call)), trace_id: trace_id(frame).map(str::to_owned) }
    }

    /// Those that a client has sent, of a request that may be no call yet.
    pub fn sent(headers: &HeaderMap) -> Self {
        let trace_id = traceparent(headers).and_then(trace);
        Self { request_id: sent_id(headers).map(str::to_owned), trace_id: trace_id.map(str::to_owned) }
    }
}

/// The id of a request, as `info` tells it.
pub(super) fn request_id(frame: &Frame, call: Handle) -> String {
    frame.headers().and_then(sent_id).map_or_else(|| made_up(call), str::to_owned)
}

/// The trace that a request belongs to: 32 digits.
pub(super) fn trace_id(frame: &Frame) -> Option<&str> {
    frame.headers().and_then(traceparent).and_then(trace)
}

fn trace(traceparent: &str) -> Option<&str> {
    traceparent.get(3..35)
}

/// The client's id, if there is one that can stand in a log: short, and of letters, digits and what ids are usually joined with.
fn sent_id(headers: &HeaderMap) -> Option<&str> {
    let id = only(headers, &REQUEST_ID)?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/+=@".contains(&byte);
    ((1..=MAX_ID).contains(&id.len()) && id.bytes().all(is_plain)).then_some(id)
}

/// W3C Trace Context: `00-<trace>-<parent>-<flags>`. Later versions may be longer, and begin with the same.
fn traceparent(headers: &HeaderMap) -> Option<&str> {
    let text = only(headers, &TRACEPARENT)?;
    let hex = |from: usize, to: usize| {
        let digits = text.as_bytes().get(from..to)?;
        digits.iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte)).then_some(digits)
    };
    let dash = |at: usize| text.as_bytes().get(at) == Some(&b'-');
    let not_zero = |digits: &&[u8]| digits.iter().any(|&digit| digit != b'0');
    let version = hex(0, 2).filter(|version| *version != b"ff")?;
    hex(3, 35).filter(not_zero)?;
    hex(36, 52).filter(not_zero)?;
    hex(53, 55)?;
    let ends = if version == b"00" { text.len() == 55 } else { text.len() == 55 || dash(55) };
    (dash(2) && dash(35) && dash(52) && ends).then_some(text)
}

/// The value of a header that came once: of two ids nobody can say which is meant.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// An id from the call's handle, which is never given out twice: the same whenever it is asked for, and unlike those of other processes.
fn made_up(call: Handle) -> String {
    static KEYS: LazyLock<[RandomState; 2]> = LazyLock::new(|| [RandomState::new(), RandomState::new()]);
    let mut id = String::with_capacity(32);
    for key in KEYS.iter() {
        // Writing to a String cannot fail.
        let _ = write!(id, "{:016x}", key.hash_one(call));
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_believed_if_it_is_as_the_w3c_says() {
        let believed = |text: &str| traceparent(&headers(&[("traceparent", text)])).is_some();
        assert!(believed(GOOD));
        assert!(believed(&GOOD.replacen("00-", "cc-", 1)), "a later version");
        assert!(believed(&(GOOD.replacen("00-", "cc-", 1) + "-more")));
        for wrong in [
            "",
            "00",
            &(GOOD.to_owned() + "-more"),
            &(GOOD.replacen("00-", "cc-", 1) + "more"),
            &GOOD.replacen("00-", "ff-", 1),
            &GOOD.replace('a', "A"),
            &GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &GOOD.replace('-', "_"),
            &GOOD[..54],
            &GOOD.replacen('4', "g", 1),
        ] {
            assert!(!believed(wrong), "{wrong}");
        }
        assert!(traceparent(&headers(&[("traceparent", GOOD), ("traceparent", GOOD)])).is_none(), "which?");
    }

    #[test]
    fn an_id_that_could_forge_something_is_not_taken() {
        let long = "x".repeat(MAX_ID + 1);
        for (id, taken) in [
            ("a-1_2.3/4:5=6+7~8@9", true),
            (&long[1..], true),
            (&long, false),
            ("", false),
            ("a b", false),
            ("a\"b", false),
            ("é", false),
        ] {
            let known = headers(&[("x-request-id", id)]);
            assert_eq!(sent_id(&known).is_some(), taken, "{id}");
        }
        assert_eq!(sent_id(&headers(&[("x-request-id", "a"), ("x-request-id", "b")])), None);
        assert_eq!((made_up(7), made_up(7).len()), (made_up(7), 32));
        assert_ne!(made_up(7), made_up(8));
    }
}
