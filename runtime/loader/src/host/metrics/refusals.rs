//! How often series of modules were refused.
//!
//! Owns which of it is told: a module that registers in each call would fill the log with one mistake. Must not log: it says when.

use std::collections::HashMap;

use crate::queue::Mark;

/// Builds that are remembered: more than an engine has modules. All that have no row of their own share one, and take turns there.
const MOST: usize = 4096;

/// By module and build. The reasons are few, as we have words for.
#[derive(Default)]
pub(super) struct Refusals {
    known: HashMap<Mark, Known>,
    /// All that were ever counted.
    count: u64,
}

#[derive(Default)]
struct Known {
    /// When it was refused last, by the count of all.
    last: u64,
    reasons: HashMap<&'static str, u64>,
}

impl Refusals {
    /// Counts one more; how many there were, if that is to be told: the first, the tenth, the hundredth and so on. Another build or config begins anew.
    pub fn count(&mut self, mark: Mark, reason: &'static str) -> Option<u64> {
        if self.known.len() >= MOST && !self.known.contains_key(&mark) {
            self.forget_one();
        }
        self.count += 1;
        let known = self.known.entry(mark).or_default();
        known.last = self.count;
        let count = known.reasons.entry(reason).or_default();
        *count += 1;
        10_u64.checked_pow(count.ilog10()).filter(|power| power == count)
    }

    /// Makes room: the one that was refused the longest ago is over, most likely.
    fn forget_one(&mut self) {
        let oldest = self.known.iter().min_by_key(|(_, known)| known.last).map(|(&mark, _)| mark);
        oldest.and_then(|mark| self.known.remove(&mark));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_once_and_then_each_time_that_there_are_ten_times_as_many() {
        let mut refusals = Refusals::default();
        let mark = Mark { row: 1, fingerprint: 7 };
        let mut told = |mark, reason, calls| {
            (0..calls).filter_map(|_| refusals.count(mark, reason)).collect::<Vec<u64>>()
        };
        assert_eq!(told(mark, "kind", 1234), [1, 10, 100, 1000]);
        assert_eq!(told(mark, "name", 5), [1], "another reason");
        assert_eq!(told(Mark { row: 2, ..mark }, "kind", 5), [1], "another module");
        assert_eq!(told(Mark { fingerprint: 8, ..mark }, "kind", 5), [1], "another build");
    }

    #[test]
    fn modules_that_share_a_row_and_take_turns_are_told_once_each() {
        let mut refusals = Refusals::default();
        let of = |fingerprint| Mark { row: 0, fingerprint };
        let told: Vec<u64> =
            (0..99).flat_map(|_| [1, 2].map(of)).filter_map(|mark| refusals.count(mark, "full")).collect();
        assert_eq!(told, [1, 1, 10, 10]);
    }

    #[test]
    fn the_builds_that_are_remembered_are_bounded() {
        let mut refusals = Refusals::default();
        let of = |fingerprint| Mark { row: 1, fingerprint };
        let most = MOST as u64;
        assert!((0..most).all(|fingerprint| refusals.count(of(fingerprint), "kind") == Some(1)));
        assert_eq!(refusals.count(of(0), "kind"), None, "it is the latest now");
        assert_eq!(refusals.count(of(most), "kind"), Some(1));
        assert_eq!(refusals.known.len(), MOST);
        assert_eq!([0, 2].map(|kept| refusals.count(of(kept), "kind")), [None; 2]);
        assert_eq!(refusals.count(of(1), "kind"), Some(1), "it was forgotten");
    }
}
