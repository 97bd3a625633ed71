//! The body of an answer whose call goes on.
//!
//! Owns what counts until the stream is over: the call, its place among the module's requests in flight, and its time. Must not know HTTP's versions but
//! for what [`Busy`] does about them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hotbay_loader::{CallFailure, DropReason, Stream};
use http_body::Frame;

use super::{Source, split_piece};
use crate::connection::Busy;
use crate::request::{Cut, tell};
use crate::table::{InFlight, Target};
use crate::tally::Underway;

/// A stream on its way, and what it holds.
pub(crate) struct Streaming {
    pub stream: Source,
    /// What is left of a piece that was too large.
    rest: Bytes,
    target: Arc<Target>,
    /// None on the pool, where the call has it.
    _in_flight: Option<InFlight>,
    /// From the moment that the head is counted.
    timed: Option<Underway>,
    /// The engine ends.
    ending: Arc<AtomicBool>,
    /// HTTP/1.0 knows no end of a stream but the connection's.
    ends_with_connection: bool,
}

impl Streaming {
    pub fn new(stream: Box<Stream>, in_flight: InFlight, ending: &Arc<AtomicBool>) -> Self {
        let mut streaming = Self::pooled(Source::Here(stream), Arc::clone(&in_flight.0), ending);
        streaming._in_flight = Some(in_flight);
        streaming
    }

    /// The same for a call that has its place among those in flight itself.
    pub fn pooled(stream: Source, target: Arc<Target>, ending: &Arc<AtomicBool>) -> Self {
        let (rest, ending) = (Bytes::new(), Arc::clone(ending));
        Self { stream, rest, target, _in_flight: None, timed: None, ending, ends_with_connection: false }
    }

    /// The head was counted; this is until the end is.
    pub fn set_timed(&mut self, timed: Underway) {
        self.timed = Some(timed);
    }

    /// The client speaks HTTP/1.0.
    pub fn ends_with_connection(&mut self) {
        self.ends_with_connection = true;
    }

    pub fn is_end(&self) -> bool {
        self.rest.is_empty() && self.stream.is_end()
    }

    /// Bytes that are still to come, if the module has promised how many.
    pub fn length(&self) -> Option<u64> {
        self.stream.length().map(|length| length + self.rest.len() as u64)
    }

    pub fn poll_frame(
        &mut self,
        mut busy: Option<&mut Busy>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let frame = ready!(self.poll_piece(cx, busy.as_deref_mut()));
        let Some(busy) = busy else { return Poll::Ready(frame) };
        match &frame {
            Some(Ok(frame)) if frame.is_data() => busy.sends(),
            Some(Err(Cut)) if self.ends_with_connection => busy.reset(),
            _ => {}
        }
        Poll::Ready(frame)
    }

    fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
        busy: Option<&mut Busy>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        // What was handed over before is on its way: from here on the handler is waited for, not the client.
        busy.into_iter().for_each(Busy::has_sent);
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(split_piece(&mut self.rest)))));
        }
        let frame = match ready!(self.stream.poll_frame(cx)) {
            None => return Poll::Ready(None),
            Some(Err(failure)) => return Poll::Ready(Some(Err(self.failed(&failure)))),
            Some(Ok(frame)) => frame,
        };
        Poll::Ready(Some(Ok(match frame.into_data() {
            Ok(data) => {
                self.rest = data;
                Frame::data(split_piece(&mut self.rest))
            }
            Err(frame) => frame,
        })))
    }

    /// Says why the client sees a cut.
    pub fn failed(&self, failure: &CallFailure) -> Cut {
        tell(failure, &self.target, "an answer was cut");
        Cut
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        if self.ending.load(Ordering::Relaxed) {
            self.stream.set_end(DropReason::Shutdown);
        }
    }
}
