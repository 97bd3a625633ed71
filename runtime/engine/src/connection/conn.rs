//! What the outside knows and wants of a connection.
//!
//! Owns the phase that a connection is asked into, the waker of its task, and the judgement when it has been silent for too long. Who asks only asks: the
//! task alone ends its connection, and reads first what has come, so that nothing that was sent before is lost to a judgement that is a moment old.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};

use super::activity::{Activity, Flight};
use super::upgraded::Upgrades;

/// A connection, as the list of them has it.
#[derive(Debug)]
pub(crate) struct Conn {
    phase: AtomicU8,
    /// Of the task that serves it.
    waker: Mutex<Option<Waker>>,
    pub(super) activity: Activity,
    /// The server's, in seconds.
    clock: Arc<AtomicU32>,
    /// Who is at the other end.
    peer: Option<SocketAddr>,
    /// Its end is to be seen as a failure.
    is_reset: AtomicBool,
    /// The last request on it had a body, of which not all may have come.
    had_body: AtomicBool,
    pub(super) upgrades: Mutex<Upgrades>,
}

/// How a connection is to go on. Only ever rises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    #[default]
    Open = 0,
    /// End with the next answer.
    Last = 1,
    /// End now if nothing has come, else with the answer.
    Idle = 2,
    /// End now.
    Cut = 3,
}

/// What the task that serves a connection knows of its phase.
#[derive(Default)]
pub(super) struct Seen {
    phase: Phase,
    /// The one that it has left.
    waker: Option<Waker>,
}

/// How many seconds a connection may be silent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Until it has sent a request's head, from the head's first byte or the connection's beginning.
    pub head: u32,
    /// Between requests.
    pub idle: u32,
    /// While the client takes nothing of an answer.
    pub answer: u32,
}

impl Conn {
    pub fn new(phase: Phase, clock: &Arc<AtomicU32>) -> Self {
        let activity = Activity::new(clock.load(Ordering::Relaxed));
        Self {
            phase: AtomicU8::new(phase as u8),
            waker: Mutex::default(),
            activity,
            clock: Arc::clone(clock),
            peer: None,
            is_reset: AtomicBool::new(false),
            had_body: AtomicBool::new(false),
            upgrades: Mutex::default(),
        }
    }

    pub fn with_peer(self, peer: SocketAddr) -> Self {
        Self { peer: Some(peer), ..self }
    }

    pub(super) fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Has the client see its end as a failure, where it would otherwise be taken for the end of what was sent.
    pub(super) fn reset(&self) {
        self.is_reset.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_reset(&self) -> bool {
        self.is_reset.load(Ordering::Relaxed)
    }

    /// A request has begun, with a body or without.
    pub(super) fn begins(&self, has_body: bool) -> Flight {
        self.had_body.store(has_body, Ordering::Relaxed);
        self.activity.begin(has_body)
    }

    /// It is to end where it is. Unless that is in a request or its answer, it is between two, and the last one has come as a whole.
    pub(super) fn is_between(&self) {
        let look = self.activity.look();
        if !look.is_busy() && !look.is_stuck() {
            self.had_body.store(false, Ordering::Relaxed);
        }
    }

    pub(super) fn had_body(&self) -> bool {
        self.had_body.load(Ordering::Relaxed)
    }

    pub(super) fn now(&self) -> u32 {
        self.clock.load(Ordering::Relaxed)
    }

    pub fn move_to(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::Relaxed);
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        // Left in place: the task says once where it is to be woken, not each time that it waits.
        waker.iter().for_each(Waker::wake_by_ref);
    }

    /// The phase, if it is further than the one seen last. Otherwise the task is woken when it is.
    pub(super) fn next_phase(&self, seen: &mut Seen, cx: &Context<'_>) -> Option<Phase> {
        if !seen.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            // First the waker, so that a change after the look wakes it.
            *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
            seen.waker = Some(cx.waker().clone());
        }
        let phase = self.phase();
        (phase > std::mem::replace(&mut seen.phase, phase)).then_some(phase)
    }

    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Open,
            1 => Phase::Last,
            2 => Phase::Idle,
            _ => Phase::Cut,
        }
    }

    /// What a connection is to be asked that has been silent for too long. One between two requests is never cut, only asked to end if nothing has come:
    /// its next request may come while this is being judged. HTTP/2 has no head to wait for; it is told to go first. A handler may take its time, whose end is
    /// its timeout; an answer that is not taken has no other end than this.
    pub fn stale(&self, now: u32, limits: Limits) -> Option<Phase> {
        let look = self.activity.look();
        let (limit, next) = match self.phase() {
            _ if look.is_stuck() || look.is_only_sent() => (limits.answer, Phase::Cut),
            _ if look.is_busy() => return None,
            Phase::Open if look.is_h2() => (limits.idle, Phase::Last),
            _ if look.is_h2() || look.has_part_of_a_head() => (limits.head, Phase::Cut),
            // It was asked and is still there: what is left to write is not taken.
            Phase::Idle | Phase::Cut => (limits.idle + limits.head, Phase::Cut),
            Phase::Open | Phase::Last if look.is_fresh() => (limits.head, Phase::Idle),
            Phase::Open | Phase::Last => (limits.idle, Phase::Idle),
        };
        (now.saturating_sub(look.since()) > limit).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { head: 30, idle: 620, answer: 60 };
    const HEAD: u32 = LIMITS.head;
    const IDLE: u32 = LIMITS.idle;
    /// A whole head, and the beginning of one.
    const WHOLE: &[u8] = b"GET / HTTP/1.1\r\n\r\n";
    const PART: &[u8] = b"GET /";

    /// A connection between two requests, of which the last ended at 0.
    fn conn(is_h2: bool) -> Conn {
        let conn = Conn::new(Phase::Open, &Arc::default());
        if is_h2 {
            conn.activity.speaks_h2();
        }
        conn.activity.stir(0, WHOLE);
        conn.activity.end(0, &conn.activity.begin(false));
        conn
    }

    /// What is asked of it at `limit`, and a second later.
    fn around(conn: &Conn, limit: u32) -> (Option<Phase>, Option<Phase>) {
        (conn.stale(limit, LIMITS), conn.stale(limit + 1, LIMITS))
    }

    #[test]
    fn between_requests_it_is_asked_and_not_cut() {
        let conn = conn(false);
        assert_eq!(around(&conn, IDLE), (None, Some(Phase::Idle)));
        conn.move_to(Phase::Idle);
        assert_eq!(around(&conn, IDLE + HEAD), (None, Some(Phase::Cut)), "it does not take what is left");
    }

    #[test]
    fn who_never_says_a_thing_has_the_time_of_a_head() {
        assert_eq!(
            around(&Conn::new(Phase::Open, &Arc::new(AtomicU32::new(100))), 100 + HEAD),
            (None, Some(Phase::Idle))
        );
    }

    #[test]
    fn a_head_has_its_time_from_its_first_byte() {
        let conn = conn(false);
        conn.activity.stir(500, PART);
        conn.activity.stir(520, PART);
        assert_eq!(around(&conn, 500 + HEAD), (None, Some(Phase::Cut)));
    }

    #[test]
    fn a_client_that_takes_bytes_is_not_idle() {
        let conn = conn(false);
        conn.activity.wrote(600);
        assert_eq!(around(&conn, 600 + IDLE), (None, Some(Phase::Idle)));
    }

    #[test]
    fn frames_are_no_head_and_an_idle_h2_connection_is_told_before_it_is_cut() {
        let conn = conn(true);
        conn.activity.stir(0, PART);
        assert_eq!(around(&conn, IDLE), (None, Some(Phase::Last)));
        conn.move_to(Phase::Last);
        conn.activity.wrote(IDLE + 1);
        assert_eq!(around(&conn, 1 + IDLE + HEAD), (None, Some(Phase::Cut)));
    }

    #[test]
    fn nothing_is_stale_while_a_request_is_in_flight() {
        for is_h2 in [false, true] {
            let conn = conn(is_h2);
            conn.activity.stir(0, WHOLE);
            let _flight = conn.activity.begin(false);
            assert_eq!(conn.stale(u32::MAX, LIMITS), None);
        }
    }

    #[test]
    fn an_answer_that_is_not_taken_has_its_time_from_the_last_byte_that_was() {
        let conn = conn(false);
        let flight = conn.activity.begin(false);
        conn.activity.stuck(100);
        conn.activity.stuck(130);
        assert_eq!(around(&conn, 100 + LIMITS.answer), (None, Some(Phase::Cut)));
        conn.activity.wrote(150);
        assert_eq!(conn.stale(u32::MAX, LIMITS), None, "it takes bytes again");
        conn.activity.stuck(150);
        assert_eq!(around(&conn, 150 + LIMITS.answer), (None, Some(Phase::Cut)), "and then no more");
        conn.activity.wrote(150);
        conn.activity.end(150, &flight);
        assert_eq!(around(&conn, 150 + IDLE), (None, Some(Phase::Idle)), "all of it was taken");
    }

    #[test]
    fn answers_wait_for_a_window_as_long_and_handlers_beside_them_longer() {
        let conn = conn(true);
        let (mut answered, mut slow) = (conn.activity.begin(false), conn.activity.begin(false));
        conn.activity.send(&mut answered, 100);
        assert_eq!(conn.stale(u32::MAX, LIMITS), None, "a handler is at work");
        conn.activity.send(&mut slow, 300);
        assert_eq!(around(&conn, 300 + LIMITS.answer), (None, Some(Phase::Cut)));
        conn.activity.end(300, &answered);
        assert_eq!(around(&conn, 300 + LIMITS.answer), (None, Some(Phase::Cut)));
        conn.activity.end(300, &slow);
        assert_eq!(around(&conn, 300 + IDLE), (None, Some(Phase::Last)));
    }

    #[test]
    fn a_stream_between_two_pieces_waits_for_its_handler_as_long_as_that_takes() {
        let conn = conn(true);
        let mut stream = conn.activity.begin(false);
        for _ in 0..2 {
            conn.activity.send(&mut stream, 100);
            assert_eq!(around(&conn, 100 + LIMITS.answer), (None, Some(Phase::Cut)), "the window is closed");
            conn.activity.sent(&mut stream, 100);
            assert_eq!(conn.stale(u32::MAX, LIMITS), None);
        }
        conn.activity.sent(&mut stream, 100);
        conn.activity.end(300, &stream);
        assert_eq!(around(&conn, 300 + IDLE), (None, Some(Phase::Last)));
    }

    #[test]
    fn a_head_that_begins_before_an_answer_is_one_after_it() {
        for (came, has_part) in [(PART, true), (WHOLE, false), (b"", false)] {
            // In one piece with the request's own head, and after it.
            for before in [None, Some(WHOLE)] {
                let conn = conn(false);
                before.iter().for_each(|before| conn.activity.stir(100, before));
                let flight = conn.activity.begin(false);
                conn.activity.stir(100, came);
                conn.activity.end(200, &flight);
                assert_eq!(conn.activity.look().has_part_of_a_head(), has_part, "{came:?} after {before:?}");
                let limit = if has_part { (HEAD, Phase::Cut) } else { (IDLE, Phase::Idle) };
                assert_eq!(around(&conn, 200 + limit.0), (None, Some(limit.1)));
            }
        }
    }

    #[test]
    fn a_body_is_no_head() {
        let conn = conn(false);
        conn.activity.stir(100, WHOLE);
        let flight = conn.activity.begin(true);
        conn.activity.stir(100, b"a body");
        conn.activity.end(200, &flight);
        assert_eq!(around(&conn, 200 + IDLE), (None, Some(Phase::Idle)));
    }

    /// What the sweep may never see: the flag of a head that has just begun with the time of long ago.
    #[test]
    fn a_head_that_begins_while_it_is_judged_is_not_cut() {
        use std::sync::atomic::AtomicBool;

        let (conn, over) = (conn(false), AtomicBool::new(false));
        let serve = || {
            for _ in 0..2_000_000 {
                conn.activity.stir(10 * IDLE, WHOLE);
                let flight = conn.activity.begin(false);
                // Long ago again, so that the next head begins after a long silence.
                conn.activity.end(0, &flight);
            }
            over.store(true, Ordering::Relaxed);
        };
        std::thread::scope(|scope| {
            scope.spawn(serve);
            while !over.load(Ordering::Relaxed) {
                assert_ne!(conn.stale(10 * IDLE, LIMITS), Some(Phase::Cut));
            }
        });
    }
}
