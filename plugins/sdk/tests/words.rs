//! What authors are told when what they wrote cannot be: each file in `words/` is a module with one mistake, and begins with what the compiler must say.
//!
//! `//! says: …` must stand in what it prints, `//! never: …` must not, and `//! compiles` means that it must not complain at all.

#![allow(clippy::unwrap_used, clippy::panic, reason = "all of it is tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/words")
}

/// A project whose examples are the cases. Its target folder is kept, so that what it depends on is built once.
fn project() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("words");
    let _absent = fs::remove_dir_all(folder.join("examples"));
    fs::create_dir_all(folder.join("examples")).unwrap();
    fs::create_dir_all(folder.join("src")).unwrap();
    fs::write(folder.join("src/lib.rs"), "").unwrap();
    let manifest = format!(
        "[package]\nname = \"words\"\nedition = \"2024\"\n[workspace]\n[dependencies]\nhotbay-sdk = {{ path = {:?} }}\n\
         serde = {{ version = \"1\", features = [\"derive\"] }}\n",
        env!("CARGO_MANIFEST_DIR")
    );
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    // The same versions as here, so that nothing has to be fetched.
    fs::copy(here().join("../../../../Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    for case in fs::read_dir(here()).unwrap().map(|case| case.unwrap().path()) {
        fs::copy(&case, folder.join("examples").join(case.file_name().unwrap())).unwrap();
    }
    folder
}

/// What the compiler says of each example that it complains about.
fn complaints() -> BTreeMap<String, String> {
    let folder = project();
    let output = Command::new(env!("CARGO"))
        .args(["check", "--quiet", "--examples", "--keep-going", "--message-format=json", "--target-dir"])
        .arg(folder.join("target"))
        .current_dir(&folder)
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("CARGO_BUILD_BUILD_DIR")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let mut said = BTreeMap::<String, String>::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        if let (Some(name), Some(words)) =
            (line["target"]["name"].as_str(), line["message"]["rendered"].as_str())
        {
            said.entry(name.to_owned()).or_default().push_str(words);
        }
    }
    assert!(!said.is_empty(), "cargo: {}", String::from_utf8_lossy(&output.stderr));
    said
}

#[test]
fn mistakes_are_told_in_the_words_of_authors() {
    let said = complaints();
    let mut cases = 0;
    for case in fs::read_dir(here()).unwrap().map(|case| case.unwrap().path()) {
        let name = case.file_stem().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&case).unwrap();
        let words = said.get(name).map(String::as_str).unwrap_or_default();
        if text.starts_with("//! compiles") {
            assert_eq!(words, "", "{name}");
        }
        let all = |key| text.lines().filter_map(move |line| line.strip_prefix(key));
        let expected: Vec<&str> = all("//! says: ").collect();
        assert!(text.starts_with("//! compiles") || !expected.is_empty(), "{name} expects nothing");
        for expected in expected {
            assert!(words.contains(expected), "{name} must say {expected:?}, and says:\n{words}");
        }
        for never in all("//! never: ").chain(["__hotbay", "__Hotbay"]) {
            assert!(!words.contains(never), "{name} must not say {never:?}, and says:\n{words}");
        }
        cases += 1;
    }
    assert!(cases > 5, "{cases} cases");
}
