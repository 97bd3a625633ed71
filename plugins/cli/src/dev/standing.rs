//! How the project stands: does the newest save compile, and is it what serves?
//!
//! Owns the verdict, from what the build tool, the control plane and the runtime say. Pure: who listens is told through a channel that others hold.

use hotbay_api::{Digest, EntryState, LocalReport, Trouble};

use crate::project::Said;
use crate::run::Served;

/// How the project stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Standing {
    /// Rises with every change that a page would show.
    pub generation: u64,
    /// Of the newest save.
    pub verdict: Verdict,
    /// Whether there is something that goes on serving meanwhile.
    pub has_good: bool,
    /// The newest build.
    build: Option<Digest>,
    /// Whether the newest save compiles.
    compiles: bool,
}

/// Of the newest save.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Verdict {
    /// It is built for the first time.
    #[default]
    Building,
    /// It serves, or is about to.
    Good,
    /// It does not compile.
    Refused(Said),
    /// It compiles, and does not serve.
    Failed(Trouble),
}

/// What has come of the newest build.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    /// Neither is known yet.
    Pending,
    Serves,
    Fails,
}

impl Standing {
    /// The newest save compiles. Whether it serves is said later; until then what was wrong before stays.
    pub fn built(&mut self, digest: Digest) {
        self.build = Some(digest);
        self.compiles = true;
        if matches!(self.verdict, Verdict::Building) {
            self.set(Verdict::Good);
        }
    }

    /// The newest save does not compile.
    pub fn refused(&mut self, said: Said) {
        self.compiles = false;
        self.set(Verdict::Refused(said));
    }

    /// The runtime, or the control plane before it, says how it stands. `own`: what is served from the project's builds. Others of its YAML are neighbours,
    /// and what is wrong with them is told in the terminal.
    pub fn told(&mut self, report: &LocalReport, own: &[Served]) -> Outcome {
        let serves =
            |state: EntryState, digest: Digest| state == EntryState::Active && Some(digest) == self.build;
        let entries = report.entries.iter().filter(|entry| own.iter().any(|own| own.key == entry.key));
        let is_served = entries
            .clone()
            .any(|entry| entry.serving.as_ref().is_some_and(|serving| serves(entry.state, serving.digest)));
        let refused = own.iter().find_map(|own| own.refused.as_ref());
        let failure = refused.or_else(|| entries.clone().find_map(|entry| entry.failure.as_ref()));
        let has_good = entries.clone().any(|entry| entry.serving.is_some());
        if has_good != self.has_good {
            self.has_good = has_good;
            self.generation += 1;
        }
        if !self.compiles {
            return Outcome::Pending;
        }
        match failure {
            Some(trouble) => {
                self.set(Verdict::Failed(trouble.clone()));
                Outcome::Fails
            }
            None if is_served => {
                self.set(Verdict::Good);
                Outcome::Serves
            }
            None => Outcome::Pending,
        }
    }

    fn set(&mut self, verdict: Verdict) {
        if self.verdict != verdict {
            self.verdict = verdict;
            self.generation += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use hotbay_api::{EntryKey, EntryReport, Reason, Serving};

    use super::*;

    fn own(refused: Option<Trouble>) -> [Served; 1] {
        [Served { key: EntryKey::new("default", "m").unwrap(), refused }]
    }

    fn report(state: EntryState, serving: Option<&[u8]>, failure: Option<Reason>) -> LocalReport {
        let serving = serving.map(|bytes| Serving {
            revision: "1".into(),
            digest: Digest::of(bytes),
            fingerprint: String::new(),
        });
        let entry = EntryReport {
            key: EntryKey::new("default", "m").unwrap(),
            sequence: None,
            state,
            wanted: "1".into(),
            serving,
            failure: failure.map(|reason| Trouble { reason, message: "no".into() }),
            notice: None,
        };
        LocalReport { entries: vec![entry], ..LocalReport::default() }
    }

    #[test]
    fn a_save_that_does_not_compile_is_told_until_one_serves() {
        let mut standing = Standing::default();
        standing.built(Digest::of(b"1"));
        let served = report(EntryState::Active, Some(b"1"), None);
        assert_eq!(standing.told(&served, &own(None)), Outcome::Serves);
        assert!(standing.has_good);
        let said = Said { text: "error".into(), place: None };
        let before = standing.generation;
        standing.refused(said.clone());
        assert_eq!(standing.told(&served, &own(None)), Outcome::Pending, "it is the old one that serves");
        assert_eq!(standing.verdict, Verdict::Refused(said.clone()));
        assert_eq!(standing.generation, before + 1, "pages are told");
        standing.built(Digest::of(b"2"));
        assert_eq!(standing.told(&served, &own(None)), Outcome::Pending);
        assert_eq!(standing.verdict, Verdict::Refused(said), "until the new one serves");
        let serves = report(EntryState::Active, Some(b"2"), None);
        assert_eq!(standing.told(&serves, &own(None)), Outcome::Serves);
        assert_eq!(standing.verdict, Verdict::Good);
    }

    #[test]
    fn what_compiles_may_be_refused_by_plane_or_runtime() {
        let mut standing = Standing::default();
        standing.built(Digest::of(b"1"));
        let refused = Trouble { reason: Reason::ConfigRejected, message: "no".into() };
        let own_refused = own(Some(refused.clone()));
        assert_eq!(standing.told(&LocalReport::default(), &own_refused), Outcome::Fails);
        assert_eq!(standing.verdict, Verdict::Failed(refused));
        assert!(!standing.has_good);
        let failed = report(EntryState::Failed, None, Some(Reason::StartFailed));
        assert_eq!(standing.told(&failed, &own(None)), Outcome::Fails);
        assert!(
            matches!(&standing.verdict, Verdict::Failed(trouble) if trouble.reason == Reason::StartFailed)
        );
    }

    #[test]
    fn what_is_wrong_with_a_neighbour_is_no_verdict_of_the_save() {
        let mut standing = Standing::default();
        standing.built(Digest::of(b"1"));
        let mut both = report(EntryState::Failed, Some(b"other"), Some(Reason::StartFailed));
        both.entries[0].key = EntryKey::new("default", "neighbour").unwrap();
        assert_eq!(standing.told(&both, &own(None)), Outcome::Pending);
        assert!(!standing.has_good, "what a neighbour serves is not this module");
        both.entries.extend(report(EntryState::Active, Some(b"1"), None).entries);
        assert_eq!(standing.told(&both, &own(None)), Outcome::Serves);
        assert_eq!(standing.verdict, Verdict::Good);
    }
}
