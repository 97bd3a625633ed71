//! The end of a connection whose client may still be sending.
//!
//! Owns that what comes after the last answer is read and thrown away for a while. A socket that is closed over bytes that nobody has read resets the
//! connection, and the client may lose an answer that it has not read yet (RFC 9112, 9.6): a 413 to an upload would be seen as a broken pipe. Must not
//! decide whether there is anything to wait for.

use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::timers::Timers;

/// How long a client may say nothing, and how long it may send in all. Apache httpd's `SECONDS_TO_LINGER` and `MAX_SECS_TO_LINGER`; nginx has 5 and 30.
const SILENCE: Duration = Duration::from_secs(2);
const IN_ALL: Duration = Duration::from_secs(30);
/// How much is thrown away at once.
const PIECE: usize = 16 * 1024;

/// Waits for the client's end of a connection of which ours is shut.
pub(super) struct Lingering {
    /// Until the client has been silent for too long, or has sent for too long.
    patience: Pin<Box<Sleep>>,
    until: Instant,
}

impl Lingering {
    pub fn new(timers: &Timers) -> Self {
        Self { patience: Box::pin(timers.sleep(SILENCE)), until: Instant::now() + IN_ALL }
    }

    /// Done when the client has ended or broken the connection, or is not waited for any longer. While the connection is `asked` to end, who goes on sending
    /// has no more time than who is silent.
    pub fn poll(&mut self, socket: &mut TcpStream, asked: bool, cx: &mut Context<'_>) -> Poll<()> {
        if asked {
            self.until = self.until.min(Instant::now() + SILENCE);
        }
        loop {
            let mut piece = [MaybeUninit::uninit(); PIECE];
            let mut piece = ReadBuf::uninit(&mut piece);
            match Pin::new(&mut *socket).poll_read(cx, &mut piece) {
                Poll::Ready(Ok(())) if !piece.filled().is_empty() => {
                    let now = Instant::now();
                    if now >= self.until {
                        return Poll::Ready(());
                    }
                    self.patience.as_mut().reset(self.until.min(now + SILENCE));
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.patience.as_mut().poll(cx),
            }
        }
    }
}
