//! A connection that has left HTTP.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hotbay_abi::{EOF, PENDING, READY};

use crate::link::{Link, Side};
use crate::{Piece, Trailers, answer, host};

/// Most bytes of one write: the host keeps no more than this waiting by much.
const WRITE_MAX: usize = 64 * 1024;
/// Steps in a row before other calls of the thread get their turn.
const STEPS_A_TURN: u32 = 64;

/// Both directions of a connection that has left HTTP. Dropping it ends it; in a panic it is cut.
#[derive(Debug)]
pub struct Upgraded {
    link: Arc<Link>,
    /// What was read and not yet asked for, and how much of it was.
    rest: Option<(Piece, usize)>,
    /// Steps since the last wait.
    run: u32,
    finished: bool,
}

fn over() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the client left, or the call is over")
}

impl Upgraded {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        Self { link, rest: None, run: 0, finished: false }
    }

    /// Reads into `buffer`; 0 when the client has ended its side.
    ///
    /// # Errors
    /// When the client left, or the call is over.
    pub async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_read_into(cx, buffer)).await
    }

    /// Writes some of `data`, and says how much; waits while the client is slower.
    ///
    /// # Errors
    /// When the client left, or the call is over.
    pub async fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_write_from(cx, data)).await
    }

    /// Writes all of `data`.
    ///
    /// # Errors
    /// When the client left, or the call is over.
    pub async fn write_all(&mut self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            let count = self.write(data).await?;
            data = data.get(count..).unwrap_or_default();
        }
        Ok(())
    }

    /// Ends our side; the client may go on with its own.
    ///
    /// # Errors
    /// When the client left, or the call is over.
    pub fn finish(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.finished, true) {
            return Ok(());
        }
        if host::finish(self.link.call, &Trailers::new()) < 0 { Err(over()) } else { Ok(()) }
    }

    /// As [`read`](Self::read), for those who poll.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn poll_read_into(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let there = ready!(self.poll_there(cx)?);
        let count = there.len().min(buffer.len());
        buffer[..count].copy_from_slice(&there[..count]);
        self.consume(count);
        Poll::Ready(Ok(count))
    }

    /// What has been read and not consumed; empty when the client has ended its side.
    pub(crate) fn poll_there(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        if self.rest.is_none() {
            self.rest = ready!(self.poll_piece(cx)?).map(|piece| (piece, 0));
        }
        let there = self.rest.as_ref().and_then(|(piece, read)| piece.get(*read..));
        Poll::Ready(Ok(there.unwrap_or_default()))
    }

    pub(crate) fn consume(&mut self, count: usize) {
        if let Some((piece, read)) = &mut self.rest {
            *read += count;
            if *read >= piece.len() {
                self.rest = None;
            }
        }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Piece>>> {
        ready!(self.poll_turn(cx));
        self.link.wait(Side::Reader, cx.waker());
        match host::read(self.link.call) {
            Ok(piece) => Poll::Ready(Ok(Some(piece))),
            Err(EOF) => Poll::Ready(Ok(None)),
            Err(PENDING) => self.waits(),
            Err(_) => Poll::Ready(Err(over())),
        }
    }

    /// As [`write`](Self::write), for those who poll.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn poll_write_from(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let data = &data[..data.len().min(WRITE_MAX)];
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(self.poll_turn(cx));
        self.link.wait(Side::Writer, cx.waker());
        match answer::write_copy(self.link.call, data) {
            READY => Poll::Ready(Ok(data.len())),
            PENDING => self.waits(),
            _ => Poll::Ready(Err(over())),
        }
    }

    /// Pending once in a while, so that a busy connection holds nobody up.
    fn poll_turn(&mut self, cx: &Context<'_>) -> Poll<()> {
        self.run += 1;
        if self.run <= STEPS_A_TURN {
            return Poll::Ready(());
        }
        self.run = 0;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn waits<T>(&mut self) -> Poll<T> {
        self.run = 0;
        Poll::Pending
    }
}

impl Drop for Upgraded {
    fn drop(&mut self) {
        if std::thread::panicking() {
            host::abort(self.link.call);
        } else if !self.finished {
            host::finish(self.link.call, &Trailers::new());
        }
        self.link.close();
    }
}
