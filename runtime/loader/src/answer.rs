//! What a call comes to: an answer, or why there is none, or no whole one.
//!
//! Owns the words for it. Must not run anything: `call` does.

use bytes::Bytes;
use hotbay_abi as abi;
use http::{HeaderMap, StatusCode};

use crate::Stream;

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

/// Why a call has no answer.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CallFailure {
    /// The SDK caught a panic.
    #[error("the handler panicked: {0}")]
    Panicked(String),
    /// It said that it failed.
    #[error("the handler failed with code {code}: {words}")]
    Failed {
        /// A negative `hb_rc`.
        code: i32,
        /// From `fail`.
        words: String,
    },
    /// It said that it was done, and had not answered.
    #[error("the handler ended without an answer")]
    NoAnswer,
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
pub(crate) fn failure(rc: abi::Rc, words: Option<String>) -> CallFailure {
    let words = words.unwrap_or_else(|| NO_WORDS.to_owned());
    match rc {
        abi::PANIC => CallFailure::Panicked(words),
        code if code < 0 => CallFailure::Failed { code, words },
        _ => CallFailure::NoAnswer,
    }
}

/// Why a call that has ended with `rc` has only the beginning of one.
#[cold]
pub(crate) fn unfinished(rc: abi::Rc, words: Option<String>) -> CallFailure {
    let words = words.as_deref().unwrap_or(NO_WORDS);
    CallFailure::Unfinished(match rc {
        abi::PANIC => format!("it panicked: {words}"),
        code if code < 0 => format!("code {code}: {words}"),
        _ => format!("it said that it was done: {words}"),
    })
}
