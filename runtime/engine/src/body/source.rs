//! Where the pieces of a streamed answer come from: from its call, polled on this thread, or from the pool, where the call is.
//!
//! Owns the way between the two threads: a short queue of pieces, the word that nobody takes them any more, and what the client says once a
//! connection was upgraded.

use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hotbay_loader::{Body, CallFailure, DropReason, Stream};
use http_body::Frame;
use tokio::sync::{mpsc, oneshot};

use crate::pool::Ticket;

/// Pieces on their way from the pool. What a client does not take waits before them, where it is bounded by bytes.
const PIECES: usize = 2;

/// What a streamed answer is read from.
pub(crate) enum Source {
    /// Its call is polled here.
    Here(Box<Stream>),
    /// Its call lives on the pool. Boxed: the others carry no room for it.
    Pooled(Box<Pooled>),
}

/// The reading end of a stream whose call lives on the pool.
pub(crate) struct Pooled {
    pieces: mpsc::Receiver<Piece>,
    end: Arc<CallEnd>,
    client: Option<oneshot::Sender<Body>>,
    length: Option<u64>,
    is_upgrade: bool,
    is_over: bool,
    /// Dropped with the rest if the client leaves before the end: then the pool knows that nobody waits for the call. After what says why it ends.
    ticket: Option<Ticket>,
}

/// What comes from the pool; nothing more: the module is done.
enum Piece {
    Frame(Frame<Bytes>),
    /// An upgraded connection's other side may go on.
    HalfClosed,
    Failed(CallFailure),
}

/// The end on the pool.
pub(crate) struct Pump {
    stream: Box<Stream>,
    pieces: mpsc::Sender<Piece>,
    client: Option<oneshot::Receiver<Body>>,
    end: Arc<CallEnd>,
}

/// What a call on the pool is told if nobody waits for it any more. Said before that can be seen.
#[derive(Debug)]
pub(crate) struct CallEnd(Mutex<DropReason>);

impl Default for CallEnd {
    fn default() -> Self {
        Self(Mutex::new(DropReason::Disconnect))
    }
}

impl CallEnd {
    pub fn set(&self, reason: DropReason) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    pub fn reason(&self) -> DropReason {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Both ends for a stream whose module is not done. Dropping the reading one cancels the call.
pub(crate) fn pumped(stream: Box<Stream>, end: Arc<CallEnd>) -> (Source, Pump) {
    let (pieces_tx, pieces) = mpsc::channel(PIECES);
    let (client_tx, client) = oneshot::channel();
    let (length, is_upgrade) = (stream.length(), stream.is_upgrade());
    let reading = Pooled {
        pieces,
        end: Arc::clone(&end),
        client: is_upgrade.then_some(client_tx),
        length,
        is_upgrade,
        is_over: false,
        ticket: None,
    };
    let client = is_upgrade.then_some(client);
    (Source::Pooled(Box::new(reading)), Pump { stream, pieces: pieces_tx, client, end })
}

impl Source {
    /// As [`Stream::is_upgrade`].
    pub fn is_upgrade(&self) -> bool {
        match self {
            Self::Here(stream) => stream.is_upgrade(),
            Self::Pooled(pooled) => pooled.is_upgrade,
        }
    }

    /// As [`Stream::length`].
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::Here(stream) => stream.length(),
            Self::Pooled(pooled) => pooled.length,
        }
    }

    /// As [`Stream::is_over`].
    pub fn is_over(&self) -> bool {
        match self {
            Self::Here(stream) => stream.is_over(),
            Self::Pooled(pooled) => pooled.is_over,
        }
    }

    /// As [`Stream::is_end`].
    pub fn is_end(&self) -> bool {
        match self {
            Self::Here(stream) => stream.is_end(),
            Self::Pooled(pooled) => pooled.is_over,
        }
    }

    /// As [`Stream::set_end`].
    pub fn set_end(&mut self, reason: DropReason) {
        match self {
            Self::Here(stream) => stream.set_end(reason),
            Self::Pooled(pooled) => pooled.end.set(reason),
        }
    }

    /// Whoever takes the stream waits for its call from now on.
    pub fn wait(&mut self, mut ticket: Ticket) {
        match self {
            // Nothing of the call is left.
            Self::Here(_) => ticket.answered(),
            Self::Pooled(pooled) => pooled.ticket = Some(ticket),
        }
    }

    /// As [`Stream::upgraded`].
    pub fn upgraded(&mut self, client: Body) {
        match self {
            Self::Here(stream) => stream.upgraded(client),
            Self::Pooled(pooled) => {
                // A module that is done already has nothing to hear.
                let _sent = pooled.client.take().map(|pool| pool.send(client));
            }
        }
    }

    /// As [`Stream::poll_frame`].
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CallFailure>>> {
        match self {
            Self::Here(stream) => stream.poll_frame(cx),
            Self::Pooled(pooled) => pooled.poll_frame(cx),
        }
    }

    /// As [`Stream::poll_on`]; on the pool the module is polled in any case.
    pub fn poll_on(&mut self, cx: &mut Context<'_>) -> Option<CallFailure> {
        match self {
            Self::Here(stream) => stream.poll_on(cx),
            Self::Pooled(_) => None,
        }
    }
}

impl Pooled {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CallFailure>>> {
        Poll::Ready(match ready!(self.pieces.poll_recv(cx)) {
            Some(Piece::Frame(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
                self.length = self.length.map(|length| length.saturating_sub(bytes));
                Some(Ok(frame))
            }
            Some(Piece::HalfClosed) => None,
            Some(Piece::Failed(failure)) => {
                self.is_over = true;
                Some(Err(failure))
            }
            None => {
                self.is_over = true;
                self.ticket.iter_mut().for_each(Ticket::answered);
                None
            }
        })
    }
}

impl Pump {
    /// Runs the call to its end, or until nobody reads any more. To be polled, and dropped, on the pool.
    pub async fn run(self) {
        let Self { mut stream, pieces, mut client, end } = self;
        // Room first: the module is no further ahead of its client than its own queue lets it be.
        while let Some((room, failure)) = room(&pieces, &mut stream, &mut client).await {
            let piece = match failure {
                Some(failure) => Piece::Failed(failure),
                None => match next(&pieces, &mut stream, &mut client).await {
                    None => break,
                    Some(Some(Ok(frame))) => Piece::Frame(frame),
                    Some(Some(Err(failure))) => Piece::Failed(failure),
                    Some(None) if stream.is_over() => break,
                    Some(None) => Piece::HalfClosed,
                },
            };
            room.send(piece);
        }
        if stream.length() == Some(0) {
            // The client has all that was promised, and is not waiting for the end; which may be there.
            poll_fn(|cx| Poll::Ready(stream.poll_frame(cx).is_ready())).await;
        }
        stream.set_end(end.reason());
    }
}

/// Waits for room for one piece; `None`: nobody reads any more. Of an upgraded connection the module goes on hearing meanwhile, and may fail.
async fn room<'p>(
    pieces: &'p mpsc::Sender<Piece>,
    stream: &mut Stream,
    client: &mut Option<oneshot::Receiver<Body>>,
) -> Option<(mpsc::Permit<'p, Piece>, Option<CallFailure>)> {
    let mut room = pin!(pieces.reserve());
    let mut failure = None;
    let permit = poll_fn(|cx| {
        hear(stream, client, cx);
        let permit = room.as_mut().poll(cx);
        if permit.is_pending() && stream.is_upgrade() && failure.is_none() {
            failure = stream.poll_on(cx);
        }
        permit
    });
    Some((permit.await.ok()?, failure))
}

/// What the stream has next; `None`: nobody reads any more.
async fn next(
    pieces: &mpsc::Sender<Piece>,
    stream: &mut Stream,
    client: &mut Option<oneshot::Receiver<Body>>,
) -> Option<Option<Result<Frame<Bytes>, CallFailure>>> {
    let mut gone = pin!(pieces.closed());
    poll_fn(|cx| {
        if gone.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        hear(stream, client, cx);
        stream.poll_frame(cx).map(Some)
    })
    .await
}

/// Has the module hear the client, once the connection was upgraded.
fn hear(stream: &mut Stream, client: &mut Option<oneshot::Receiver<Body>>, cx: &mut Context<'_>) {
    let Some(coming) = client else { return };
    if let Poll::Ready(said) = Pin::new(coming).poll(cx) {
        *client = None;
        // Else the connection was never upgraded, and whoever was to read is gone as well.
        if let Ok(said) = said {
            stream.upgraded(said);
        }
    }
}

#[cfg(test)]
mod tests;
