//! What a module has written of its answer and the client has not taken.
//!
//! Owns the limit of that, and the promise of a content-length. Must not wake, poll or wait: who changes it does, outside the slot's lock.

use std::collections::VecDeque;

use bytes::Bytes;
use http::HeaderMap;

/// Bytes that wait for a client before its module has to. A single larger piece is taken where nothing else waits.
const QUEUE: usize = 256 * 1024;

/// The pieces of a streamed answer.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pieces: VecDeque<Bytes>,
    bytes: usize,
    /// What is still owed of the content-length that was promised.
    owed: Option<u64>,
    end: End,
    /// A write was refused for want of room, and is to be woken.
    refused: bool,
    /// Whether the pieces are of another protocol than HTTP.
    pub is_upgrade: bool,
}

#[derive(Debug)]
enum End {
    Open,
    Finished(Option<HeaderMap>),
    Broken,
}

/// Whether a piece may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Yes,
    /// Not before the client has taken some.
    Full,
    /// The answer is finished, or was broken off.
    Over,
    /// More than was promised.
    TooMuch,
}

impl Outgoing {
    /// An answer that begins with `first`, which is no longer than `promised`.
    pub fn new(first: Bytes, promised: Option<u64>, is_upgrade: bool) -> Self {
        let mut outgoing = Self {
            pieces: VecDeque::new(),
            bytes: 0,
            owed: promised,
            end: End::Open,
            refused: false,
            is_upgrade,
        };
        if !first.is_empty() {
            outgoing.push(first);
        }
        outgoing
    }

    /// Whether a piece of that many bytes may be pushed. A promise that it would break is broken by that; a refusal for want of room is remembered.
    pub fn room(&mut self, length: usize) -> Room {
        if !matches!(self.end, End::Open) {
            return Room::Over;
        }
        if self.owed.is_some_and(|owed| owed < length as u64) {
            self.end = End::Broken;
            return Room::TooMuch;
        }
        self.refused = self.bytes > 0 && self.bytes + length > QUEUE;
        if self.refused { Room::Full } else { Room::Yes }
    }

    /// Adds a piece for which there is room.
    pub fn push(&mut self, piece: Bytes) {
        self.bytes += piece.len();
        self.owed = self.owed.map(|owed| owed.saturating_sub(piece.len() as u64));
        self.pieces.push_back(piece);
    }

    /// Ends it; false if it falls short of what was promised, or has ended already.
    pub fn finish(&mut self, trailers: Option<HeaderMap>) -> bool {
        let whole = matches!(self.end, End::Open) && self.owed.unwrap_or(0) == 0;
        match self.end {
            End::Open if whole => self.end = End::Finished(trailers),
            End::Open => self.end = End::Broken,
            End::Finished(_) | End::Broken => {}
        }
        whole
    }

    /// The next piece for the client. The last one of a promised length stays here until the answer is finished: with it the client would have all,
    /// and see a clean end of what may yet turn out to be broken.
    pub fn next(&mut self) -> Option<Bytes> {
        let is_held = self.owed == Some(0) && self.pieces.len() == 1 && !self.is_finished();
        if is_held || self.is_broken() {
            return None;
        }
        let piece = self.pieces.pop_front()?;
        self.bytes -= piece.len();
        Some(piece)
    }

    /// Whether a writer that was refused is to be told that there is room again; true once.
    pub fn has_room_again(&mut self) -> bool {
        // Half of it, so that a module is not woken for each piece.
        self.bytes <= QUEUE / 2 && std::mem::take(&mut self.refused)
    }

    /// Ended by its module, with a clean end.
    pub fn is_finished(&self) -> bool {
        matches!(self.end, End::Finished(_))
    }

    /// It has broken its promise: no clean end can follow.
    pub fn is_broken(&self) -> bool {
        matches!(self.end, End::Broken)
    }

    /// Nothing is left to be taken, now or later.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty() && matches!(self.end, End::Finished(None))
    }

    /// What is still to come of the promised length.
    pub fn length(&self) -> Option<u64> {
        self.owed.map(|owed| owed + self.bytes as u64)
    }

    /// The trailers, once.
    pub fn take_trailers(&mut self) -> Option<HeaderMap> {
        match &mut self.end {
            End::Finished(trailers) => trailers.take(),
            End::Open | End::Broken => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(length: usize) -> Bytes {
        Bytes::from(vec![b'x'; length])
    }

    fn write(outgoing: &mut Outgoing, length: usize) -> Room {
        let room = outgoing.room(length);
        if room == Room::Yes {
            outgoing.push(piece(length));
        }
        room
    }

    #[test]
    fn a_full_queue_refuses_and_says_once_that_it_has_room_again() {
        let mut outgoing = Outgoing::new(Bytes::new(), None, false);
        for _ in 0..4 {
            assert_eq!(write(&mut outgoing, QUEUE / 4), Room::Yes);
        }
        assert!(!outgoing.has_room_again(), "nobody was refused");
        assert_eq!(write(&mut outgoing, 1), Room::Full);
        outgoing.next().unwrap();
        assert!(!outgoing.has_room_again(), "there is too little");
        outgoing.next().unwrap();
        assert!(outgoing.has_room_again() && !outgoing.has_room_again());
        assert_eq!(write(&mut outgoing, QUEUE / 2), Room::Yes);
    }

    #[test]
    fn a_piece_larger_than_the_queue_is_taken_alone() {
        let mut outgoing = Outgoing::new(piece(1), None, false);
        assert_eq!(write(&mut outgoing, 2 * QUEUE), Room::Full);
        outgoing.next().unwrap();
        assert!(outgoing.has_room_again());
        assert_eq!(write(&mut outgoing, 2 * QUEUE), Room::Yes);
    }

    #[test]
    fn the_last_of_a_promised_length_waits_for_the_end() {
        let mut outgoing = Outgoing::new(piece(2), Some(5), false);
        assert_eq!(write(&mut outgoing, 3), Room::Yes);
        assert_eq!((outgoing.length(), outgoing.next().map(|piece| piece.len())), (Some(5), Some(2)));
        assert_eq!((outgoing.length(), outgoing.next()), (Some(3), None));
        assert!(outgoing.finish(None));
        assert_eq!(outgoing.next().map(|piece| piece.len()), Some(3));
        assert!(outgoing.is_empty());
        assert_eq!(write(&mut outgoing, 1), Room::Over);
    }

    #[test]
    fn more_or_less_than_was_promised_breaks_it() {
        let mut more = Outgoing::new(piece(5), Some(5), false);
        assert_eq!(write(&mut more, 1), Room::TooMuch);
        assert!(more.is_broken() && more.next().is_none() && !more.finish(None));
        let mut less = Outgoing::new(piece(4), Some(5), false);
        assert!(!less.finish(None) && less.is_broken() && !less.is_empty());
    }

    #[test]
    fn trailers_come_once_and_last() {
        let mut outgoing = Outgoing::new(piece(1), None, false);
        let trailers = HeaderMap::from_iter([(http::header::ETAG, http::HeaderValue::from_static("x"))]);
        assert!(outgoing.finish(Some(trailers.clone())));
        assert!(!outgoing.is_empty() && outgoing.next().is_some() && !outgoing.is_empty());
        assert_eq!((outgoing.take_trailers(), outgoing.take_trailers()), (Some(trailers), None));
        assert!(outgoing.is_empty());
    }
}
