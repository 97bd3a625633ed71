//! Which revisions ended engines, and which builds held their threads.
//!
//! Owns the rule of two: a revision that ended two engines within a minute is quarantined, until its fingerprint changes or the journal is
//! removed; after a single strike another revision, if there is one, goes first for a while. Quarantine outlives the keeper, single strikes
//! do not. That a build was demoted is the engine's finding; here it is kept for the next ones, and the next keeper. Pure; `store` reads and writes the file.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hotbay_api::Digest;
use hotbay_protocol::{CrashNote, Demoted, MAX_MESSAGE, Quarantine, Suspect, ToEngine};
use serde::{Deserialize, Serialize};

/// Two deaths this close together are no coincidence.
const WINDOW: Duration = Duration::from_secs(60);
/// How long another revision goes first after a revision's first strike; four times as long after each further one.
const HOLD_MIN: Duration = Duration::from_secs(10);
const HOLD_MAX: Duration = Duration::from_secs(3600);
/// A pool has few modules that crash; beyond that the oldest strikes are forgotten.
const MAX_STRIKES: usize = 64;
/// A pool holds at most 1,000 modules; beyond that the oldest are forgotten.
const MAX_QUARANTINED: usize = 1000;
/// Builds that are gone stay in the list until newer ones push them out; one that comes back after so many is found out again.
const MAX_DEMOTED: usize = 128;
/// Of a message: it travels in every POLICY.
const MAX_MESSAGE_CHARS: usize = 200;
// The packet's header and the message's own frame, generously.
const POLICY_FRAME_BYTES: usize = 256;

/// Quarantined revisions and demoted builds, each oldest first, and recent strikes.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Journal {
    quarantined: VecDeque<Quarantine>,
    #[serde(default)]
    demoted: VecDeque<Demoted>,
    #[serde(skip)]
    strikes: Vec<Strike>,
}

#[derive(Debug)]
struct Strike {
    suspect: Suspect,
    at: Instant,
    /// How many there were, each within the hold of the one before or a while after it.
    count: u32,
    message: String,
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
    pub fn strike(&mut self, now: Instant, suspect: &Suspect, deed: &str) -> Verdict {
        self.strikes.retain(|strike| now.duration_since(strike.at) <= strike.hold() + HOLD_MAX);
        let same = |strike: &Strike| {
            strike.suspect.key == suspect.key && strike.suspect.fingerprint == suspect.fingerprint
        };
        let before = self.strikes.iter().position(same).map(|at| self.strikes.remove(at));
        if before.as_ref().is_some_and(|before| now.duration_since(before.at) <= WINDOW) {
            return self.quarantine(suspect, &format!("{deed}; it ended two engines within a minute"));
        }
        let count = before.map_or(1, |before| before.count.saturating_add(1));
        let message = deed.chars().take(MAX_MESSAGE_CHARS).collect();
        self.strikes.push(Strike { suspect: suspect.clone(), at: now, count, message });
        if self.strikes.len() > MAX_STRIKES {
            self.strikes.remove(0);
        }
        Verdict::FirstStrike
    }

    /// How many revisions are in quarantine.
    pub fn quarantined(&self) -> usize {
        self.quarantined.len()
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

    /// Keeps in mind that a build's calls run on the pool. False if that was known.
    pub fn demote(&mut self, demoted: &Demoted) -> bool {
        if self.demoted.iter().any(|known| known.digest == demoted.digest) {
            return false;
        }
        let message = demoted.message.chars().take(MAX_MESSAGE_CHARS).collect();
        self.demoted.push_back(Demoted { message, ..demoted.clone() });
        self.bound();
        true
    }

    /// Forgets the oldest beyond the limits.
    pub fn bound(&mut self) {
        while self.demoted.len() > MAX_DEMOTED {
            self.demoted.pop_front();
        }
        while self.quarantined.len() > MAX_QUARANTINED {
            self.quarantined.pop_front();
        }
    }

    /// The POLICY for a new engine. It must fit one packet: quarantine comes first, the newest first, then recent strikes, demoted builds, and as many verified
    /// ones (the newest last in `verified`) as there is room for. A build left out is only probed once more, or found out once more.
    pub fn policy(&self, now: Instant, verified: &VecDeque<Digest>) -> ToEngine {
        let mut room = MAX_MESSAGE - POLICY_FRAME_BYTES;
        let quarantined = fill(&mut room, self.quarantined.iter().rev());
        let crashed: Vec<CrashNote> =
            self.strikes.iter().rev().filter_map(|strike| strike.note(now)).collect();
        let crashed = fill(&mut room, crashed.iter());
        let demoted = fill(&mut room, self.demoted.iter().rev());
        let verified = fill(&mut room, verified.iter().rev());
        ToEngine::Policy { quarantined, verified, crashed, demoted }
    }
}

impl Strike {
    fn hold(&self) -> Duration {
        HOLD_MIN.saturating_mul(4_u32.saturating_pow(self.count - 1)).min(HOLD_MAX)
    }

    /// What a new engine is to know of it, as long as it holds.
    fn note(&self, now: Instant) -> Option<CrashNote> {
        let left = (self.at + self.hold()).checked_duration_since(now).filter(|left| !left.is_zero())?;
        let Suspect { key, fingerprint, .. } = &self.suspect;
        Some(CrashNote {
            key: key.clone(),
            fingerprint: fingerprint.clone(),
            message: self.message.clone(),
            hold_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
        })
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
        Suspect { key, fingerprint: "0123456789abcdef".into(), digest: String::new(), slot: Some(3) }
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
        assert_eq!(journal.strike(at(121), &suspect(1), "SIGSEGV at 0x8"), Verdict::Quarantined);
        assert_eq!(journal.quarantine(&suspect(1), "again"), Verdict::Known);
        let ToEngine::Policy { quarantined, .. } = journal.policy(at(121), &VecDeque::new()) else {
            panic!("not a policy")
        };
        let message = "SIGSEGV at 0x8; it ended two engines within a minute".into();
        let Suspect { key, fingerprint, .. } = suspect(1);
        assert_eq!(quarantined, [Quarantine { key, fingerprint, message }]);
    }

    #[test]
    fn a_single_strike_is_told_for_a_while_and_longer_each_time() {
        let start = Instant::now();
        let mut journal = Journal::default();
        let mut now = start;
        for hold_secs in [10, 40, 160, 640, 2560, 3600, 3600] {
            assert_eq!(journal.strike(now, &suspect(1), "SIGSEGV at 0x8"), Verdict::FirstStrike);
            let told = |now: Instant| match journal.policy(now, &VecDeque::new()) {
                ToEngine::Policy { crashed, .. } => crashed.first().map(|note| note.hold_ms),
                other => panic!("{other:?}"),
            };
            assert_eq!(told(now), Some(hold_secs * 1000));
            assert_eq!(told(now + Duration::from_secs(hold_secs - 1)), Some(1000));
            now += Duration::from_secs(hold_secs);
            assert_eq!(told(now), None);
            now += WINDOW;
        }
    }

    #[test]
    fn the_journal_is_bounded_and_its_policy_always_fits_one_packet() {
        let mut journal = Journal::default();
        for number in 0..MAX_QUARANTINED + 5 {
            journal.quarantine(&suspect(number), &"m".repeat(500));
        }
        assert_eq!(journal.quarantined.len(), MAX_QUARANTINED);
        assert_eq!(journal.quarantined[0].key, suspect(5).key, "the oldest goes first");
        for number in 0..MAX_DEMOTED as u32 + 5 {
            let demoted = Demoted {
                key: suspect(1).key,
                digest: Digest::of(&number.to_be_bytes()),
                message: "m".repeat(500),
            };
            assert!(journal.demote(&demoted) && !journal.demote(&demoted), "once");
        }
        assert_eq!(journal.demoted.len(), MAX_DEMOTED);
        let verified = (0..2000_u32).map(|number| Digest::of(&number.to_le_bytes())).collect();
        for journal in [journal, Journal::default()] {
            let policy = journal.policy(Instant::now(), &verified);
            let bytes = serde_json::to_vec(&policy).unwrap().len();
            assert!((MAX_MESSAGE - 1024..MAX_MESSAGE - 12).contains(&bytes), "{bytes} bytes");
        }
    }
}
