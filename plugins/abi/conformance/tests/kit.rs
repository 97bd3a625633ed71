//! Every C module of the kit against the mock host: what is right keeps the rules, and what is wrong is caught by the rule that it breaks.

#![allow(clippy::unwrap_used, clippy::panic, reason = "all of it is tests")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use hotbay_conformance::cases::{self, Case, Wrong};
use hotbay_conformance::{Options, Report, Rule, check, kit};
use hotbay_e2e::modules;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

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
fn what_takes_longer_than_the_header_allows_is_told_with_its_limit_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        ("create_takes_too_long", "create took ", "HB_PENDING, and wake the instance"),
        ("stop_hangs", "stop had not returned when the 10s of the scenario were over", "then it has 10s"),
    ];
    for (name, words, what_to_do) in cases {
        let file = Case::named(name).unwrap().build(folder.path()).unwrap();
        let deadline = Duration::from_secs(if name == "stop_hangs" { 10 } else { 60 });
        let scenarios = vec!["life".to_owned()];
        let report = checked(&file, &Options { scenarios, deadline, ..Options::default() });
        assert_eq!((report.broken(), report.findings.len()), (vec![Rule::Returns], 1), "{report}");
        let said = &report.findings[0].1.words;
        let hook = name.split('_').next().unwrap();
        let all = [words, &format!("the header gives {hook} 3s"), what_to_do];
        assert!(all.iter().all(|words| said.contains(words)), "{said}");
    }
}

#[test]
fn a_stop_that_waits_for_a_far_timer_is_pending_for_too_long() {
    let folder = tempfile::tempdir().unwrap();
    let file = Case::named("stop_rings_too_late").unwrap().build(folder.path()).unwrap();
    let report = checked(&file, &Options { scenarios: vec!["life".to_owned()], ..Options::default() });
    assert_eq!((report.broken(), report.findings.len()), (vec![Rule::Stop], 1), "{report}");
    let said = &report.findings[0].1.words;
    assert_eq!(said, "stop is pending for longer than the 10s that the header gives it");
}

#[test]
fn what_is_wrong_with_notes_and_table_is_told_by_name_and_number() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        ("name_of_eight_bytes", Rule::Notes, "a note has name_size 8; the header has 7"),
        ("other_flags_in_note", Rule::Table, "its flags are 0x1 and those of the ABI note 0x0"),
        ("null_function", Rule::Table, "NULL stands where a function is required: poll"),
        ("other_handlers", Rule::Table, "n_handlers is 2 and its manifest has 1"),
    ];
    for (name, rule, words) in cases {
        let file = Case::named(name).unwrap().build(folder.path()).unwrap();
        let scenarios = vec!["life".to_owned()];
        let report = checked(&file, &Options { scenarios, ..Options::default() });
        assert_eq!((report.broken(), report.findings.len()), (vec![rule], 1), "{report}");
        let said = &report.findings[0].1.words;
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn a_machine_that_lets_nobody_run_is_not_the_modules_fault() {
    let folder = tempfile::tempdir().unwrap();
    let file = Case::named("create_computes").unwrap().build(folder.path()).unwrap();
    let minute = Duration::from_secs(60);
    let options = Options {
        config: r#"{"compute": true}"#.to_owned(),
        scenarios: vec!["plain".to_owned()],
        patience: minute,
        deadline: 2 * minute,
        ..Options::default()
    };
    let report = crowded(|| checked(&file, &options));
    assert_eq!((report.broken(), report.remarked()), (vec![], vec![Rule::Returns]), "{report}");
    let said = &report.findings[0].1.words;
    assert!(said.contains("create took ") && said.contains("a thread of it was not let run"), "{said}");
}

/// Does it on one CPU among so many neighbours that what should take a quarter of a second takes five. The children that are started in it stay there.
fn crowded<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    const NEIGHBOURS: usize = 19;
    let ours = sched_getaffinity(None).unwrap();
    let mut one = CpuSet::new();
    one.set((0..CpuSet::MAX_CPU).find(|&cpu| ours.is_set(cpu)).unwrap());
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..NEIGHBOURS {
            scope.spawn(|| {
                sched_setaffinity(None, &one).unwrap();
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let done = scope.spawn(|| {
            sched_setaffinity(None, &one).unwrap();
            work()
        });
        let done = done.join();
        over.store(true, Ordering::Relaxed);
        done.unwrap()
    })
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
