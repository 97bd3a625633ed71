//! What `hotbay new --lang c` and `--lang cpp` start from: it builds without a warning with both compilers, its own tests pass, only one symbol is
//! exported, and it keeps the rules.

#![allow(clippy::unwrap_used, clippy::panic, reason = "all of it is tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use hotbay_artifact::ModuleFacts;
use hotbay_conformance::{Options, check};
use tempfile::TempDir;

/// A project, as `hotbay new` makes it.
fn project(language: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::copy(here.join("../include/hotbay.h"), folder.path().join("hotbay.h")).unwrap();
    for file in fs::read_dir(here.join("../../cli/templates").join(language)).unwrap() {
        let file = file.unwrap();
        let text = fs::read_to_string(file.path()).unwrap().replace("{{name}}", "greet");
        let left =
            text.split("{{").skip(1).any(|rest| rest.starts_with(|first: char| first.is_ascii_lowercase()));
        assert!(!left, "{}: a placeholder that nobody fills", file.path().display());
        fs::write(folder.path().join(file.file_name()), text).unwrap();
    }
    folder
}

fn make(folder: &Path, arguments: &[&str]) -> String {
    let mut make = Command::new("make");
    // Of the test's own build; an author has none of it.
    make.env_remove("MAKEFLAGS").env_remove("CFLAGS").env_remove("CXXFLAGS");
    let output = make.arg("-C").arg(folder).args(arguments).output().unwrap();
    assert!(output.status.success(), "make {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn is_a_module(language: &str, compilers: &[&str]) {
    let options = Options {
        patience: Duration::from_secs(30),
        deadline: Duration::from_secs(60),
        config: r#"{"greeting": "Ahoy"}"#.to_owned(),
        ..Options::default()
    };
    for compiler in compilers {
        let folder = project(language);
        make(folder.path(), &[compiler]);
        let file: PathBuf = folder.path().join("greet.so");
        let facts = ModuleFacts::read(&fs::read(&file).unwrap()).unwrap();
        assert_eq!(facts.exports, ["hotbay_module_v1"], "{compiler}");
        assert!(!facts.static_tls && facts.needed.iter().all(|name| !name.contains("stdc++")), "{facts:?}");
        assert!(make(folder.path(), &["test", compiler]).contains("ok     the config chooses the greeting"));
        let report = check(env!("CARGO_BIN_EXE_hotbay-conformance").as_ref(), &file, &options).unwrap();
        assert_eq!((report.broken(), report.remarked()), (vec![], vec![]), "{compiler}\n{report}");
    }
}

#[test]
fn the_c_template_is_a_module() {
    is_a_module("c", &["CC=gcc", "CC=clang"]);
}

#[test]
fn the_cpp_template_is_a_module() {
    is_a_module("cpp", &["CXX=g++", "CXX=clang++"]);
}

#[test]
fn a_test_of_the_template_fails_when_the_module_does() {
    let folder = project("c");
    let source = folder.path().join("module.c");
    let broken = fs::read_to_string(&source).unwrap().replace("%s, %.*s!", "%s, %.*s?");
    fs::write(&source, broken).unwrap();
    let output = Command::new("make").arg("-C").arg(folder.path()).arg("test").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(!output.status.success() && said.contains("FAILED it greets who is named"), "{said}");
}
