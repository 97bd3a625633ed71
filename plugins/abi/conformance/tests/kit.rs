//! Every C module of the kit against the mock host: what is right keeps the rules, and what is wrong is caught by the rule that it breaks.

#![allow(clippy::unwrap_used, clippy::panic, reason = "all of it is tests")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use hotbay_conformance::cases::{self, Case, Wrong};
use hotbay_conformance::{Options, Report, Rule, check, kit};
use hotbay_e2e::modules;

const PROGRAM: &str = env!("CARGO_BIN_EXE_hotbay-conformance");

fn checked(file: &Path, options: &Options) -> Report {
    check(PROGRAM.as_ref(), file, options).unwrap()
}

#[test]
fn every_case_is_judged_by_the_rule_that_it_is_about() {
    let (wrong, all) = kit::misjudged(PROGRAM.as_ref(), |_| true).unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert_eq!(all, cases::ALL.len());
}

#[test]
fn every_rule_has_a_case_that_breaks_it_or_is_odd() {
    for rule in Rule::ALL {
        // A file that the dynamic linker refuses is made below.
        let has = |case: &&Case| matches!(case.wrong, Wrong::Breaks(is) | Wrong::Odd(is) if is == *rule);
        assert!(*rule == Rule::Loads || cases::ALL.iter().any(|case| has(&case)), "{}", rule.id());
    }
}

#[test]
fn a_file_that_the_linker_refuses_breaks_a_rule() {
    let folder = tempfile::tempdir().unwrap();
    let (source, file) = (folder.path().join("undefined.c"), folder.path().join("undefined.so"));
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("../include");
    let text = "#include \"hotbay.h\"\nHB_MODULE_NOTES(HB_JSON({\"manifest\":1,\"name\":\"u\",\"version\":\"1\",\
                \"handlers\":[{\"name\":\"h\",\"path\":\"/\"}]}));\nextern const hb_module *nowhere(void);\n\
                const hb_module *hotbay_module_v1(const hb_host *host) { (void)host; return nowhere(); }\n";
    std::fs::write(&source, text).unwrap();
    let mut compiler = Command::new("cc");
    compiler
        .args(["-shared", "-fPIC", "-fvisibility=hidden", "-I"])
        .arg(include)
        .arg("-o")
        .arg(&file)
        .arg(&source);
    assert!(compiler.status().unwrap().success());
    let report = checked(&file, &Options { first_only: true, ..Options::default() });
    assert_eq!(report.broken(), [Rule::Loads], "{report}");
    assert!(report.to_string().contains("nowhere"), "{report}");
}

#[test]
fn the_rust_sdk_keeps_the_rules() {
    for file in [modules::hello("1.0"), modules::echo(), modules::router(), modules::guestbook()] {
        let patience = Duration::from_secs(60);
        let report = checked(&file, &Options { patience, deadline: 2 * patience, ..Options::default() });
        assert_eq!(report.broken(), [], "{}\n{report}", file.display());
    }
}

#[test]
fn the_command_says_what_is_wrong_and_its_exit_code_too() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str| {
        let file: PathBuf = Case::named(name).unwrap().build(folder.path()).unwrap();
        Command::new(PROGRAM).arg(file).args(["--scenario", "plain"]).output().unwrap()
    };
    let wrong = run("responds_twice");
    let text = String::from_utf8(wrong.stdout).unwrap();
    assert!(text.contains("BREAKS rules, in 1 scenarios"), "{text}");
    assert!(text.contains("plain: respond was called for a call that was answered already"), "{text}");
    assert_eq!((wrong.status.code(), run("answers_at_once").status.code()), (Some(1), Some(0)));
}

#[test]
fn what_cannot_be_tried_is_no_breach_of_a_rule() {
    let output = Command::new(PROGRAM).arg("/nowhere/module.so").env("RUST_BACKTRACE", "1").output().unwrap();
    let words = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{words}");
    assert!(words.starts_with("hotbay-conformance: failed to read /nowhere/module.so: "), "{words}");
    assert_eq!(words.lines().count(), 1, "{words}");
}
