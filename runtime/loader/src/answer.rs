//! What a call comes to: an answer, or why there is none, or no whole one.
//!
//! Owns the words for it. Must not run anything: `call` does.

use bytes::Bytes;
use hotbay_abi as abi;
use http::{HeaderMap, StatusCode};

use crate::rc::Named;
use crate::{RequestIds, Stream};

/// Where a module has not said why.
const NO_WORDS: &str = "no words were given";

/// What a module answers.
#[derive(Debug)]
pub struct Answer {
    /// 200 to 599, or 101.
    pub status: StatusCode,
    /// Checked.
    pub headers: HeaderMap,
    /// What follows.
    pub body: AnswerBody,
}

/// What follows an answer's head.
#[derive(Debug)]
pub enum AnswerBody {
    /// All of it.
    Whole(Bytes),
    /// The call goes on.
    Stream(Box<Stream>),
}

impl Answer {
    /// Nothing is missing: it stands, whatever its module does next.
    #[inline(always)]
    pub(crate) fn is_complete(&self) -> bool {
        match &self.body {
            AnswerBody::Whole(_) => true,
            AnswerBody::Stream(stream) => stream.is_finished(),
        }
    }
}

/// A call without an answer, or without a whole one.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{kind}")]
pub struct CallFailure {
    /// Why.
    pub kind: FailureKind,
    /// What log lines call its request by; none where there was no call.
    pub request: Option<Box<RequestIds>>,
}

impl From<FailureKind> for CallFailure {
    fn from(kind: FailureKind) -> Self {
        Self { kind, request: None }
    }
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FailureKind {
    /// The SDK caught a panic.
    #[error("the handler panicked: {0}")]
    Panicked(String),
    /// It said that it failed, or what the header does not know.
    #[error("the handler failed with {}: {words}", Named(*code))]
    Failed {
        /// A negative `hb_rc`, or one without a name.
        code: i32,
        /// From `fail`.
        words: String,
    },
    /// It said that it was done, and had not answered.
    #[error("the handler ended without an answer")]
    NoAnswer,
    /// It has read that what the client sent is malformed or was cut, and has said no more.
    #[error("what the client sent is malformed or was cut, and the handler ended without a whole answer")]
    BodyBroken,
    /// It has read that the client sent more than the module's limit allows, and has said no more.
    #[error("the request's body is larger than its limit, and the handler ended without a whole answer")]
    BodyTooLarge,
    /// It began to answer and went no further.
    #[error("the handler ended in the middle of its answer: {0}")]
    Unfinished(String),
    /// It wrote more, or less, than it had promised.
    #[error("the handler wrote an answer of another length than its content-length")]
    FalseLength,
    /// It cut the call.
    #[error("the handler aborted the call")]
    Aborted,
    /// A million calls are alive.
    #[error("too many calls are in flight")]
    NoHandles,
}

impl FailureKind {
    /// Whether the client has brought it about, so that no module is to blame.
    pub fn is_clients(&self) -> bool {
        matches!(self, Self::BodyBroken | Self::BodyTooLarge)
    }
}

/// Why a call that was not answered ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum DropReason {
    /// The client left.
    Disconnect = abi::DROP_DISCONNECT,
    /// It took too long.
    Timeout = abi::DROP_TIMEOUT,
    /// The engine ends.
    Shutdown = abi::DROP_SHUTDOWN,
}

/// Why a call that has ended with `rc` has no answer.
#[cold]
pub(crate) fn failure(rc: abi::Rc, words: Option<String>) -> FailureKind {
    let words = words.unwrap_or_else(|| NO_WORDS.to_owned());
    match rc {
        abi::PANIC => FailureKind::Panicked(words),
        abi::READY | abi::PENDING | abi::EOF => FailureKind::NoAnswer,
        code => FailureKind::Failed { code, words },
    }
}

/// Why a call that has ended with `rc` has no whole answer, if that is its client's doing: `ended` is what its reads say since the input has ended. A module
/// that passes this on, or says nothing, has not failed; one that says something else has.
#[cold]
pub(crate) fn by_client(rc: abi::Rc, ended: Option<abi::Rc>) -> Option<FailureKind> {
    let ended = ended?;
    match ended {
        _ if rc != ended && !matches!(rc, abi::READY | abi::PENDING | abi::EOF) => None,
        abi::GONE => Some(FailureKind::BodyBroken),
        abi::LIMIT => Some(FailureKind::BodyTooLarge),
        _ => None,
    }
}

/// Why a call that has ended with `rc` has only the beginning of one.
#[cold]
pub(crate) fn unfinished(rc: abi::Rc, words: Option<String>) -> FailureKind {
    let words = words.as_deref().unwrap_or(NO_WORDS);
    FailureKind::Unfinished(match rc {
        abi::PANIC => format!("it panicked: {words}"),
        abi::READY | abi::PENDING | abi::EOF => format!("it said that it was done: {words}"),
        code => format!("{}: {words}", Named(code)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_has_brought_about_is_not_the_modules_failure() {
        for (ended, kind) in [(abi::GONE, FailureKind::BodyBroken), (abi::LIMIT, FailureKind::BodyTooLarge)] {
            for rc in [ended, abi::READY, abi::PENDING, abi::EOF] {
                assert_eq!(by_client(rc, Some(ended)).as_ref(), Some(&kind), "{rc}");
            }
            for rc in [abi::PANIC, abi::ERR, abi::DENIED, 42, -99] {
                assert_eq!(by_client(rc, Some(ended)), None, "{rc}");
            }
        }
        assert_eq!(by_client(abi::LIMIT, Some(abi::GONE)), None, "it is not what was read");
        for ended in [None, Some(abi::EOF)] {
            assert_eq!((by_client(abi::READY, ended), by_client(abi::GONE, ended)), (None, None));
        }
    }

    #[test]
    fn a_code_is_named_and_one_that_nobody_knows_too() {
        let told = |rc| failure(rc, Some("why".to_owned())).to_string();
        assert_eq!(told(abi::LIMIT), "the handler failed with rc -3 (HB_LIMIT): why");
        assert_eq!(told(42), "the handler failed with rc 42 (unknown): why");
        assert_eq!(told(-99), "the handler failed with rc -99 (unknown): why");
        assert_eq!(told(abi::READY), "the handler ended without an answer");
        let cut = unfinished(42, None).to_string();
        assert_eq!(
            cut,
            "the handler ended in the middle of its answer: rc 42 (unknown): no words were given"
        );
    }
}
