//! The module in docs/module-abi.md is one: it compiles without a warning and keeps the rules.

#![allow(clippy::unwrap_used, clippy::panic, reason = "all of it is tests")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use hotbay_conformance::{Options, check};
use hotbay_e2e::docs::page;

#[test]
fn the_module_of_the_page_keeps_the_rules() {
    let blocks = page("docs/module-abi.md");
    let [block] = &blocks.iter().filter(|block| block.is("c")).collect::<Vec<_>>()[..] else {
        panic!("the page has one module")
    };
    let folder = tempfile::tempdir().unwrap();
    let (source, file) = (folder.path().join("shout.c"), folder.path().join("shout.so"));
    std::fs::write(&source, &block.text).unwrap();
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("../include");
    for compiler in ["gcc", "clang"] {
        let mut command = Command::new(compiler);
        command.args(["-std=c11", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fPIC"]);
        command
            .args(["-fvisibility=hidden", "-shared", "-I"])
            .arg(&include)
            .arg("-o")
            .arg(&file)
            .arg(&source);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{compiler}: {}", String::from_utf8_lossy(&output.stderr));
        let patience = Duration::from_secs(30);
        let options = Options { patience, deadline: 2 * patience, ..Options::default() };
        let report = check(env!("CARGO_BIN_EXE_hotbay-conformance").as_ref(), &file, &options).unwrap();
        assert_eq!(report.broken(), [], "{compiler}\n{report}");
    }
}
