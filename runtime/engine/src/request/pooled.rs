//! A call on the pool, from the queue to its answer, and on to the end of its stream.
//!
//! Owns the way of a request to a thread that it may hold, and of the answer's head back; what follows a head comes by [`Source`], which also tells the pool
//! that the client has left. From the call's first poll to its drop, nothing of it runs on the threads that serve. Its place among the requests in flight is kept until then: a handler that does not
//! return counts as in flight, whoever has long gone.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use hotbay_loader::{
    Answer, AnswerBody, CallFailure, DropReason, FailureKind, Incoming, RequestIds, Started,
};
use http::Response;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::RecvError;

use super::{Cut, failed, headed, later, too_late};
use crate::body::{CallEnd, Further, Payload, Source, Streaming, pumped};
use crate::pool::{Refused, Ticket};
use crate::serve::Shared;
use crate::table::InFlight;

type Answered = Result<Response<Payload>, CallFailure>;

/// A call that is to run.
struct Queued {
    incoming: Incoming,
    in_flight: InFlight,
    answer: oneshot::Sender<Answered>,
    end: Arc<CallEnd>,
    ending: Arc<AtomicBool>,
}

/// An answer that is waited for, whose call learns why if that ends.
struct Awaited<'s> {
    answer: oneshot::Receiver<Answered>,
    end: Arc<CallEnd>,
    /// Goes with the answer's stream if it has one.
    ticket: Option<Ticket>,
    shared: &'s Shared,
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        if self.shared.ending.load(Ordering::Relaxed) {
            self.end.set(DropReason::Shutdown);
        }
    }
}

/// Has the pool run a call, and waits for its answer as long as that may take, the time in the queue included.
pub(super) async fn call(
    incoming: Incoming,
    in_flight: InFlight,
    shared: &Shared,
) -> Result<Response<Payload>, Cut> {
    let target = Arc::clone(&in_flight.0);
    let whose = target.instance.as_ref().map(|instance| instance.mark()).unwrap_or_default();
    // The call has its own id, but it may hold its thread: then only what its client said can be asked for.
    let sent = RequestIds::sent(&incoming.parts.headers);
    let (end, (answer_tx, answer)) = (Arc::<CallEnd>::default(), oneshot::channel());
    let ending = Arc::clone(&shared.ending);
    let queued = Queued { incoming, in_flight, answer: answer_tx, end: Arc::clone(&end), ending };
    let ticket = match shared.pool.spawn(whose, queued.run()) {
        Ok(ticket) => ticket,
        Err(Refused::Full) => return Ok(later("too many calls wait for a blocking thread\n")),
        Err(Refused::Stuck) => return Ok(later("the calls before this one do not return\n")),
    };
    let mut awaited = Awaited { answer, end, ticket: Some(ticket), shared };
    let mut answered = shared.timers.timeout(target.timeout, &mut awaited.answer).await;
    if let Ok(answered) = &mut answered
        && let Some(ticket) = awaited.ticket.take()
    {
        hand_over(ticket, answered);
    }
    match answered {
        Ok(Ok(Ok(response))) => Ok(response),
        Ok(Ok(Err(failure))) => failed(&failure, &target),
        // It has panicked on our side of it.
        Ok(Err(_no_word)) => failed(&FailureKind::NoAnswer.into(), &target),
        Err(_elapsed) => {
            awaited.end.set(DropReason::Timeout);
            Ok(too_late(&target, &sent))
        }
    }
}

/// An answer that goes on is waited for until its end.
fn hand_over(mut ticket: Ticket, answered: &mut Result<Answered, RecvError>) {
    if let Ok(Ok(response)) = answered
        && let Payload::Further(further) = response.body_mut()
        // An upgrade is made of a stream later.
        && let Further::Stream(streaming) = &mut **further
    {
        return streaming.stream.wait(ticket);
    }
    ticket.answered();
}

impl Queued {
    /// A call's whole life.
    async fn run(self) {
        let Self { incoming, in_flight, mut answer, end, ending } = self;
        // Whoever asked may have gone before the call's turn came. The table leads only to targets whose instance was there when the request came.
        let Some(instance) = in_flight.0.instance.as_ref().filter(|_| !answer.is_closed()) else { return };
        let result = match hotbay_loader::start(instance, incoming) {
            Started::Done(result) => result,
            Started::Pending(mut call) => {
                let result = poll_fn(|cx| match answer.poll_closed(cx) {
                    Poll::Ready(()) => Poll::Ready(None),
                    Poll::Pending => Pin::new(&mut call).poll(cx).map(Some),
                });
                let Some(result) = result.await else { return call.set_end(end.reason()) };
                result
            }
        };
        let (mut pump, streaming) =
            (None, |source| Streaming::pooled(source, Arc::clone(&in_flight.0), &ending));
        let result = result.map(|Answer { status, headers, body }| {
            let payload = match body {
                AnswerBody::Whole(body) => Payload::Whole(body),
                // Nothing of the module's is left to be run.
                AnswerBody::Stream(stream) if stream.is_over() => {
                    Payload::stream(streaming(Source::Here(stream)))
                }
                AnswerBody::Stream(stream) => {
                    let (source, there) = pumped(stream, end);
                    pump = Some(there);
                    Payload::stream(streaming(source))
                }
            };
            headed(status, headers, payload)
        });
        // If nobody is there any more, the pump finds out.
        let _sent = answer.send(result);
        if let Some(pump) = pump {
            pump.run().await;
        }
    }
}
