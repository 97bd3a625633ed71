//! `hotbay build --platform` and the index that `hotbay push` makes of it. Debian's cross compilers and Rust's library for arm64 are needed:
//! scripts/deps, `rustup target add aarch64-unknown-linux-gnu`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use hotbay_api::Platform;
use hotbay_artifact::ModuleFacts;

use super::Terminal;
use crate::workshop::HOTBAY;

const BOTH: [&str; 3] = ["build", "--platform", "linux/amd64,linux/arm64"];

#[tokio::test]
async fn both_platforms_are_built_pushed_as_one_index_and_told_apart() {
    let terminal = Terminal::new();
    let (success, text) = terminal.hotbay("", &["new", "greet", "--lang", "c"]).await;
    assert!(success, "{text}");
    let (success, text) = terminal.hotbay("greet", &BOTH).await;
    assert!(success && text.contains("for `hotbay push "), "{text}");
    is_for(&terminal, "linux/amd64", "linux-amd64");
    is_for(&terminal, "linux/arm64", "linux-arm64");
    // A build for another machine is not left where the next `make` finds it.
    let (success, text) = terminal.hotbay("greet", &["build"]).await;
    assert!(success && text.contains("  linux/amd64 "), "{text}");

    let environment = [("SOURCE_DATE_EPOCH", "951782400")];
    let push = ["push", "target/hotbay", "oci:layout:greet:1.0"];
    let (success, text) = terminal.types("greet", HOTBAY, &push, &environment).await;
    assert!(success && text.starts_with("oci:layout:greet:1.0@sha256:"), "{text}");
    let [amd64, arm64] = ["linux-amd64", "linux-arm64"].map(|folder| built(&terminal, folder));
    let (amd64, arm64) = (amd64.to_str().unwrap(), arm64.to_str().unwrap());
    let again = ["push", arm64, amd64, "oci:layout:greet:1.0"];
    let (_, same) = terminal.types("greet", HOTBAY, &again, &environment).await;
    assert_eq!(text, same, "the order of files changes no digest");
    let (success, text) = terminal.hotbay("greet", &["inspect", "oci:layout:greet:1.0"]).await;
    assert!(success && text.contains("linux/amd64") && text.contains("linux/arm64"), "{text}");
    let (success, text) = terminal.hotbay("greet", &["push", amd64, amd64, "oci:layout:greet:1.0"]).await;
    assert!(!success && text.contains("second build for linux/amd64"), "{text}");
}

#[tokio::test]
async fn cpp_is_built_for_both_and_this_machines_build_is_left_for_its_author() {
    let terminal = Terminal::new();
    let (success, text) = terminal.hotbay("", &["new", "greet", "--lang", "cpp"]).await;
    assert!(success, "{text}");
    let (success, text) = terminal.hotbay("greet", &BOTH).await;
    assert!(success, "{text}");
    is_for(&terminal, "linux/amd64", "linux-amd64");
    is_for(&terminal, "linux/arm64", "linux-arm64");
    let left = ModuleFacts::read(&std::fs::read(terminal.path("greet/greet.so")).unwrap()).unwrap();
    assert_eq!(left.platform, Platform::current());
}

#[tokio::test]
async fn a_package_of_cargo_is_built_for_another_machine() {
    let terminal = Terminal::new();
    let (success, text) = terminal.hotbay("", &["new", "greet"]).await;
    assert!(success, "{text}");
    // The author links by a program of theirs; by its name rustc knows how to talk to it.
    let (link, linked) = (terminal.path("own-gcc"), terminal.path("linked"));
    let script = format!("#!/bin/sh\n: > {}\nexec aarch64-linux-gnu-gcc \"$@\"\n", linked.display());
    std::fs::write(&link, script).unwrap();
    std::fs::set_permissions(&link, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::create_dir(terminal.path("greet/.cargo")).unwrap();
    let settings = format!("[target.aarch64-unknown-linux-gnu]\nlinker = \"{}\"\n", link.display());
    std::fs::write(terminal.path("greet/.cargo/config.toml"), settings).unwrap();
    let (success, text) = terminal.hotbay("greet", &["build", "--platform", "linux/arm64"]).await;
    assert!(linked.exists(), "{text}");
    assert!(success && text.contains("libgreet.so  linux/arm64 (gnu), "), "{text}");
    is_for(&terminal, "linux/arm64", "linux-arm64");

    // Who has chosen nothing gets Debian's.
    std::fs::remove_dir_all(terminal.path("greet/.cargo")).unwrap();
    std::fs::remove_file(&linked).unwrap();
    let source = terminal.path("greet/src/lib.rs");
    let text = std::fs::read_to_string(&source).unwrap();
    std::fs::write(&source, text.replacen("{who}!", "{who}?", 1)).unwrap();
    let (success, text) = terminal.hotbay("greet", &["build", "--platform", "linux/arm64"]).await;
    assert!(success && text.contains("Compiling greet") && !linked.exists(), "{text}");
    is_for(&terminal, "linux/arm64", "linux-arm64");
}

/// What was built is for that machine, and shows one symbol.
fn is_for(terminal: &Terminal, platform: &str, folder: &str) {
    let file = built(terminal, folder);
    let facts = ModuleFacts::read(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(format!("{}/{}", facts.platform.os, facts.platform.arch), platform);
    assert_eq!(facts.exports, ["hotbay_module_v1"], "{}", file.display());
}

fn built(terminal: &Terminal, folder: &str) -> PathBuf {
    let folder = terminal.path("greet/target/hotbay").join(folder);
    let mut files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let file = files.next().unwrap();
    assert_eq!(files.next(), None, "{} holds one file", folder.display());
    file
}

#[tokio::test]
async fn one_platform_that_cannot_be_built_does_not_keep_the_other_from_it() {
    let terminal = Terminal::new();
    let (success, text) = terminal.hotbay("", &["new", "greet", "--lang", "c"]).await;
    assert!(success, "{text}");
    // A machine with a compiler of its own, and no other.
    let tools = terminal.path("tools");
    std::fs::create_dir(&tools).unwrap();
    for tool in ["make", "cc", "sh", "ld", "as", "rm"] {
        std::os::unix::fs::symlink(format!("/usr/bin/{tool}"), tools.join(tool)).unwrap();
    }
    let environment = [("PATH", tools.to_str().unwrap())];
    let (success, text) = terminal.types("greet", HOTBAY, &BOTH, &environment).await;
    assert!(!success && text.contains("linux/arm64: not built: "), "{text}");
    assert!(text.contains("`apt install gcc-aarch64-linux-gnu libc6-dev-arm64-cross`"), "{text}");
    assert!(built(&terminal, "linux-amd64").is_file());
    assert!(!terminal.path("greet/target/hotbay/linux-arm64").exists());

    // What git knows goes into the annotations; what it knows of the author does not.
    let git = [
        &["init", "--quiet"][..],
        &["remote", "add", "origin", "https://ada:secret@git.example.com/team/greet.git"],
        &["add", "."],
        &["-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "first"],
    ];
    std::fs::write(terminal.path("greet/.gitignore"), "target\nlayout\n*.so\n").unwrap();
    for arguments in git {
        let (success, text) = terminal.types("greet", "git", arguments, &[]).await;
        assert!(success, "{text}");
    }
    let push = ["push", "target/hotbay", "oci:layout:greet:1.0"];
    let (_, first) = terminal.hotbay("greet", &push).await;
    let (_, second) = terminal.hotbay("greet", &push).await;
    assert_eq!(first, second, "a clean commit gives one digest");
    let digest = first.trim().rsplit("sha256:").next().unwrap();
    let manifest = std::fs::read_to_string(terminal.path("greet/layout/blobs/sha256").join(digest)).unwrap();
    let (_, commit) = terminal.types("greet", "git", &["rev-parse", "HEAD"], &[]).await;
    let annotations = serde_json::from_str::<serde_json::Value>(&manifest).unwrap()["annotations"].take();
    let annotation =
        |name: &str| annotations[format!("org.opencontainers.image.{name}")].as_str().unwrap().to_owned();
    assert_eq!(annotation("source"), "https://git.example.com/team/greet.git");
    assert_eq!(annotation("revision"), commit.trim());
    assert_eq!((annotation("title").as_str(), annotation("version").as_str()), ("greet.so", "0.1.0"));
    assert!(annotation("created").ends_with('Z') && !manifest.contains("secret"), "{manifest}");
    std::fs::write(terminal.path("greet/module.c"), "changed").unwrap();
    let (_, dirty) = terminal.hotbay("greet", &push).await;
    let digest = dirty.trim().rsplit("sha256:").next().unwrap();
    let manifest = std::fs::read_to_string(terminal.path("greet/layout/blobs/sha256").join(digest)).unwrap();
    assert!(manifest.contains(&format!("{}-dirty", commit.trim())), "{manifest}");
}
