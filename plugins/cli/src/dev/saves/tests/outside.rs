//! Files that are watched by name, most of them outside the packages.

use super::*;

#[test]
fn a_file_elsewhere_is_watched_as_long_as_it_is_read_and_its_neighbours_are_not() {
    let (home, _, _) = project();
    let elsewhere = tempfile::tempdir().unwrap();
    let (words, beside) = (elsewhere.path().join("words.txt"), elsewhere.path().join("beside.txt"));
    fs::write(&words, "1").unwrap();
    let roots = BTreeSet::from([home.path().to_owned()]);
    let mut saves = Saves::of(home.path(), Watch::new());
    saves.follow(roots.clone(), BTreeSet::from([words.clone()]));
    saves.settle();
    // It may have been written a moment before the first look: then it is built once more.
    saves.settle();
    assert!(saves.waits.is_none());
    assert!(saves.watch.is_whole());
    fs::write(&beside, "2").unwrap();
    assert!(!saves.watch.drain(), "nobody reads that");
    saves.settle();
    assert!(saves.waits.is_none(), "nor builds it");
    fs::write(&words, "2").unwrap();
    saves = waited(saves);
    saves.settle();
    saves.follow(roots, BTreeSet::new());
    saves.settle();
    assert!(saves.waits.is_none(), "that it is not read any more is no change");
}

#[test]
fn what_is_known_to_be_read_is_watched_whatever_it_is_called() {
    let (home, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::create_dir(home.path().join("build")).unwrap();
    let roots = BTreeSet::from([home.path().to_owned()]);
    let of = |folder: &TempDir, names: &[&str]| -> Vec<PathBuf> {
        names.iter().map(|name| folder.path().join(name)).collect()
    };
    let mut files = of(&elsewhere, &[".env", "a.d", "b~"]);
    files.extend(of(&home, &[".env", "build/index.html"]));
    for file in &files {
        assert!(!sources::is_found(file, &roots), "{}", file.display());
        fs::write(file, "1").unwrap();
    }
    let mut saves = Saves::of(home.path(), Watch::new());
    saves.follow(roots, files.iter().cloned().collect());
    // They may have been written a moment before the first look: then they are built once more.
    saves.settle();
    saves.settle();
    assert!(saves.waits.is_none());
    for beside in of(&home, &[".swp", "build/other.html"]).into_iter().chain(of(&elsewhere, &["c", "a.o"])) {
        fs::write(&beside, "2").unwrap();
        assert!(!saves.watch.drain(), "{}", beside.display());
    }
    for file in files {
        fs::write(&file, "2").unwrap();
        saves = waited(saves);
        saves.settle();
        assert!(saves.waits.is_none(), "{}", file.display());
    }
}

#[test]
fn what_is_read_and_found_by_a_look_is_watched_once() {
    let roots = BTreeSet::from(["/ws/m", "/ws/m/other"].map(PathBuf::from));
    for (file, is_found) in [
        ("/ws/m/src/lib.rs", true),
        ("/ws/m/src/build/mod.rs", true),
        ("/ws/m/build.rs", true),
        ("/ws/m/build/mod.rs", false),
        ("/ws/m/other/build/mod.rs", false),
        ("/ws/m/.git/config", false),
        ("/ws/words.txt", false),
    ] {
        assert_eq!(sources::is_found(Path::new(file), &roots), is_found, "{file}");
    }
}

/// Waits for a save of `text` into `file`, which the next build of `project` sees.
fn mended(mut saves: Saves, project: &Project, file: &Path, text: &str) -> Saves {
    // What was written a moment before the first look would be built once more.
    saves.waits = None;
    fs::write(file, text).unwrap();
    let mut saves = waited(saves);
    saves.built(project, &Last::default());
    saves
}

#[test]
fn a_manifest_outside_that_is_wrong_is_watched_until_it_is_mended() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path().canonicalize().unwrap();
    for folder in ["ws/m/src", "dep/src"] {
        fs::create_dir_all(home.join(folder)).unwrap();
        fs::write(home.join(folder).join("lib.rs"), "").unwrap();
    }
    let (workspace, own, dep) =
        (home.join("ws/Cargo.toml"), home.join("ws/m/Cargo.toml"), home.join("dep/Cargo.toml"));
    let package =
        |name: &str| format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n");
    fs::write(&workspace, "[workspace\n").unwrap();
    fs::write(&own, package("m")).unwrap();
    fs::write(&dep, "[package\n").unwrap();
    let project = Project::open(&home.join("ws/m")).unwrap();
    let mut saves = Saves::new(&project);
    saves.built(&project, &Last::default());
    assert!(saves.manifests.is_empty(), "cargo does not know");
    saves = mended(saves, &project, &workspace, "[workspace]\nmembers = [\"m\"]\nresolver = \"3\"\n");
    assert_eq!(saves.manifests.len(), 2);
    // Another one that is wrong comes in.
    let needs = format!("{}[dependencies]\ndep = {{ path = \"../../dep\" }}\n", package("m"));
    saves = mended(saves, &project, &own, &needs);
    assert!(!saves.manifests.contains_key(&dep), "cargo does not know");
    saves = mended(saves, &project, &dep, &package("dep"));
    assert!(saves.manifests.contains_key(&dep) && saves.roots.contains(&home.join("dep")));
}

#[test]
fn a_file_outside_with_a_mistake_is_watched_before_anything_was_built() {
    let (home, _, _) = project();
    fs::write(home.path().join("Makefile"), "").unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let common = elsewhere.path().join("common.rs");
    fs::write(&common, "1").unwrap();
    let mut saves = Saves::of(home.path(), Watch::new());
    let last = Last { module: None, mistakes: BTreeSet::from([common.clone()]) };
    saves.built(&Project::open(home.path()).unwrap(), &last);
    saves.waits = None;
    fs::write(&common, "2").unwrap();
    waited(saves);
}

#[test]
fn a_file_that_a_mistake_misses_is_built_when_it_comes_and_so_is_one_in_a_folder_that_is_missing() {
    for name in ["words.txt", "not/there/words.txt"] {
        let (home, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(home.path().join("Makefile"), "").unwrap();
        let words = elsewhere.path().join(name);
        let mut saves = Saves::of(home.path(), Watch::new());
        let last = Last { module: None, mistakes: BTreeSet::from([words.clone()]) };
        let project = Project::open(home.path()).unwrap();
        saves.built(&project, &last);
        assert!(saves.waits.is_none(), "what is not there is nothing new");
        fs::create_dir_all(words.parent().unwrap()).unwrap();
        fs::write(&words, "1").unwrap();
        saves = waited(saves);
        // In time for the one that has just failed, too.
        fs::write(&words, "2").unwrap();
        saves.built(&project, &last);
        assert!(saves.waits.is_some(), "{name}");
    }
}
