//! Which revisions ended engines.
//!
//! Owns the rule of two: a revision that ended two engines within a minute is quarantined, until its fingerprint changes or the journal is
//! removed. Quarantine outlives the keeper, single strikes do not. Pure; `store` reads and writes the file.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hotbay_api::Digest;
use hotbay_protocol::{MAX_MESSAGE, Quarantine, Suspect, ToEngine};
use serde::{Deserialize, Serialize};

/// Two deaths this close together are no coincidence.
const WINDOW: Duration = Duration::from_secs(60);
/// A pool holds at most 1,000 modules; beyond that the oldest are forgotten.
const MAX_QUARANTINED: usize = 1000;
/// Of a message: it travels in every POLICY.
const MAX_MESSAGE_CHARS: usize = 160;
// The packet's header and the message's own frame, generously.
const POLICY_FRAME_BYTES: usize = 256;

/// Quarantined revisions, oldest first, and recent strikes.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Journal {
    quarantined: VecDeque<Quarantine>,
    #[serde(skip)]
    strikes: Vec<Strike>,
}

#[derive(Debug)]
struct Strike {
    suspect: Suspect,
    at: Instant,
}

/// What a strike came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It will be tried again.
    FirstStrike,
    /// It is in the journal now; save it.
    Quarantined,
    /// It was there before.
    Known,
}

impl Journal {
    /// Counts a death against a revision.
    pub fn strike(&mut self, now: Instant, suspect: &Suspect, message: &str) -> Verdict {
        self.strikes.retain(|strike| now.duration_since(strike.at) <= WINDOW);
        let same = |strike: &Strike| {
            strike.suspect.key == suspect.key && strike.suspect.fingerprint == suspect.fingerprint
        };
        if self.strikes.iter().any(same) {
            self.strikes.retain(|strike| !same(strike));
            return self
                .quarantine(suspect, &format!("ended two engines within a minute; the last one {message}"));
        }
        self.strikes.push(Strike { suspect: suspect.clone(), at: now });
        Verdict::FirstStrike
    }

    /// Quarantines a revision at once.
    pub fn quarantine(&mut self, suspect: &Suspect, message: &str) -> Verdict {
        let Suspect { key, fingerprint, .. } = suspect;
        if self.quarantined.iter().any(|known| known.key == *key && known.fingerprint == *fingerprint) {
            return Verdict::Known;
        }
        let message = message.chars().take(MAX_MESSAGE_CHARS).collect();
        self.quarantined.push_back(Quarantine {
            key: key.clone(),
            fingerprint: fingerprint.clone(),
            message,
        });
        self.bound();
        Verdict::Quarantined
    }

    /// Forgets the oldest beyond the limit.
    pub fn bound(&mut self) {
        while self.quarantined.len() > MAX_QUARANTINED {
            self.quarantined.pop_front();
        }
    }

    /// The POLICY for a new engine. It must fit one packet: quarantine comes first, the newest first, then as many verified builds (the newest
    /// last in `verified`) as there is room for. A build left out is only probed once more.
    pub fn policy(&self, verified: &VecDeque<Digest>) -> ToEngine {
        let mut room = MAX_MESSAGE - POLICY_FRAME_BYTES;
        let quarantined = fill(&mut room, self.quarantined.iter().rev());
        let verified = fill(&mut room, verified.iter().rev());
        ToEngine::Policy { quarantined, verified }
    }
}

/// As many of `items` as fit into `room` bytes of JSON.
fn fill<'i, T: Serialize + Clone + 'i>(room: &mut usize, items: impl Iterator<Item = &'i T>) -> Vec<T> {
    items
        .map_while(|item| {
            let bytes = serde_json::to_vec(item).map_or(usize::MAX, |json| json.len() + 1);
            *room = room.checked_sub(bytes)?;
            Some(item.clone())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use hotbay_api::EntryKey;

    use super::*;

    fn suspect(number: usize) -> Suspect {
        let key = EntryKey::new("shop", &format!("{number:x<63}")).unwrap();
        Suspect { key, fingerprint: "0123456789abcdef".into(), slot: 3 }
    }

    #[test]
    fn two_strikes_within_a_minute_quarantine_and_one_a_minute_does_not() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let mut journal = Journal::default();
        assert_eq!(journal.strike(at(0), &suspect(1), "x"), Verdict::FirstStrike);
        assert_eq!(journal.strike(at(61), &suspect(1), "x"), Verdict::FirstStrike);
        assert_eq!(journal.strike(at(62), &suspect(2), "x"), Verdict::FirstStrike);
        let changed = Suspect { fingerprint: "fedcba9876543210".into(), ..suspect(1) };
        assert_eq!(journal.strike(at(63), &changed, "x"), Verdict::FirstStrike);
        assert_eq!(journal.strike(at(121), &suspect(1), "died of SIGSEGV"), Verdict::Quarantined);
        assert_eq!(journal.quarantine(&suspect(1), "again"), Verdict::Known);
        let ToEngine::Policy { quarantined, .. } = journal.policy(&VecDeque::new()) else {
            panic!("not a policy")
        };
        let message = "ended two engines within a minute; the last one died of SIGSEGV".into();
        let Suspect { key, fingerprint, .. } = suspect(1);
        assert_eq!(quarantined, [Quarantine { key, fingerprint, message }]);
    }

    #[test]
    fn the_journal_is_bounded_and_its_policy_always_fits_one_packet() {
        let mut journal = Journal::default();
        for number in 0..MAX_QUARANTINED + 5 {
            journal.quarantine(&suspect(number), &"m".repeat(500));
        }
        assert_eq!(journal.quarantined.len(), MAX_QUARANTINED);
        assert_eq!(journal.quarantined[0].key, suspect(5).key, "the oldest goes first");
        let verified = (0..2000_u32).map(|number| Digest::of(&number.to_le_bytes())).collect();
        for journal in [journal, Journal::default()] {
            let policy = journal.policy(&verified);
            let bytes = serde_json::to_vec(&policy).unwrap().len();
            assert!((MAX_MESSAGE - 1024..MAX_MESSAGE - 12).contains(&bytes), "{bytes} bytes");
        }
    }
}
