//! The kit's own modules against the mock host: is each judged as it deserves?
//!
//! Owns the expectation; `cases` says what is wrong with whom. Must not touch modules itself: `check` has children for that.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;

use crate::cases::{ALL, Case, Wrong};
use crate::{Options, Rule, check};

/// Builds in a folder of its own, and checks, those cases that `choose` wants, some at a time. What comes back is a text for each that was judged otherwise
/// than it should be, and how many there were.
///
/// # Errors
/// When a case cannot be built or checked.
pub fn misjudged(program: &Path, choose: impl Fn(&Case) -> bool) -> anyhow::Result<(Vec<String>, usize)> {
    let folder = tempfile::tempdir().context("failed to make a folder for the modules")?;
    let chosen: Vec<&Case> = ALL.iter().filter(|case| choose(case)).collect();
    let left = Mutex::new(chosen.iter());
    let judged = Mutex::new(Vec::new());
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        while let Some(case) = next() {
            let one = judge(program, case, folder.path());
            judged.lock().unwrap_or_else(PoisonError::into_inner).push(one);
        }
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(work);
        }
    });
    let judged = judged.into_inner().unwrap_or_else(PoisonError::into_inner);
    let wrong = judged.into_iter().filter_map(Result::transpose).collect::<anyhow::Result<_>>()?;
    Ok((wrong, chosen.len()))
}

/// What is wrong with what is said of a case.
fn judge(program: &Path, case: &Case, folder: &Path) -> anyhow::Result<Option<String>> {
    let file = case.build(folder).with_context(|| format!("failed to build {}", case.name))?;
    let wrong = matches!(case.wrong, Wrong::Breaks(_));
    // What hangs is waited for in vain, so not long; where nothing should hang, a busy machine has its time.
    let seconds = if wrong { 1 } else { 30 };
    let options = Options {
        patience: Duration::from_secs(seconds),
        // Longer than the 10 s for which a stop may be pending.
        deadline: Duration::from_secs(15 * seconds),
        first_only: wrong,
        other_config: Some(r#"{"other": true}"#.to_owned()),
        ..Options::default()
    };
    let report = check(program, &file, &options)?;
    let (broken, remarked) = (report.broken(), report.remarked());
    let as_expected = match case.wrong {
        // A thread that answers cannot help being late when the call is dropped, nor who is not let run.
        Wrong::Nothing => {
            broken.is_empty() && remarked.iter().all(|rule| matches!(rule, Rule::AfterDrop | Rule::Returns))
        }
        Wrong::Breaks(rule) => broken == [rule],
        Wrong::Odd(rule) => broken.is_empty() && remarked.contains(&rule),
    };
    Ok((!as_expected).then(|| format!("{}: {:?}\n{report}", case.name, case.wrong)))
}
