//! Whether what was read of a file can be trusted, when only its stamp is looked at again.
//!
//! Owns the rule against "racily clean" files: the kernel's file times move in steps of up to 10 ms, so a file written, read and written again
//! within one step looks unchanged. What was read within [`SETTLE`] of a stamp's first sighting is therefore read once more. Reads no clock.

use std::time::{Duration, Instant};

use crate::folder::Stamp;

/// Twice the longest step of the kernel's file times (CONFIG_HZ=100).
pub(crate) const SETTLE: Duration = Duration::from_millis(20);

/// When a file was first seen with its present stamp, and whether it was read since.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sighting {
    stamp: Stamp,
    since: Instant,
    /// Read at least once under this stamp.
    read: bool,
    /// Read so long after the first sighting that a later change must have another stamp.
    settled: bool,
}

impl Sighting {
    pub(crate) fn first(stamp: Stamp, now: Instant) -> Self {
        Self { stamp, since: now, read: false, settled: false }
    }

    /// The sighting to go on with, now that the file has `stamp`.
    pub(crate) fn next(known: Option<&Self>, stamp: Stamp, now: Instant) -> Self {
        known.filter(|known| known.stamp == stamp).copied().unwrap_or_else(|| Self::first(stamp, now))
    }

    /// Whether the file was seen unchanged for [`SETTLE`].
    pub(crate) fn is_quiet(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= SETTLE
    }

    /// Whether the file must be read: never read like this, or read too early.
    pub(crate) fn must_read(&self, now: Instant) -> bool {
        !self.read || (!self.settled && self.is_quiet(now))
    }

    /// Notes that the file was read by the scan of `now`.
    pub(crate) fn mark_read(&mut self, now: Instant) {
        self.read = true;
        self.settled = self.is_quiet(now);
    }

    /// Whether a later scan has to read the file although nothing happens to it.
    pub(crate) fn is_settled(&self) -> bool {
        self.settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { device: 1, inode: 1, size: 1, modified_ns: 1, changed_ns: 1 };

    #[test]
    fn a_file_read_early_is_read_once_more() {
        let now = Instant::now();
        let mut sighting = Sighting::first(STAMP, now);
        assert!(sighting.must_read(now));
        sighting.mark_read(now);
        assert!(!sighting.must_read(now + SETTLE / 2), "once is enough within one step of the clock");
        assert!(sighting.must_read(now + SETTLE) && !sighting.is_settled());
        sighting.mark_read(now + SETTLE);
        assert!(!sighting.must_read(now + SETTLE * 100) && sighting.is_settled());
    }

    #[test]
    fn another_stamp_is_another_file() {
        let now = Instant::now();
        let mut sighting = Sighting::first(STAMP, now);
        sighting.mark_read(now + SETTLE);
        let same = Sighting::next(Some(&sighting), STAMP, now + SETTLE);
        assert!(!same.must_read(now + SETTLE));
        // As `touch -r` leaves it: only the change time tells.
        let touched = Stamp { changed_ns: 2, ..STAMP };
        assert!(Sighting::next(Some(&sighting), touched, now + SETTLE).must_read(now + SETTLE));
    }
}
