//! Answers that are more than a head and a whole body: streams, upgrades, and those that say how long they are.
//!
//! Owns what such an answer may promise, by its request and by its status. Apart from the others, which are nearly all, so that these stay short.

use bytes::Bytes;
use hotbay_abi as abi;
use hotbay_abi::{Handle, Rc};
use http::{HeaderMap, StatusCode, header};

use super::{Head, submit, submit_and};
use crate::Stream;
use crate::answer::{Answer, AnswerBody};
use crate::handle::{self, State};
use crate::input::Input;
use crate::outgoing::Outgoing;

/// What the request makes of an answer.
#[derive(Clone, Copy)]
struct Asked {
    is_head: bool,
    offers_upgrade: bool,
    is_h2: bool,
}

impl Asked {
    fn by(state: &State) -> Option<Self> {
        let frame = state.frame()?;
        Some(Self { is_head: frame.is_head(), offers_upgrade: frame.offers_upgrade(), is_h2: frame.is_h2() })
    }

    /// Whether HTTP knows no body for such an answer.
    fn forbids_body(self, status: StatusCode) -> bool {
        self.is_head || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
    }
}

#[cold]
pub(super) fn respond(call: Handle, flags: u32, head: Head, body: Bytes) -> Rc {
    let Some(asked) = handle::with_call(call, |state| Asked::by(state)) else { return abi::GONE };
    // Calls that tests open have no request.
    let asked = asked.unwrap_or(Asked { is_head: false, offers_upgrade: false, is_h2: false });
    if flags & abi::RESP_UPGRADE != 0 {
        return upgrade(call, asked, head, body);
    }
    if head.status.as_u16() < 200 {
        return abi::ERR;
    }
    if flags & abi::RESP_STREAM != 0 {
        stream(call, asked, head, body)
    } else {
        whole(call, asked, head, body)
    }
}

/// A whole body with a content-length: it has to be the body's, or what the body would have.
fn whole(call: Handle, asked: Asked, mut head: Head, body: Bytes) -> Rc {
    let is_left_out = body.is_empty() && asked.forbids_body(head.status);
    if head.length.is_some_and(|length| length != body.len() as u64) && !is_left_out {
        return abi::ERR;
    }
    if is_left_out {
        keep_length(&mut head);
    }
    submit(call, Answer { status: head.status, headers: head.headers, body: AnswerBody::Whole(body) })
}

fn stream(call: Handle, asked: Asked, mut head: Head, first: Bytes) -> Rc {
    if head.length.is_some_and(|length| length < first.len() as u64) {
        return abi::ERR;
    }
    let has_no_body = asked.forbids_body(head.status) || head.length == Some(0);
    if has_no_body {
        keep_length(&mut head);
        drop(first);
        let answer =
            Answer { status: head.status, headers: head.headers, body: AnswerBody::Whole(Bytes::new()) };
        return submit_without_body(call, answer);
    }
    let body = AnswerBody::Stream(Box::new(Stream::new(Outgoing::new(first, head.length, false))));
    submit(call, Answer { status: head.status, headers: head.headers, body })
}

/// The module is told to stop producing.
fn submit_without_body(call: Handle, answer: Answer) -> Rc {
    match submit(call, answer) {
        abi::READY => abi::EOF,
        rc => rc,
    }
}

fn upgrade(call: Handle, asked: Asked, mut head: Head, first: Bytes) -> Rc {
    if !asked.offers_upgrade {
        return abi::DENIED;
    }
    let switches = head.status == StatusCode::SWITCHING_PROTOCOLS;
    if head.length.is_some() || !(switches || asked.is_h2 && head.status.is_success()) {
        return abi::ERR;
    }
    if asked.is_h2 && switches {
        // HTTP/2 has no such status (RFC 8441, 5).
        head.status = StatusCode::OK;
    }
    let body = AnswerBody::Stream(Box::new(Stream::new(Outgoing::new(first, None, true))));
    let answer = Answer { status: head.status, headers: head.headers, body };
    // Nothing that comes before the upgrade is read any more.
    submit_and(call, answer, |state| state.input.get_or_insert_with(|| Box::new(Input::awaited())).forsake())
}

/// Of an answer whose body is left out, the length that it would have stays.
fn keep_length(head: &mut Head) {
    if let Some(length) = head.length {
        HeaderMap::insert(&mut head.headers, header::CONTENT_LENGTH, length.into());
    }
}
