//! What the build itself makes among the sources.
//!
//! ```text
//! changed during a build ──► built at once ... in four builds in a row? ──► calm: nobody saves ──► trial ──► calm ──► trial: changed in both? the build's own
//! ```
//! Owns when a change that was found after a build is no reason for another one. A person may save while a build runs, and a Makefile may write a header
//! with the time in it whenever it runs: both are changes during a build. The second one goes on when nobody does anything, and for ever. A change is left
//! unbuilt only when there was the same in the trial before, and nobody saved anything before either. Pure: must not know how a calm is waited for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What has changed during so many builds in a row may be made by them.
const OFTEN: u32 = 4;
/// When so many builds have begun for what changed during the one before, that may be what they make, whatever its names are.
const MANY: u32 = 6;
/// So many builds in a row that began after a calm show what builds make: what changed during the first one is built by the second.
const TRIALS: u32 = 2;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Made {
    /// What every build changes.
    products: BTreeSet<PathBuf>,
    /// How many builds have begun for what changed during the one before.
    turns: u32,
    /// What changed during the last one, and for how many in a row.
    rows: BTreeMap<PathBuf, u32>,
    /// How many of the last ones were trials, the one that is to begin included.
    trials: u32,
}

impl Made {
    /// Somebody did something to these between two builds.
    pub fn between(&mut self, touched: &BTreeSet<PathBuf>) {
        if !touched.is_empty() {
            self.products.retain(|path| !touched.contains(path));
            self.forget();
        }
    }

    /// What of all that changed during a build is to be built.
    pub fn during(&mut self, mut changed: BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
        changed.retain(|path| !self.products.contains(path));
        let rows = changed.iter().map(|path| (path.clone(), self.rows.get(path).map_or(1, |row| row + 1)));
        let rows = rows.collect();
        let before = std::mem::replace(&mut self.rows, rows);
        self.turns += 1;
        if self.trials >= TRIALS {
            self.leave_products(&mut changed);
            if self.turns > MANY {
                leave_new_names(&mut changed, &before);
            }
        }
        if changed.is_empty() {
            self.forget();
            return changed;
        }
        let is_often = changed.iter().all(|path| self.rows.get(path).is_some_and(|row| *row >= OFTEN));
        self.trials = if is_often || self.turns >= MANY { self.trials + 1 } else { 0 };
        changed
    }

    /// Whether it may be the build that makes what is to be built: the next one begins after a calm, in which nobody saves anything.
    pub fn is_doubtful(&self) -> bool {
        self.trials > 0
    }

    /// After the trials.
    fn leave_products(&mut self, changed: &mut BTreeSet<PathBuf>) {
        let is_product = |path: &PathBuf| self.rows.get(path).is_some_and(|row| *row >= OFTEN + TRIALS);
        let always: BTreeSet<PathBuf> = changed.iter().filter(|path| is_product(path)).cloned().collect();
        if !always.is_empty() {
            tracing::warn!(
                "every build changes {}; what changes there while a build runs is not built any more",
                names(&always)
            );
            changed.retain(|path| !always.contains(path));
            self.products.extend(always);
        }
    }

    fn forget(&mut self) {
        (self.turns, self.trials) = (0, 0);
        self.rows.clear();
    }
}

/// Names that are new in every build can be told from nobody's: what is left is all where `before`, in the trial before, was something, too.
fn leave_new_names(changed: &mut BTreeSet<PathBuf>, before: &BTreeMap<PathBuf, u32>) {
    fn folders<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> BTreeSet<&'a Path> {
        paths.flat_map(|path| path.ancestors().skip(1)).collect()
    }
    let (now, then) = (folders(changed.iter()), folders(before.keys()));
    let both: Vec<&Path> = now.intersection(&then).copied().collect();
    let is_deepest = |folder: &&Path| !both.iter().any(|other| other != folder && other.starts_with(folder));
    let deepest: Vec<&Path> = both.iter().copied().filter(is_deepest).collect();
    let is_left = |path: &PathBuf| deepest.iter().any(|folder| path.starts_with(folder));
    let left: BTreeSet<PathBuf> = changed.iter().filter(|path| is_left(path)).cloned().collect();
    if !left.is_empty() {
        tracing::warn!(
            "every build writes other files among the sources, such as {}; none is built for them until the next save",
            names(&left)
        );
        changed.retain(|path| !left.contains(path));
    }
}

/// The first ones, for a line.
fn names(paths: &BTreeSet<PathBuf>) -> String {
    let names: Vec<String> = paths.iter().take(3).map(|path| path.display().to_string()).collect();
    let more = if paths.len() > names.len() { " and others" } else { "" };
    format!("{}{more}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths<const N: usize>(names: [&str; N]) -> BTreeSet<PathBuf> {
        names.map(PathBuf::from).into()
    }

    /// How many builds begin for what each changes, by its number.
    fn builds(made: &mut Made, changes: impl Fn(u32) -> BTreeSet<PathBuf>) -> u32 {
        (0..100).find(|turn| made.during(changes(*turn)).is_empty()).unwrap()
    }

    /// What a build of other names in each turn changes.
    fn new_names(turn: u32) -> BTreeSet<PathBuf> {
        BTreeSet::from([PathBuf::from(format!("gen/{turn}.h"))])
    }

    #[test]
    fn what_every_build_changes_is_built_a_few_times_and_then_known() {
        let mut made = Made::default();
        let first = OFTEN + TRIALS - 1;
        assert_eq!(builds(&mut made, |_| paths(["gen/time.h"])), first);
        assert_eq!(builds(&mut made, |_| paths(["gen/time.h"])), 0, "it is known");
        assert_eq!(made.during(paths(["gen/time.h", "lib.rs"])), paths(["lib.rs"]), "others count");
        made.between(&paths(["gen/time.h"]));
        assert_eq!(builds(&mut made, |_| paths(["gen/time.h"])), first, "a person has saved it");
    }

    #[test]
    fn names_that_are_new_in_every_build_end_it_too() {
        assert_eq!(builds(&mut Made::default(), new_names), MANY + TRIALS - 1);
    }

    #[test]
    fn every_change_is_built_before_anything_is_left_and_the_last_ones_after_calms() {
        let mut made = Made::default();
        let doubts: Vec<bool> = (0..OFTEN + TRIALS - 1)
            .map(|_| {
                assert_eq!(made.during(paths(["lib.rs"])), paths(["lib.rs"]));
                made.is_doubtful()
            })
            .collect();
        assert_eq!(doubts, [false, false, false, true, true], "at once as long as it can be");
        // The last save was built by the trial, and nobody saved during that.
        assert!(made.during(BTreeSet::new()).is_empty());
        assert!(!made.is_doubtful());
        assert_eq!(made.during(paths(["lib.rs"])), paths(["lib.rs"]), "it is nobody's product");
    }

    #[test]
    fn who_saves_in_the_calms_is_no_build() {
        let mut made = Made::default();
        for _ in 0..100 {
            while !made.is_doubtful() {
                assert_eq!(made.during(paths(["lib.rs"])), paths(["lib.rs"]));
            }
            made.between(&paths(["lib.rs"]));
            assert!(!made.is_doubtful(), "it is built at once");
        }
    }

    #[test]
    fn a_save_beside_what_builds_make_is_built_at_once() {
        let mut made = Made::default();
        for _ in 0..OFTEN {
            made.during(paths(["gen/time.h"]));
        }
        assert!(made.is_doubtful());
        assert_eq!(made.during(paths(["gen/time.h", "lib.rs"])), paths(["gen/time.h", "lib.rs"]));
        assert!(!made.is_doubtful());
        let more = builds(&mut made, |_| paths(["gen/time.h"]));
        assert_eq!(more, TRIALS, "nothing is known before there were trials in a row");
    }

    #[test]
    fn a_save_in_the_very_last_build_for_new_names_is_built() {
        let mut made = Made::default();
        for turn in 0..MANY + TRIALS - 1 {
            assert!(!made.during(new_names(turn)).is_empty());
        }
        let mut changed = new_names(100);
        changed.insert(PathBuf::from("src/lib.rs"));
        assert_eq!(made.during(changed), paths(["src/lib.rs"]));
        assert!(made.during(new_names(101)).is_empty(), "and then it ends");
    }
}
