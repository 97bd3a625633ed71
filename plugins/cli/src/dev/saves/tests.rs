//! Builds and saves on a real disk.

mod during;
mod outside;

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use rustix::fs::inotify::{self, CreateFlags};
use rustix::io::Errno;
use tempfile::TempDir;

use super::*;

/// Of whatever is waited for.
const DEADLINE: Duration = Duration::from_secs(60);

/// A project with a source, and a header that its build makes.
fn project() -> (TempDir, PathBuf, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let (source, made) = (home.path().join("m.c"), home.path().join("gen/time.h"));
    fs::write(&source, "1").unwrap();
    (home, source, made)
}

/// A build that makes the header's folder anew.
fn build(made: &Path, text: &str) {
    if made.exists() {
        goes_on(made);
    }
    let folder = made.parent().unwrap();
    let _not_there_yet = fs::remove_dir_all(folder);
    fs::create_dir(folder).unwrap();
    fs::write(made, text).unwrap();
}

/// Waits until the clock of the file system shows another time than that of the last writing of `file`.
fn goes_on(file: &Path) {
    let (begin, old) = (Instant::now(), fs::metadata(file).unwrap().modified().unwrap());
    while tempfile::tempfile().unwrap().metadata().unwrap().modified().unwrap()
        < old + Duration::from_millis(50)
    {
        assert!(begin.elapsed() < DEADLINE);
    }
}

/// How many builds begin before there is nothing new, each making `text` of its number.
fn builds(saves: &mut Saves, made: &Path, text: impl Fn(u32) -> String) -> u32 {
    let ends = (1..100).find(|turn| {
        build(made, &text(*turn));
        saves.settle();
        saves.waits.is_none()
    });
    let nothing_more = saves.is_touched(Some(QUIET));
    assert_eq!(nothing_more, None, "events of a build that is over begin none");
    ends.unwrap()
}

/// Waits for a save that is made in another thread, or before.
fn waited(mut saves: Saves) -> Saves {
    let (done_tx, done) = mpsc::channel();
    std::thread::spawn(move || {
        saves.wait();
        // Who gave up does not listen.
        let _ = done_tx.send(saves);
    });
    done.recv_timeout(DEADLINE).expect("the save is seen")
}

#[test]
fn a_folder_that_every_build_remakes_begins_no_build_without_end() {
    let (home, source, made) = project();
    let mut saves = Saves::of(home.path(), Watch::new());
    // The second one shows that the first has made nothing new, and the third that it is the builds that write it.
    assert_eq!(builds(&mut saves, &made, |_| "same".to_owned()), 3);
    fs::write(&source, "2").unwrap();
    saves = waited(saves);
    assert_eq!(builds(&mut saves, &made, |_| "same".to_owned()), 1);
}

#[test]
fn what_differs_in_every_build_is_known_after_some() {
    let (home, source, made) = project();
    let mut saves = Saves::of(home.path(), Watch::new());
    let first = builds(&mut saves, &made, |turn| turn.to_string());
    assert!(first > 2, "it might have been somebody's save: {first}");
    for round in 0..3 {
        fs::write(&source, format!("2 {round}")).unwrap();
        saves = waited(saves);
        assert_eq!(builds(&mut saves, &made, |turn| format!("{round} {turn}")), 1);
    }
}

#[test]
fn between_builds_a_save_that_changes_nothing_counts() {
    let (home, source, _) = project();
    let mut saves = Saves::of(home.path(), Watch::new());
    for _ in 0..3 {
        saves.settle();
        assert!(saves.waits.is_none());
        fs::write(&source, "1").unwrap();
        saves = waited(saves);
    }
}

#[test]
fn a_folder_that_is_removed_and_made_again_is_watched_again() {
    let (home, _, _) = project();
    let project = home.path().join("project");
    fs::create_dir_all(project.join("src")).unwrap();
    let mut saves = Saves::of(&project, Watch::new());
    for round in 0..3 {
        let file = project.join("src/lib.rs");
        fs::write(&file, format!("{round}")).unwrap();
        saves = waited(saves);
        saves.settle();
        fs::remove_dir_all(&project).unwrap();
        saves = waited(saves);
        assert!(!saves.watch.is_whole(), "there is nothing to watch");
        fs::create_dir_all(project.join("src")).unwrap();
        saves.settle();
        assert!(saves.watch.is_whole());
    }
}

#[test]
fn a_system_without_room_for_watches_is_looked_at_and_asked_again() {
    static HAS_ROOM: AtomicBool = AtomicBool::new(false);
    let (home, source, _) = project();
    let watch = Watch::begun_by(|| match HAS_ROOM.load(Ordering::SeqCst) {
        true => inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK),
        false => Err(Errno::MFILE),
    });
    let mut saves = Saves::of(home.path(), watch);
    assert!(!saves.watch.is_whole());
    fs::write(&source, "2").unwrap();
    saves = waited(saves);
    HAS_ROOM.store(true, Ordering::SeqCst);
    fs::write(&source, "3").unwrap();
    saves = waited(saves);
    assert!(saves.watch.is_whole(), "every look tries again");
}

#[test]
fn a_neighbour_that_joins_is_new_only_as_far_as_it_was_changed_since() {
    let (home, _, _) = project();
    let neighbour = tempfile::tempdir().unwrap();
    fs::write(neighbour.path().join("old.rs"), "1").unwrap();
    goes_on(&neighbour.path().join("old.rs"));
    let mut saves = Saves::of(home.path(), Watch::new());
    let roots = BTreeSet::from([home.path().to_owned(), neighbour.path().to_owned()]);
    saves.follow(roots, BTreeSet::new());
    saves.settle();
    assert!(saves.waits.is_none(), "the build has seen what is old");
    fs::write(neighbour.path().join("old.rs"), "2").unwrap();
    saves = waited(saves);
    saves.settle();
    assert!(saves.waits.is_none());
}

#[test]
fn only_what_may_be_a_source_is_looked_at() {
    let home = tempfile::tempdir().unwrap();
    let nested = home.path().join("other");
    for folder in [
        "src/deep",
        ".git/objects",
        "out/debug",
        "build/gen",
        "target/debug",
        "src/build",
        "src/target",
        "other/build",
    ] {
        fs::create_dir_all(home.path().join(folder)).unwrap();
    }
    fs::write(home.path().join("out/CACHEDIR.TAG"), "").unwrap();
    let mut found = BTreeSet::new();
    let roots = BTreeSet::from([home.path().to_owned(), nested]);
    Sources::look(&roots, &BTreeSet::new(), &Sources::default(), |folders| {
        found =
            folders.keys().filter_map(|path| Some(path.strip_prefix(home.path()).ok()?.to_owned())).collect();
    });
    let expected = ["", "other", "src", "src/build", "src/deep", "src/target"];
    assert_eq!(found, BTreeSet::from(expected.map(PathBuf::from)), "what is built is below a root");
    for (name, hidden) in [
        ("lib.rs", false),
        (".lib.rs.swp", true),
        ("lib.rs~", true),
        ("Cargo.lock", true),
        ("a.so", true),
        ("a.so.c", false),
    ] {
        assert_eq!(is_hidden(name), hidden, "{name}");
    }
}

#[test]
fn what_is_saved_in_a_folder_named_build_is_seen_and_what_is_built_there_is_not() {
    let (home, _, _) = project();
    for folder in ["src/build", "build"] {
        fs::create_dir_all(home.path().join(folder)).unwrap();
    }
    let mut saves = Saves::of(home.path(), Watch::new());
    fs::write(home.path().join("build/gen.c"), "1").unwrap();
    fs::write(home.path().join("target"), "1").unwrap();
    saves.settle();
    assert!(saves.waits.is_none());
    fs::write(home.path().join("src/build/mod.rs"), "1").unwrap();
    waited(saves);
}
