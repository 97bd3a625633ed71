//! How far a call is, as its slot has it: whose turn it is, and what of its answer is there.
//!
//! Owns how much a module may have in one turn. Must not wake or poll: who holds the slot's lock does, when it is left.

use http::StatusCode;
use http::header::CONTENT_LENGTH;

use super::{Reply, State};
use crate::answer::{Answer, AnswerBody};
use crate::frame::Frame;
use crate::outgoing::Outgoing;

/// READY answers to reads and writes in one poll. Then the thread's other tasks get their turn, however much there is.
const READY_IN_A_POLL: u8 = 64;

impl State {
    /// The module is about to be polled.
    pub fn begin_poll(&mut self) {
        self.turn.begin();
        self.ready = 0;
    }

    /// Whether the poll that has just ended was ended by [`Self::may_go_on`]. A module's own threads may set it too; then a turn is lost.
    pub fn take_overdrawn(&mut self) -> bool {
        let overdrawn = self.ready == READY_IN_A_POLL;
        if overdrawn {
            self.ready = 0;
        }
        overdrawn
    }

    /// Counts one more thing that is ready. False: this poll has had enough of them, and the handle counts as woken.
    pub fn may_go_on(&mut self) -> bool {
        if !self.turn.is_running() {
            // A thread of the module's own holds up nobody.
            return true;
        }
        if self.ready == READY_IN_A_POLL {
            self.turn.again();
            return false;
        }
        self.ready += 1;
        true
    }

    /// The stream that the answer is, whether or not its head was collected.
    pub fn outgoing(&mut self) -> Option<&mut Outgoing> {
        match &mut self.reply {
            Reply::Begun(outgoing) => Some(outgoing),
            Reply::Answered(Answer { body: AnswerBody::Stream(stream), .. }) => stream.left(),
            Reply::Open | Reply::Answered(_) | Reply::Aborted => None,
        }
    }

    /// Whether the answer is one that may be a stream, and of which the client gets the head alone.
    pub fn has_no_body(&self) -> bool {
        let Reply::Answered(Answer { status, headers, body: AnswerBody::Whole(body) }) = &self.reply else {
            return false;
        };
        let forbidden = matches!(*status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
            || headers.contains_key(CONTENT_LENGTH)
            || self.frame().is_some_and(Frame::is_head);
        body.is_empty() && forbidden
    }
}
