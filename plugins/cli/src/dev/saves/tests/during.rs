//! What is saved while a build runs.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

#[test]
fn what_is_saved_while_a_build_runs_is_built_and_what_is_saved_as_it_was_only_once() {
    let (home, source, _) = project();
    let mut saves = Saves::of(home.path(), Watch::new());
    for (text, is_new) in [("2", true), ("2", true), ("2", false), ("3", true)] {
        goes_on(&source);
        fs::write(&source, text).unwrap();
        saves.settle();
        assert_eq!(saves.waits.take().is_some(), is_new, "{text}");
    }
    fs::set_permissions(&source, fs::Permissions::from_mode(0o600)).unwrap();
    saves.settle();
    assert!(saves.waits.is_none(), "that is no save");
    fs::remove_file(&source).unwrap();
    saves.settle();
    assert!(saves.waits.take().is_some(), "what is gone is a change, too");
}

/// As an author who saves once during each of five builds.
fn saved_during_five(saves: &mut Saves, source: &Path) {
    for turn in 0..5 {
        fs::write(source, format!("during {turn}")).unwrap();
        saves.settle();
        assert!(saves.waits.is_some(), "it is built: {turn}");
    }
}

#[test]
fn what_is_saved_during_every_build_is_built_at_once_until_it_may_be_the_builds() {
    let (home, source, _) = project();
    let mut saves = Saves::of(home.path(), Watch::new());
    saves.took = Duration::from_secs(3600);
    for turn in 0..3 {
        fs::write(&source, format!("during {turn}")).unwrap();
        saves.settle();
        // An hour's calm would be longer than the deadline.
        saves.took = Duration::from_secs(3600);
        saves = waited(saves);
    }
}

#[test]
fn who_saves_during_five_builds_and_then_in_the_calm_is_no_build() {
    let (home, source, _) = project();
    let mut saves = Saves::of(home.path(), Watch::new());
    saved_during_five(&mut saves, &source);
    // The calm is as long as the build, and a save ends it.
    saves.took = Duration::from_secs(3600);
    fs::write(&source, "in the calm").unwrap();
    saves = waited(saves);
    saved_during_five(&mut saves, &source);
}

#[test]
fn the_last_save_during_many_builds_is_built_after_a_calm() {
    let (home, source, _) = project();
    let mut saves = Saves::of(home.path(), Watch::new());
    saved_during_five(&mut saves, &source);
    let begin = Instant::now();
    saves = waited(saves);
    assert!(begin.elapsed() >= CALM, "that nobody saves is seen first");
    saves.settle();
    assert!(saves.waits.is_none(), "nobody saved during the last one");
    saved_during_five(&mut saves, &source);
}

#[test]
fn what_is_undone_while_a_build_runs_is_built_as_it_is_then() {
    let (home, source, _) = project();
    let mut saves = Saves::of(home.path(), Watch::new());
    goes_on(&source);
    fs::write(&source, "2").unwrap();
    // Here a compiler reads it.
    fs::write(&source, "1").unwrap();
    saves.settle();
    assert!(saves.waits.is_some(), "what was read is not what is saved now");
    saves.settle();
    assert!(saves.waits.is_none());
}

#[test]
fn who_saves_during_every_build_and_never_between_two_is_served_all_the_same() {
    let (home, source, _) = project();
    let mut saves = Saves::of(home.path(), Watch::new());
    saved_during_five(&mut saves, &source);
    saves = waited(saves);
    fs::write(&source, "the sixth").unwrap();
    saves.settle();
    assert!(saves.waits.is_none() && !saves.made.left().is_empty(), "every build seems to write it");
    saves.patience = Duration::from_millis(1);
    // Nobody saves anything any more: the build that begins has it.
    saves = waited(saves);
    saves.settle();
    assert!(saves.waits.is_none() && saves.made.left().is_empty(), "all that is saved is built");
}
