//! How the project stands: does the newest save compile, and is it what serves?
//!
//! Owns the verdict, from what the build tool, the YAML, the control plane and the runtime say. Pure: who listens is told through a channel that others hold.

use hotbay_api::{Digest, EntryKey, EntryState, LocalReport, Trouble};

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
    /// What is wrong with the YAML; what it asked for before stays in force.
    pub yaml: Option<String>,
    /// The newest build.
    build: Option<Digest>,
    /// Whether the newest save was handed over.
    is_handed_over: bool,
}

/// Of the newest save.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Verdict {
    /// It is built and started for the first time.
    #[default]
    Building,
    /// It serves, or is about to.
    Good,
    /// It does not come to the runtime.
    Stopped(Obstacle),
    /// It comes there, and does not serve.
    Failed(Trouble),
}

/// What keeps a save from the runtime.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Obstacle {
    /// The code: it does not compile.
    Code(Said),
    /// The code, or a library: it compiles, and does not link.
    Linking(Said),
    /// Anything else of the build: a tool that is missing or was ended, a setting of the package.
    Build(String),
    /// What was built is no module, or the YAML does not say whether it is meant.
    HandOver(String),
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
    /// The newest save compiles, and was handed over. Whether it serves is said later; until then the verdict of before stays.
    pub fn built(&mut self, digest: Digest) {
        self.build = Some(digest);
        self.is_handed_over = true;
    }

    /// The newest save does not come to the runtime.
    pub fn stopped(&mut self, obstacle: Obstacle) {
        self.is_handed_over = false;
        self.set(Verdict::Stopped(obstacle));
    }

    /// What is wrong with the YAML that asks for the module; `None`: nothing is.
    pub fn read(&mut self, yaml: Option<String>) {
        if self.yaml != yaml {
            self.yaml = yaml;
            self.generation += 1;
        }
    }

    /// Whether who looks has to be told something.
    pub fn is_wrong(&self) -> bool {
        self.verdict != Verdict::Good || self.yaml.is_some()
    }

    /// The runtime, or the control plane before it, says how it stands. `own`: what is served from the project's builds. Others of its YAML are neighbours,
    /// and what is wrong with them is told in the terminal.
    pub fn told(&mut self, report: &LocalReport, own: &[Served]) -> Outcome {
        let serves =
            |state: EntryState, digest: Digest| state == EntryState::Active && Some(digest) == self.build;
        let is_own =
            |found: &EntryKey| own.iter().any(|own| matches!(own, Served::As { key, .. } if key == found));
        let entries = report.entries.iter().filter(|entry| is_own(&entry.key));
        let is_served = entries
            .clone()
            .any(|entry| entry.serving.as_ref().is_some_and(|serving| serves(entry.state, serving.digest)));
        let mut failures = entries.clone().filter_map(|entry| entry.failure.clone());
        let failure = refusal(own).or_else(|| failures.next().map(Verdict::Failed));
        let has_good = entries.clone().any(|entry| entry.serving.is_some());
        if has_good != self.has_good {
            self.has_good = has_good;
            self.generation += 1;
        }
        if !self.is_handed_over {
            return Outcome::Pending;
        }
        match failure {
            Some(verdict) => {
                self.set(verdict);
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

/// What the control plane has against it.
fn refusal(own: &[Served]) -> Option<Verdict> {
    own.iter().find_map(|own| match own {
        Served::As { refused, .. } => refused.clone().map(Verdict::Failed),
        Served::Nowhere(why) => Some(Verdict::Stopped(Obstacle::HandOver(why.clone()))),
    })
}

#[cfg(test)]
mod tests {
    use hotbay_api::{EntryKey, EntryReport, Reason, Serving};

    use super::*;

    fn own(refused: Option<Trouble>) -> [Served; 1] {
        [Served::As { key: EntryKey::new("default", "m").unwrap(), refused }]
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
        let said = Said { text: "error".into(), ..Said::default() };
        let before = standing.generation;
        let obstacle = Obstacle::Code(said);
        standing.stopped(obstacle.clone());
        assert_eq!(standing.told(&served, &own(None)), Outcome::Pending, "it is the old one that serves");
        assert_eq!(standing.verdict, Verdict::Stopped(obstacle.clone()));
        assert_eq!(standing.generation, before + 1, "pages are told");
        standing.built(Digest::of(b"2"));
        assert_eq!(standing.told(&served, &own(None)), Outcome::Pending);
        assert_eq!(standing.verdict, Verdict::Stopped(obstacle), "until the new one serves");
        let serves = report(EntryState::Active, Some(b"2"), None);
        assert_eq!(standing.told(&serves, &own(None)), Outcome::Serves);
        assert_eq!(standing.verdict, Verdict::Good);
    }

    #[test]
    fn the_first_build_is_under_way_until_it_serves_or_fails() {
        for (state, failure, is_good) in
            [(EntryState::Active, None, true), (EntryState::Failed, Some(Reason::StartFailed), false)]
        {
            let mut standing = Standing::default();
            standing.built(Digest::of(b"1"));
            assert_eq!(standing.told(&LocalReport::default(), &own(None)), Outcome::Pending);
            assert_eq!(
                (&standing.verdict, standing.generation),
                (&Verdict::Building, 0),
                "no page is told yet"
            );
            standing.told(&report(state, is_good.then_some(&b"1"[..]), failure), &own(None));
            assert_eq!(standing.verdict == Verdict::Good, is_good);
            assert!(standing.verdict != Verdict::Building && standing.generation > 0);
        }
    }

    #[test]
    fn yaml_that_is_wrong_is_told_beside_what_serves_until_it_is_mended() {
        let mut standing = Standing::default();
        standing.built(Digest::of(b"1"));
        let served = report(EntryState::Active, Some(b"1"), None);
        standing.told(&served, &own(None));
        let before = standing.generation;
        standing.read(Some("no YAML".to_owned()));
        standing.read(Some("no YAML".to_owned()));
        assert_eq!((standing.is_wrong(), standing.generation), (true, before + 1), "pages are told once");
        standing.built(Digest::of(b"2"));
        let swapped = report(EntryState::Active, Some(b"2"), None);
        assert_eq!(standing.told(&swapped, &own(None)), Outcome::Serves, "code is swapped all the same");
        assert!(standing.is_wrong());
        standing.read(None);
        assert!(!standing.is_wrong());
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
    fn a_build_whose_name_is_a_neighbours_is_told_until_it_has_one_of_its_own() {
        let mut standing = Standing::default();
        standing.built(Digest::of(b"1"));
        let neighbours = report(EntryState::Active, Some(b"other"), None);
        let lost = [Served::Nowhere("give it another name".to_owned())];
        assert_eq!(standing.told(&neighbours, &lost), Outcome::Fails);
        let expected = Verdict::Stopped(Obstacle::HandOver("give it another name".to_owned()));
        assert_eq!((&standing.verdict, standing.has_good), (&expected, false));
        assert_eq!(standing.told(&report(EntryState::Active, Some(b"1"), None), &own(None)), Outcome::Serves);
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
