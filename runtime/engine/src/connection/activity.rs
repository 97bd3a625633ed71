//! What happens on a connection, and when something last did.
//!
//! Owns one word that says all of it. The connection's tasks write it and the sweep reads it, on other threads and without a lock: in one word there is no
//! order of several to get wrong, so whatever the sweep reads was true at one moment. Must not know a clock, nor what is to become of the connection.

use std::sync::atomic::{AtomicU64, Ordering};

/// The lowest bits: requests in flight. HTTP/2 has at most 200 at a time, and in one turn of its task some thousand that were given up.
const IN_FLIGHT: u64 = SENDING - 1;
/// One of them, of which the answer waits for HTTP/2's window: so many of those there are in the bits from here on.
const SENDING: u64 = 1 << 16;
/// Nothing has come yet.
const FRESH: u64 = 1 << 31;
/// HTTP/1: bytes have come since the last answer, so a head is under way.
const STIRRED: u64 = 1 << 32;
/// HTTP/1: what came last ends in the middle of something. Unless that is a body, it is a head that begins before the answer to the last one.
const AHEAD: u64 = 1 << 33;
/// It speaks HTTP/2.
const H2: u64 = 1 << 34;
/// The socket has not taken what was last written.
const STUCK: u64 = 1 << 35;
/// From here on: when something last happened. 28 bits are eight years.
const SINCE: u32 = 36;

/// The word. Times are seconds of the server's clock.
#[derive(Debug)]
pub(super) struct Activity(AtomicU64);

/// A request in flight, to be given back at its end.
#[derive(Debug)]
pub(super) struct Flight {
    has_body: bool,
    /// Whether it is counted among those that wait for the window.
    is_sent: bool,
}

/// What it said at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look(u64);

impl Activity {
    /// A connection that is there since `now`.
    pub fn new(now: u32) -> Self {
        Self(AtomicU64::new(at(now, FRESH)))
    }

    pub fn look(&self) -> Look {
        Look(self.0.load(Ordering::Relaxed))
    }

    /// It turns out to speak HTTP/2.
    pub fn speaks_h2(&self) {
        self.0.fetch_or(H2, Ordering::Relaxed);
    }

    /// `bytes` have come at `now`. A head's time runs from its first byte, however long the connection was idle before.
    pub fn stir(&self, now: u32, bytes: &[u8]) {
        let word = self.0.load(Ordering::Relaxed);
        let ahead = if word & H2 == 0 && !ends_a_head(bytes) { AHEAD } else { 0 };
        if word & STIRRED == 0 {
            self.change(|word| at(now, word & !(FRESH | AHEAD) | STIRRED | ahead));
        } else if word & AHEAD != ahead {
            self.change(|word| word & !AHEAD | ahead);
        }
    }

    /// The client has taken bytes at `now`: a slow download is no idle connection.
    pub fn wrote(&self, now: u32) {
        let look = self.look();
        if look.since() != now || look.is_stuck() {
            self.change(|word| at(now, word & !STUCK));
        }
    }

    /// The client takes nothing at `now`, and something is to be written.
    #[cold]
    pub fn stuck(&self, now: u32) {
        if !self.look().is_stuck() {
            self.change(|word| at(now, word | STUCK));
        }
    }

    /// A request is in flight.
    pub fn begin(&self, has_body: bool) -> Flight {
        self.0.fetch_add(1, Ordering::Relaxed);
        Flight { has_body, is_sent: false }
    }

    /// HTTP/2: its answer is there at `now`, and goes as the client's window lets it. A socket that takes nothing tells by itself, see [`Self::stuck`].
    pub fn send(&self, flight: &mut Flight, now: u32) {
        flight.is_sent = true;
        self.change(|word| at(now, word) + SENDING);
    }

    /// What its answer waited for the window with is taken at `now`; its handler has more to say.
    pub fn sent(&self, flight: &mut Flight, now: u32) {
        if std::mem::take(&mut flight.is_sent) {
            self.change(|word| at(now, word) - SENDING);
        }
    }

    /// One that was in flight has ended at `now`. What has come after it is a head; after a body nobody knows where that began.
    pub fn end(&self, now: u32, flight: &Flight) {
        let counted = if flight.is_sent { 1 + SENDING } else { 1 };
        let forgotten = if flight.has_body { STIRRED | AHEAD } else { STIRRED };
        self.change(|word| {
            let word = word & !forgotten;
            let stirred = if word & AHEAD > 0 { STIRRED } else { 0 };
            at(now, word | stirred) - counted
        });
    }

    fn change(&self, change: impl Fn(u64) -> u64) {
        let mut word = self.0.load(Ordering::Relaxed);
        while let Err(now) =
            self.0.compare_exchange_weak(word, change(word), Ordering::Relaxed, Ordering::Relaxed)
        {
            word = now;
        }
    }
}

/// Whether what came last ends with the empty line that ends a head. In the middle of a head there is none. Of too few bytes to tell it is believed: who is
/// taken for idle is only asked, who is taken for slow is cut.
fn ends_a_head(bytes: &[u8]) -> bool {
    matches!(bytes, [] | [b'\r'] | [.., b'\n', b'\n'] | [.., b'\n', b'\r', b'\n'] | [b'\r', b'\n'] | [b'\n'])
}

/// `word` with another time.
fn at(now: u32, word: u64) -> u64 {
    u64::from(now) << SINCE | word & ((1 << SINCE) - 1)
}

impl Look {
    pub fn since(self) -> u32 {
        (self.0 >> SINCE) as u32
    }

    pub fn is_busy(self) -> bool {
        self.0 & IN_FLIGHT > 0
    }

    /// Whether all that is in flight are answers that go as HTTP/2's window lets them. A handler that takes its time holds none of them up.
    pub fn is_only_sent(self) -> bool {
        self.is_busy() && (self.0 & (FRESH - 1)) / SENDING == self.0 & IN_FLIGHT
    }

    /// Whether the socket does not take what is to be written.
    pub fn is_stuck(self) -> bool {
        self.0 & STUCK > 0
    }

    pub fn is_fresh(self) -> bool {
        self.0 & FRESH > 0
    }

    pub fn is_h2(self) -> bool {
        self.0 & H2 > 0
    }

    /// HTTP/1: a head has begun to come, and no request is in flight yet.
    pub fn has_part_of_a_head(self) -> bool {
        !self.is_busy() && self.0 & STIRRED > 0
    }
}
