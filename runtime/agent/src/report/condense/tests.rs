//! What a report may claim. Each case starts from a pod that serves all and breaks one thing.

use hotbay_api::{Digest, Serving};

use super::*;

fn key(name: &str) -> EntryKey {
    EntryKey::new("shop", name).unwrap()
}

fn mk_known(name: &str, sequence: u64) -> KnownEntry {
    KnownEntry { key: key(name), sequence, trouble: None }
}

fn mk_said(name: &str, sequence: u64) -> EntryReport {
    let serving =
        Serving { revision: format!("1@{name}"), digest: Digest::of(b"x"), fingerprint: String::new() };
    EntryReport {
        key: key(name),
        sequence: Some(sequence),
        state: EntryState::Active,
        wanted: serving.revision.clone(),
        serving: Some(serving),
        failure: None,
        notice: None,
    }
}

fn mk_trouble(reason: Reason, message: &str) -> Trouble {
    Trouble { reason, message: message.to_owned() }
}

struct Case {
    known: Vec<KnownEntry>,
    local: LocalReport,
}

impl Case {
    /// `a`, `b` and `c` with sequences 10, 20 and 30, all served.
    fn serving() -> Self {
        let names = [("a", 10), ("b", 20), ("c", 30)];
        let local = LocalReport {
            engine: 2,
            abi: "0.1".into(),
            platform: "linux/amd64 (gnu)".into(),
            trouble: None,
            entries: names.map(|(name, sequence)| mk_said(name, sequence)).into(),
        };
        Self { known: names.map(|(name, sequence)| mk_known(name, sequence)).into(), local }
    }

    fn report(self) -> RuntimeReportFields {
        condense(&identity(), &self.known, &Local { report: Some(self.local), trouble: None })
    }
}

fn identity() -> Identity {
    Identity { pool: "default".into(), pod_uid: "uid-1".into() }
}

#[test]
fn a_pod_that_serves_all_has_no_exceptions() {
    let expected = RuntimeReportFields {
        pool: "default".into(),
        pod_uid: "uid-1".into(),
        applied_through: 30,
        exceptions: vec![],
        truncated: false,
        notices: vec![],
        abi: "0.1".into(),
        platform: "linux/amd64 (gnu)".into(),
        engine: 2,
        trouble: None,
    };
    assert_eq!(Case::serving().report(), expected);
}

#[test]
fn what_an_older_sequence_serves_is_still_pending() {
    let mut case = Case::serving();
    case.known[1].sequence = 40;
    let report = case.report();
    let expected = ReportException {
        namespace: "shop".into(),
        name: "b".into(),
        sequence: 40,
        state: EntryState::Pending,
        reason: Reason::Progressing,
        message: String::new(),
        serving_revision: Some("1@b".into()),
    };
    assert_eq!((report.applied_through, report.exceptions), (40, vec![expected]));
}

#[test]
fn a_failure_is_told_with_what_serves_instead() {
    let mut case = Case::serving();
    case.local.entries[0].state = EntryState::Failed;
    case.local.entries[0].failure = Some(mk_trouble(Reason::InvalidElf, "it is cut short"));
    let report = case.report();
    let told = &report.exceptions[0];
    assert_eq!(
        (told.state, &told.reason, told.message.as_str()),
        (EntryState::Failed, &Reason::InvalidElf, "it is cut short")
    );
    assert_eq!(told.serving_revision.as_deref(), Some("1@a"));
}

#[test]
fn what_is_to_be_known_of_an_entry_is_no_exception() {
    let mut case = Case::serving();
    for entry in &mut case.local.entries {
        entry.notice = Some(mk_trouble(Reason::Stalled, "handler slow\nheld a thread"));
    }
    case.known.remove(0);
    let report = case.report();
    assert_eq!((report.applied_through, report.exceptions), (30, vec![]));
    let notice = |name: &str| ReportNotice {
        namespace: "shop".into(),
        name: name.into(),
        reason: Reason::Stalled,
        message: "handler slowheld a thread".into(),
    };
    assert_eq!(report.notices, [notice("b"), notice("c")]);
}

#[test]
fn notices_are_bounded_and_give_way_to_exceptions() {
    let mut case = mk_failing(64, &"x".repeat(200));
    for number in 100..130 {
        let name = format!("n{number}");
        let said = EntryReport {
            notice: Some(mk_trouble(Reason::Stalled, &"y".repeat(200))),
            ..mk_said(&name, number)
        };
        case.local.entries.push(said);
        case.known.push(mk_known(&name, number));
    }
    let crowded =
        condense(&identity(), &case.known, &Local { report: Some(case.local.clone()), trouble: None });
    assert!(fits(&crowded) && crowded.notices.is_empty() && !crowded.exceptions.is_empty());
    case.known.drain(..64);
    assert_eq!(case.report().notices.len(), MAX_NOTICES);
}

#[test]
fn an_entry_that_cannot_reach_the_bay_is_the_agents_to_tell() {
    for (reason, state) in
        [(Reason::Incomplete, EntryState::Pending), (Reason::EntryVersion, EntryState::Failed)]
    {
        let mut case = Case::serving();
        case.known[2].sequence = 50;
        case.known[2].trouble = Some(mk_trouble(reason.clone(), "why"));
        let report = case.report();
        assert_eq!((report.exceptions[0].state, &report.exceptions[0].reason), (state, &reason));
    }
}

#[test]
fn without_a_local_report_nothing_is_served() {
    let case = Case::serving();
    let trouble = mk_trouble(Reason::Incomplete, "the local report is not valid");
    let report = condense(&identity(), &case.known, &Local { report: None, trouble: Some(trouble) });
    assert_eq!((report.exceptions.len(), report.engine), (3, 0));
    assert!(report.exceptions.iter().all(|told| told.state == EntryState::Pending));
    assert_eq!(report.trouble.unwrap().message, "the local report is not valid");
}

#[test]
fn an_entry_that_only_the_runtime_knows_is_not_told() {
    let mut case = Case::serving();
    case.known.remove(0);
    let report = case.report();
    assert_eq!((report.applied_through, report.exceptions), (30, vec![]));
}

/// `count` entries with sequences from 1, of which none is served, with messages of `message`.
fn mk_failing(count: u64, message: &str) -> Case {
    let names: Vec<String> = (1..=count).map(|number| format!("m{:04}", count - number)).collect();
    let known = names.iter().zip(1..).map(|(name, sequence)| mk_known(name, sequence)).collect();
    let failed = |(name, sequence): (&String, u64)| EntryReport {
        state: EntryState::Failed,
        failure: Some(mk_trouble(Reason::StartFailed, message)),
        ..mk_said(name, sequence)
    };
    let entries = names.iter().zip(1..).map(failed).collect();
    Case { known, local: LocalReport { entries, ..LocalReport::default() } }
}

#[test]
fn the_watermark_ends_before_the_first_exception_that_is_not_listed() {
    let report = mk_failing(64, "").report();
    assert_eq!((report.applied_through, report.exceptions.len(), report.truncated), (64, 64, false));
    let report = mk_failing(1000, "").report();
    assert_eq!((report.applied_through, report.exceptions.len(), report.truncated), (64, 64, true));
    let names: Vec<&str> = report.exceptions.iter().map(|told| told.name.as_str()).collect();
    assert!(names.is_sorted(), "exceptions are sorted by name: {names:?}");
}

#[test]
fn a_report_has_at_most_16_kib() {
    let report = mk_failing(1000, &"é".repeat(10_000)).report();
    assert!(fits(&report));
    assert!(report.truncated && !report.exceptions.is_empty());
    let listed = i64::try_from(report.exceptions.len()).unwrap();
    assert_eq!(report.applied_through, listed, "what was left out for its size is not claimed");
}

#[test]
fn words_of_the_local_report_are_cut_and_cleaned() {
    let mut case = Case::serving();
    let said = &mut case.local.entries[0];
    said.state = EntryState::Failed;
    said.failure = Some(mk_trouble(
        Reason::from("Evil\nWord\u{1b}[31m".to_owned()),
        &format!("a\u{1b}[2J\r\n{}", "x".repeat(1000)),
    ));
    said.serving.as_mut().unwrap().revision = "r\u{7}".repeat(500);
    case.local.trouble = Some(mk_trouble(Reason::NoSpace, "full\u{0}"));
    let report = case.report();
    let told = &report.exceptions[0];
    assert_eq!(told.reason.as_str(), "EvilWord31m");
    assert!(told.message.starts_with("a[2Jxxx") && told.message.chars().count() == 256);
    assert_eq!(told.serving_revision.as_deref(), Some("r".repeat(256).as_str()));
    assert_eq!(report.trouble.unwrap().message, "full");
}
