//! The least that a body must bring.
//!
//! Owns the rule that ends a transfer which goes on and comes to nothing: limits on the silence between two reads are met by a byte now and then,
//! and the limit on the whole is minutes.

use std::time::Duration;

use tokio::time::Instant;

use crate::fault::Fault;

/// So many bytes in each such time, or the body is given up. One that ends sooner may be as small as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The least.
    pub bytes: u64,
    /// In each time of this length.
    pub within: Duration,
}

impl Default for Pace {
    /// 16 KiB/s over half a minute: less than a hundredth of what a large module needs to come at all.
    fn default() -> Self {
        Self { bytes: 480 << 10, within: Duration::from_secs(30) }
    }
}

/// One body, measured.
#[derive(Debug)]
pub(crate) struct Paced {
    pace: Pace,
    ends: Instant,
    brought: u64,
}

impl Paced {
    pub(crate) fn new(pace: Pace, now: Instant) -> Self {
        Self { pace, ends: now + pace.within, brought: 0 }
    }

    /// When [`Paced::go_on`] is to be asked.
    pub(crate) fn ends(&self) -> Instant {
        self.ends
    }

    /// Counts what came.
    pub(crate) fn brought(&mut self, bytes: usize) {
        self.brought += bytes as u64;
    }

    /// Whether enough came since it was asked last.
    pub(crate) fn go_on(&mut self) -> Result<(), Fault> {
        let Self { pace: Pace { bytes, within }, brought, .. } = *self;
        if brought < bytes {
            let seconds = within.as_secs_f64();
            return Err(Fault::unreachable(format!(
                "it sends too slowly to wait for: {brought} bytes in {seconds} s, and less than {bytes} is given up; look at the network \
                 between, or use a registry or mirror that is nearer"
            )));
        }
        (self.ends, self.brought) = (self.ends + within, 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stretch_of_time_must_bring_its_part() {
        let pace = Pace { bytes: 100, within: Duration::from_secs(30) };
        let start = Instant::now();
        let mut paced = Paced::new(pace, start);
        for round in 1..=3 {
            assert_eq!(paced.ends(), start + round * pace.within);
            (0..10).for_each(|_| paced.brought(10));
            paced.go_on().unwrap();
        }
        paced.brought(99);
        let Fault::Unreachable(why) = paced.go_on().unwrap_err() else { panic!("it must be unreachable") };
        assert!(why.to_string().contains("99 bytes in 30 s"), "{why}");
    }
}
