//! What the build itself makes among the sources.
//!
//! ```text
//! changed during a build ──► built at once ... in four builds in a row? ──► calm: nobody saves ──► trial ──► calm ──► trial: changed in both?
//!                                     left ◄── yes ── check: changed again? ◄── a longer calm ◄── left ◄── the build's own ◄── yes ┘
//! ```
//! Owns when a change that was found after a build is no reason for another one at once. A person may save while a build runs, and a Makefile may write a
//! header with the time in it whenever it runs: both are changes during a build. The second one goes on when nobody does anything, and for ever. A change is
//! left only when there was the same in the trial before, and nobody saved anything before either. Even so it may be a person's: what is left is built, too,
//! after a calm that doubles each time the build changes it again. So no save is lost, and what builds make is built ever more rarely.
//! Pure: must not know how a calm is waited for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

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
    /// What builds write anew as it was.
    remade: BTreeSet<PathBuf>,
    /// What was written as it was during the last build, and is to be built for that alone.
    again: BTreeSet<PathBuf>,
    /// What changed during the last build and is not built yet.
    left: BTreeSet<PathBuf>,
    /// What was left when the build that runs was begun, if it was begun for that.
    checked: BTreeSet<PathBuf>,
    /// How many checks in a row have found the same again.
    checks: u32,
}

impl Made {
    /// Somebody did something to these between two builds. The next one begins now, and sees all that was left.
    pub fn between(&mut self, touched: &BTreeSet<PathBuf>) {
        if !touched.is_empty() {
            self.products.retain(|path| !touched.contains(path));
            self.remade.retain(|path| !touched.contains(path));
            self.left.clear();
            self.forget();
        }
    }

    /// What of all that changed during a build is to be built, and what of all that was `rewritten` as it was.
    pub fn during(
        &mut self,
        mut changed: BTreeSet<PathBuf>,
        rewritten: BTreeSet<PathBuf>,
    ) -> BTreeSet<PathBuf> {
        let all = changed.clone();
        let is_check = self.end_check(&mut changed);
        let again = self.doubtful_content(rewritten, &all);
        let rows = changed.iter().map(|path| (path.clone(), self.rows.get(path).map_or(1, |row| row + 1)));
        let rows = rows.collect();
        let before = std::mem::replace(&mut self.rows, rows);
        self.turns += 1;
        if self.trials >= TRIALS {
            self.leave_products(&mut changed);
            if self.turns > MANY {
                let left = leave_new_names(&mut changed, before.keys());
                tell_new_names(&left);
            }
        }
        self.left = all.difference(&changed).cloned().collect();
        if is_check && self.left.is_empty() {
            self.checks = 0;
        }
        if changed.is_empty() {
            self.forget();
            return again;
        }
        let is_often = changed.iter().all(|path| self.rows.get(path).is_some_and(|row| *row >= OFTEN));
        self.trials = if is_often || self.turns >= MANY { self.trials + 1 } else { 0 };
        changed.extend(again);
        changed
    }

    /// What was left of the last build, and is built by the next one, at the latest after [`Made::patience`].
    pub fn left(&self) -> &BTreeSet<PathBuf> {
        &self.left
    }

    /// How long a calm is waited for before what was left is built; `first`: the first time.
    pub fn patience(&self, first: Duration) -> Duration {
        first.saturating_mul(2_u32.saturating_pow(self.checks))
    }

    /// The next build begins for what was left: nobody has saved anything.
    pub fn check(&mut self) {
        self.checked = std::mem::take(&mut self.left);
        self.checks = self.checks.saturating_add(1);
    }

    /// Leaves what the builds make, as far as it is known; whether this one was to show that. What it has not changed is no build's.
    fn end_check(&mut self, changed: &mut BTreeSet<PathBuf>) -> bool {
        let checked = std::mem::take(&mut self.checked);
        let new_names: Vec<&PathBuf> = checked.iter().filter(|path| !self.products.contains(*path)).collect();
        let is_same = |path: &PathBuf| !checked.contains(path) || changed.contains(path);
        self.products.retain(is_same);
        changed.retain(|path| !self.products.contains(path));
        leave_new_names(changed, new_names.into_iter());
        !checked.is_empty()
    }

    /// What was written during the build and is as it was before may have been something else meanwhile, which the build has read: it is built again. Where the
    /// next build writes it, too, it is the builds that do.
    fn doubtful_content(
        &mut self,
        mut rewritten: BTreeSet<PathBuf>,
        changed: &BTreeSet<PathBuf>,
    ) -> BTreeSet<PathBuf> {
        self.remade.retain(|path| !changed.contains(path));
        let before = std::mem::take(&mut self.again);
        self.remade.extend(rewritten.intersection(&before).cloned());
        rewritten.retain(|path| !self.remade.contains(path) && !self.products.contains(path));
        self.again.clone_from(&rewritten);
        rewritten
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
                "every build changes {}; what changes there while a build runs waits for a longer pause",
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

/// Names that are new in every build can be told from nobody's: what is left is all where something was `before`, too. Which that is.
fn leave_new_names<'a>(
    changed: &mut BTreeSet<PathBuf>,
    before: impl Iterator<Item = &'a PathBuf>,
) -> BTreeSet<PathBuf> {
    fn folders<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> BTreeSet<&'a Path> {
        paths.flat_map(|path| path.ancestors().skip(1)).collect()
    }
    let (now, then) = (folders(changed.iter()), folders(before));
    let both: Vec<&Path> = now.intersection(&then).copied().collect();
    let is_deepest = |folder: &&Path| !both.iter().any(|other| other != folder && other.starts_with(folder));
    let deepest: Vec<&Path> = both.iter().copied().filter(is_deepest).collect();
    let is_left = |path: &PathBuf| deepest.iter().any(|folder| path.starts_with(folder));
    let left: BTreeSet<PathBuf> = changed.iter().filter(|path| is_left(path)).cloned().collect();
    changed.retain(|path| !left.contains(path));
    left
}

fn tell_new_names(left: &BTreeSet<PathBuf>) {
    if !left.is_empty() {
        tracing::warn!(
            "every build writes other files among the sources, such as {}; what is written there while a build runs waits for the next save, or for a longer pause",
            names(left)
        );
    }
}

/// The first ones, for a line.
fn names(paths: &BTreeSet<PathBuf>) -> String {
    let names: Vec<String> = paths.iter().take(3).map(|path| path.display().to_string()).collect();
    let more = if paths.len() > names.len() { " and others" } else { "" };
    format!("{}{more}", names.join(", "))
}

#[cfg(test)]
mod tests;
