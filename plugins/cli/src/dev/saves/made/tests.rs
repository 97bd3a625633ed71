//! Builds and saves, told by what each has changed.

use super::*;

fn paths<const N: usize>(names: [&str; N]) -> BTreeSet<PathBuf> {
    names.map(PathBuf::from).into()
}

fn during(made: &mut Made, changed: BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
    made.during(changed, BTreeSet::new())
}

/// How many builds begin for what each changes, by its number.
fn builds(made: &mut Made, changes: impl Fn(u32) -> BTreeSet<PathBuf>) -> u32 {
    (0..100).find(|turn| during(made, changes(*turn)).is_empty()).unwrap()
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
    assert_eq!(during(&mut made, paths(["gen/time.h", "lib.rs"])), paths(["lib.rs"]), "others count");
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
            assert_eq!(during(&mut made, paths(["lib.rs"])), paths(["lib.rs"]));
            made.is_doubtful()
        })
        .collect();
    assert_eq!(doubts, [false, false, false, true, true], "at once as long as it can be");
    // The last save was built by the trial, and nobody saved during that.
    assert!(during(&mut made, BTreeSet::new()).is_empty());
    assert!(!made.is_doubtful());
    assert_eq!(during(&mut made, paths(["lib.rs"])), paths(["lib.rs"]), "it is nobody's product");
}

#[test]
fn who_saves_in_the_calms_is_no_build() {
    let mut made = Made::default();
    for _ in 0..100 {
        while !made.is_doubtful() {
            assert_eq!(during(&mut made, paths(["lib.rs"])), paths(["lib.rs"]));
        }
        made.between(&paths(["lib.rs"]));
        assert!(!made.is_doubtful(), "it is built at once");
    }
}

#[test]
fn a_save_beside_what_builds_make_is_built_at_once() {
    let mut made = Made::default();
    for _ in 0..OFTEN {
        during(&mut made, paths(["gen/time.h"]));
    }
    assert!(made.is_doubtful());
    assert_eq!(during(&mut made, paths(["gen/time.h", "lib.rs"])), paths(["gen/time.h", "lib.rs"]));
    assert!(!made.is_doubtful());
    let more = builds(&mut made, |_| paths(["gen/time.h"]));
    assert_eq!(more, TRIALS, "nothing is known before there were trials in a row");
}

#[test]
fn a_save_in_the_very_last_build_for_new_names_is_built() {
    let mut made = Made::default();
    for turn in 0..MANY + TRIALS - 1 {
        assert!(!during(&mut made, new_names(turn)).is_empty());
    }
    let mut changed = new_names(100);
    changed.insert(PathBuf::from("src/lib.rs"));
    assert_eq!(during(&mut made, changed), paths(["src/lib.rs"]));
    assert!(during(&mut made, new_names(101)).is_empty(), "and then it ends");
}

/// Whoever saves it during every build up to the last trial.
fn saved_in_every_build() -> Made {
    let mut made = Made::default();
    assert_eq!(builds(&mut made, |_| paths(["lib.rs"])), OFTEN + TRIALS - 1);
    assert_eq!(made.left(), &paths(["lib.rs"]), "the last save is not built yet");
    made
}

#[test]
fn a_save_that_was_taken_for_the_builds_is_built_after_a_long_calm_and_counts_again() {
    let mut made = saved_in_every_build();
    made.check();
    assert!(during(&mut made, BTreeSet::new()).is_empty());
    assert!(made.left().is_empty(), "the build has seen it, and has not changed it");
    assert_eq!(made.patience(Duration::from_secs(1)), Duration::from_secs(1));
    assert_eq!(during(&mut made, paths(["lib.rs"])), paths(["lib.rs"]), "it is nobody's product");
}

#[test]
fn what_a_check_changes_again_waits_twice_as_long() {
    let mut made = saved_in_every_build();
    for patience in [1, 2, 4, 8].map(Duration::from_secs) {
        assert_eq!(made.patience(Duration::from_secs(1)), patience);
        made.check();
        assert!(during(&mut made, paths(["lib.rs"])).is_empty());
        assert_eq!(made.left(), &paths(["lib.rs"]));
    }
    made.between(&paths(["other.rs"]));
    assert!(made.left().is_empty(), "the build of that save sees it");
    made.checks = u32::MAX;
    assert!(made.patience(Duration::from_secs(1)) >= Duration::from_secs(u32::MAX.into()));
}

#[test]
fn a_check_of_new_names_leaves_such_again_and_builds_what_else_is_saved() {
    let mut made = Made::default();
    builds(&mut made, new_names);
    for turn in 100..103 {
        assert_eq!(made.left().len(), 1);
        made.check();
        assert!(during(&mut made, new_names(turn)).is_empty());
    }
    made.check();
    let mut changed = new_names(103);
    changed.insert(PathBuf::from("src/lib.rs"));
    assert_eq!(during(&mut made, changed), paths(["src/lib.rs"]));
}

#[test]
fn what_is_as_it_was_may_have_been_something_else_meanwhile() {
    let mut made = Made::default();
    let mut rewritten = || made.during(BTreeSet::new(), paths(["lib.rs"]));
    assert_eq!(rewritten(), paths(["lib.rs"]));
    assert!(rewritten().is_empty(), "the build does that");
    assert!(rewritten().is_empty());
    made.between(&paths(["lib.rs"]));
    assert_eq!(made.during(BTreeSet::new(), paths(["lib.rs"])), paths(["lib.rs"]));
    assert!(during(&mut made, BTreeSet::new()).is_empty());
    assert_eq!(made.during(BTreeSet::new(), paths(["lib.rs"])), paths(["lib.rs"]), "and not in every one");
}
