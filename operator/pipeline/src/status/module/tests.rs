//! A module that every pod serves, and what its status says when one thing is otherwise.

use hotbay_api::{Digest, Entry, ReportException, ReportNotice, RuntimeReportFields};

use super::*;
use crate::testing::{module, revision};
use crate::{build, testing};

const SEQUENCE: u64 = 100;

struct Case {
    generation: i64,
    entry_generation: i64,
    refusal: Option<Refusal>,
    wanted: Option<Revision>,
    entry: Option<Entry>,
    left_behind: Option<(PoolRef, &'static str)>,
    reports: Vec<Option<RuntimeReportFields>>,
    previous: Option<HandlerModuleStatus>,
    now: Time,
}

impl Case {
    /// Two pods that serve revision `a`, of which nobody has said so yet.
    fn served() -> Self {
        let report = RuntimeReportFields {
            applied_through: SEQUENCE as i64,
            platform: "linux/amd64".into(),
            ..Default::default()
        };
        Self {
            generation: 1,
            entry_generation: 1,
            refusal: None,
            wanted: Some(revision("a")),
            entry: Some(build::entry(&module("shop", "hello"), revision("a"), None).unwrap()),
            left_behind: None,
            reports: vec![Some(report.clone()), Some(report)],
            previous: None,
            now: time(1),
        }
    }

    /// The same after its status was written.
    fn ready() -> Self {
        let mut case = Self::served();
        case.previous = Some(case.status());
        case.now = time(2);
        case
    }

    /// Ready with `a`; then the reference became `b`, whose entry is written.
    fn updated() -> Self {
        let mut case = Self::ready();
        (case.generation, case.entry_generation) = (2, 2);
        case.wanted = Some(revision("b"));
        case.entry =
            Some(build::entry(&module("shop", "hello"), revision("b"), Some(revision("a"))).unwrap());
        case
    }

    fn status(&self) -> HandlerModuleStatus {
        let runtime = "hotbay/default".parse().unwrap();
        let artifact = self.wanted.as_ref().map(|wanted| ArtifactStatus {
            digest: wanted.blobs[0].digest,
            ..build::artifact_status(&testing::validated())
        });
        let entry = self.entry.as_ref().map(|entry| EntryInForce {
            entry,
            sequence: SEQUENCE,
            generation: self.entry_generation,
        });
        let names: Vec<String> = (0..self.reports.len()).map(|number| format!("p{number}")).collect();
        let pods: Vec<Pod> = names
            .iter()
            .zip(&self.reports)
            .map(|(name, report)| Pod { name, report: report.as_ref() })
            .collect();
        module_status(&ModuleCase {
            generation: self.generation,
            runtime: &runtime,
            refusal: self.refusal.as_ref(),
            wanted: artifact.as_ref().zip(self.wanted.as_ref()),
            entry: entry.as_ref(),
            left_behind: self.left_behind.as_ref().map(|(pool, revision)| (pool, *revision)),
            pods: &pods,
            handled_request: None,
            previous: self.previous.as_ref(),
            now: &self.now,
        })
    }

    fn fail(&mut self, pod: usize, reason: Reason, serving: Option<&str>) {
        let exception = ReportException {
            namespace: "shop".into(),
            name: "hello".into(),
            sequence: SEQUENCE as i64,
            state: EntryState::Failed,
            reason,
            message: "it broke".into(),
            serving_revision: serving.map(|artifact| revision(artifact).revision),
        };
        self.reports[pod].as_mut().unwrap().exceptions.push(exception);
    }

    /// The conditions as `Type=Status Reason`.
    fn says(&self) -> Vec<String> {
        let words =
            |condition: &Condition| format!("{}={:?} {}", condition.kind, condition.status, condition.reason);
        self.status().conditions.iter().map(words).collect()
    }

    fn message(&self, kind: &str) -> String {
        find(&self.status().conditions, kind).unwrap().message.clone()
    }
}

fn time(second: i64) -> Time {
    Time(k8s_openapi::jiff::Timestamp::from_second(second).unwrap())
}

const GOOD: [&str; 4] = [
    "Accepted=True Succeeded",
    "ArtifactReady=True Succeeded",
    "Programmed=True Succeeded",
    "Ready=True Succeeded",
];

#[test]
fn a_module_that_every_pod_serves_is_ready() {
    let case = Case::served();
    assert_eq!(case.says(), GOOD);
    let status = case.status();
    assert_eq!((status.observed_generation, status.serving_generation), (1, Some(1)));
    assert_eq!(status.revision, Some(revision("a").revision));
    assert_eq!(status.runtime.as_deref(), Some("hotbay/default"));
    assert_eq!(status.routes, revision("a").routes);
    assert!(status.conditions.iter().all(|condition| condition.observed_generation == 1));
}

#[test]
fn an_unchanged_status_keeps_its_times_and_needs_no_write() {
    let case = Case::ready();
    assert_eq!(Some(case.status()), case.previous);
}

#[test]
fn a_condition_that_turns_takes_the_time_and_others_keep_theirs() {
    let mut case = Case::updated();
    case.fail(0, Reason::StartFailed, Some("a"));
    let status = case.status();
    let since = |kind| find(&status.conditions, kind).unwrap().last_transition_time.clone();
    assert_eq!((since(condition::READY), since(condition::ACCEPTED)), (time(2), time(1)));
}

#[test]
fn a_module_without_pods_says_so() {
    let mut case = Case::served();
    case.reports.clear();
    assert_eq!(
        case.says()[2..],
        ["Programmed=False NoRuntimePods", "Ready=False NoRuntimePods", "Reconciling=True NoRuntimePods"]
    );
}

#[test]
fn a_pod_that_says_nothing_is_waited_for() {
    let waits = |change: fn(&mut Case)| {
        let mut case = Case::served();
        change(&mut case);
        assert_eq!(
            case.says()[2..],
            ["Programmed=False Progressing", "Ready=False Progressing", "Reconciling=True Progressing"]
        );
    };
    waits(|case| case.reports[1] = None);
    waits(|case| case.reports[1].as_mut().unwrap().applied_through = SEQUENCE as i64 - 1);
    waits(|case| {
        case.fail(1, Reason::StartFailed, None);
        case.reports[1].as_mut().unwrap().exceptions[0].sequence -= 1;
    });
}

#[test]
fn ready_is_latched_while_pods_come_and_go() {
    for change in [|case: &mut Case| case.reports.push(None), |case: &mut Case| case.reports.clear()] {
        let mut case = Case::ready();
        change(&mut case);
        assert_eq!(Some(case.status()), case.previous, "no write either");
    }
}

#[test]
fn a_pod_that_fails_later_is_listed_and_ready_stays() {
    let mut case = Case::ready();
    case.fail(1, Reason::Crashed, None);
    assert_eq!(case.says()[2..], ["Programmed=False Crashed", "Ready=True Succeeded"]);
    let status = case.status();
    assert_eq!((status.failures_total, status.failures[0].pod.as_str()), (1, "p1"));
}

#[test]
fn a_module_that_holds_threads_is_named_and_stays_ready() {
    let mut case = Case::ready();
    let notice = |name: &str, message: &str| ReportNotice {
        namespace: "shop".into(),
        name: name.into(),
        reason: Reason::Stalled,
        message: message.into(),
    };
    case.reports[1].as_mut().unwrap().notices =
        vec![notice("other", "another's"), notice("hello", "for 520 ms")];
    assert_eq!(
        case.says()[2..],
        ["Programmed=True Succeeded", "Ready=True Succeeded", "Demoted=True Stalled"]
    );
    assert_eq!(case.message(condition::DEMOTED), "for 520 ms");
    case.previous = Some(case.status());
    case.reports[0].as_mut().unwrap().notices = vec![notice("hello", "for 990 ms")];
    assert_eq!(Some(case.status()), case.previous, "another pod's words are no reason to write");
    case.reports[1] = None;
    assert_eq!(case.message(condition::DEMOTED), "for 990 ms");
    case.reports[0].as_mut().unwrap().notices.clear();
    assert!(find(&case.status().conditions, condition::DEMOTED).is_none());
}

#[test]
fn a_new_generation_is_latched_anew() {
    let mut case = Case::updated();
    case.reports[0].as_mut().unwrap().applied_through = 0;
    assert_eq!(case.says()[3..], ["Ready=False Progressing", "Reconciling=True Progressing"]);
    assert_eq!(case.status().serving_generation, Some(1));
    case.reports[0].as_mut().unwrap().applied_through = SEQUENCE as i64;
    assert_eq!(case.status().serving_generation, Some(2));
}

#[test]
fn a_failing_update_says_why_and_what_still_serves() {
    let mut case = Case::updated();
    case.fail(0, Reason::LibcTooOld, Some("a"));
    assert_eq!(
        case.says()[2..],
        ["Programmed=False LibcTooOld", "Ready=False LibcTooOld", "Stalled=True LibcTooOld"]
    );
    let ending = format!("pod p0: it broke; still serving {}", revision("a").revision);
    assert_eq!(case.message(condition::READY), ending);
    assert_eq!(case.status().serving_generation, Some(1));
}

#[test]
fn a_failure_that_may_pass_is_reconciling() {
    let says = |reason: Reason| {
        let mut case = Case::updated();
        case.fail(0, reason, None);
        case.says()[4..].join(" ")
    };
    for reason in [Reason::Incomplete, Reason::StartFailed, Reason::StartTimeout, Reason::NoSpace] {
        assert_eq!(says(reason.clone()), format!("Reconciling=True {reason}"));
    }
    for reason in [Reason::WrongArchitecture, Reason::ProbeCrashed, Reason::ProbeTimeout, Reason::Quarantined]
    {
        assert_eq!(says(reason.clone()), format!("Stalled=True {reason}"));
    }
}

#[test]
fn a_refused_update_names_what_still_serves() {
    let mut case = Case::ready();
    case.generation = 2;
    case.wanted = None;
    case.refusal =
        Some(Refusal::of_module(Reason::InvalidElf, "reg/hello:2 is no module").about(Digest::of(b"bad")));
    assert_eq!(
        case.says(),
        [
            "Accepted=False InvalidElf",
            "ArtifactReady=True Succeeded",
            "Programmed=False InvalidElf",
            "Ready=False InvalidElf",
            "Stalled=True InvalidElf"
        ]
    );
    let ending = format!("reg/hello:2 is no module; still serving {}", revision("a").revision);
    assert_eq!(case.message(condition::READY), ending);
    case.reports.clear();
    assert_eq!(case.message(condition::READY), ending, "what was Ready is remembered without pods");
    assert_eq!((case.status().observed_generation, case.status().serving_generation), (2, Some(1)));
}

#[test]
fn a_tag_that_moved_to_a_bad_artifact_ends_ready_in_the_same_generation() {
    let mut case = Case::ready();
    case.refusal = Some(Refusal::of_module(Reason::InvalidElf, "bad").about(Digest::of(b"bad")));
    assert_eq!(case.says()[3..], ["Ready=False InvalidElf", "Stalled=True InvalidElf"]);
}

#[test]
fn a_lost_registry_leaves_a_ready_module_ready() {
    let mut case = Case::ready();
    let refusal = Refusal::of_artifact(Reason::SourceUnreachable, "no answer");
    case.refusal = Some(Refusal { class: Class::Waiting, ..refusal });
    assert_eq!(
        case.says(),
        [
            "Accepted=True Succeeded",
            "ArtifactReady=False SourceUnreachable",
            "Programmed=True Succeeded",
            "Ready=True Succeeded",
            "Reconciling=True SourceUnreachable"
        ]
    );
}

/// Nobody answered.
fn unreachable() -> Refusal {
    Refusal { class: Class::Waiting, ..Refusal::of_artifact(Reason::SourceUnreachable, "no answer") }
}

#[test]
fn a_restarted_operator_without_a_registry_leaves_a_ready_module_ready() {
    let mut case = Case::ready();
    (case.refusal, case.wanted) = (Some(unreachable()), None);
    let still_ready =
        ["Programmed=True Succeeded", "Ready=True Succeeded", "Reconciling=True SourceUnreachable"];
    assert_eq!(case.says()[2..], still_ready);
    case.previous = Some(case.status());
    assert_eq!(case.says()[2..], still_ready, "what was remembered is remembered again");
    case.reports.clear();
    assert_eq!(case.says()[2..], still_ready, "the latch holds without pods too");
    case.entry_generation = 0;
    assert_eq!(case.says()[2..], still_ready, "an entry that a later generation left as it is counts");
    case.generation = 2;
    assert_eq!(case.says()[3], "Ready=False SourceUnreachable", "what generation 2 wants nobody knows");
}

#[test]
fn a_failed_look_up_leaves_it_to_the_pods_whether_a_module_becomes_ready() {
    let mut case = Case::served();
    case.refusal = Some(unreachable());
    assert_eq!(case.says()[2..4], ["Programmed=True Succeeded", "Ready=True Succeeded"]);
    case.reports[0].as_mut().unwrap().applied_through = 0;
    assert_eq!(case.says()[2..4], ["Programmed=False Progressing", "Ready=False Progressing"]);
    case.fail(1, Reason::StartFailed, None);
    assert_eq!(case.says()[2..4], ["Programmed=False StartFailed", "Ready=False StartFailed"]);
}

#[test]
fn an_entry_behind_the_status_is_not_taken_for_what_is_wanted() {
    let mut case = Case::ready();
    // The tag moved and the status told so, but the entry was never written.
    case.previous.as_mut().unwrap().revision = Some(revision("b").revision);
    (case.refusal, case.wanted) = (Some(unreachable()), None);
    assert_eq!(case.says()[3], "Ready=False SourceUnreachable");
}

#[test]
fn a_suspended_module_stays_as_ready_as_it_was() {
    let suspended = Refusal::of_pool(Reason::Suspended, Class::Stalled, "suspended");
    let mut case = Case::ready();
    (case.generation, case.wanted, case.refusal) = (2, None, Some(suspended));
    let frozen = [&GOOD[..], &["Suspended=True Suspended"]].concat();
    assert_eq!(case.says(), frozen);
    assert_eq!((case.status().observed_generation, case.status().serving_generation), (2, Some(1)));
    case.previous = Some(case.status());
    case.reports.push(None);
    assert_eq!(case.says(), frozen, "a pod more changes nothing");
    case.entry = None;
    assert_eq!(
        case.says()[1..],
        ["Ready=False Suspended", "Stalled=True Suspended", "Suspended=True Suspended"]
    );
}

#[test]
fn a_truncated_report_is_believed_up_to_its_watermark() {
    let mut case = Case::served();
    case.reports[1].as_mut().unwrap().truncated = true;
    assert_eq!(case.says(), GOOD);
}

#[test]
fn a_message_is_cut_and_still_ends_with_what_serves() {
    let mut case = Case::ready();
    case.generation = 2;
    case.wanted = None;
    case.refusal = Some(Refusal::of_module(Reason::ConfigRejected, "é".repeat(40_000)));
    let ready = case.message(condition::READY);
    assert!(ready.len() <= 1024, "{} bytes", ready.len());
    assert!(ready.ends_with(&format!("…; still serving {}", revision("a").revision)), "{ready}");
    let mut list = Conditions::new(1, &[], &case.now);
    list.set_true(condition::READY, Reason::Succeeded, "é".repeat(40_000));
    assert_eq!((list.list[0].message.len(), list.list[0].message.ends_with('…')), (1023, true));
}

#[test]
fn a_conflict_is_not_accepted_though_the_artifact_is_good() {
    let mut case = Case::ready();
    case.generation = 2;
    case.wanted = Some(revision("b"));
    case.refusal = Some(Refusal::of_pool(Reason::RouteConflict, Class::Stalled, "taken"));
    assert_eq!(case.says()[..2], ["Accepted=False RouteConflict", "ArtifactReady=True Succeeded"]);
    assert!(
        case.message(condition::ACCEPTED).ends_with(&format!("still serving {}", revision("a").revision))
    );
    assert_eq!(case.status().routes, revision("a").routes);
}

#[test]
fn a_module_without_an_entry_has_no_programmed() {
    let mut case = Case::served();
    case.entry = None;
    case.wanted = None;
    case.refusal = Some(Refusal::of_pool(Reason::RuntimeNotFound, Class::Stalled, "no pool"));
    assert_eq!(
        case.says(),
        ["Accepted=False RuntimeNotFound", "Ready=False RuntimeNotFound", "Stalled=True RuntimeNotFound"]
    );
    assert_eq!(case.message(condition::READY), "no pool");
    case.left_behind = Some(("hotbay/default".parse().unwrap(), "1.0@sha256:ab"));
    let ending = "no pool; pool hotbay/default is still serving 1.0@sha256:ab";
    assert_eq!(case.message(condition::READY), ending);
}

#[test]
fn a_new_module_is_reconciling_and_a_restarted_operator_repeats_what_was_said() {
    let mut case = Case::served();
    case.entry = None;
    case.wanted = None;
    assert_eq!(
        case.says(),
        ["Accepted=True Succeeded", "Ready=False Progressing", "Reconciling=True Progressing"]
    );
    let mut case = Case::ready();
    case.wanted = None;
    case.reports.clear();
    assert_eq!(Some(case.status()), case.previous);
}

#[test]
fn at_most_ten_failures_are_listed_and_all_are_counted() {
    let mut case = Case::updated();
    case.reports = vec![case.reports[0].clone(); 12];
    (0..12).for_each(|pod| case.fail(pod, Reason::StartFailed, None));
    let status = case.status();
    assert_eq!((status.failures.len(), status.failures_total), (10, 12));
}

#[test]
fn only_what_is_ready_now_counts_as_good() {
    let mut case = Case::updated();
    case.fail(0, Reason::StartFailed, None);
    assert!(is_ready_for(case.previous.as_ref().unwrap(), &revision("a").revision, 1));
    assert!(!is_ready_for(&case.status(), &revision("b").revision, 1));
}

#[test]
fn what_serves_instead_is_not_what_is_wanted() {
    let behind = |case: &mut Case, pod: usize| case.reports[pod].as_mut().unwrap().applied_through = 1;
    let mut first = Case::served();
    behind(&mut first, 1);
    assert!(
        !first.message(condition::READY).contains("still serving"),
        "{}",
        first.message(condition::READY)
    );
    let mut update = Case::updated();
    behind(&mut update, 1);
    let old = format!("are loading it; still serving {}", revision("a").revision);
    assert!(update.message(condition::READY).ends_with(&old), "{}", update.message(condition::READY));
    // Nor does it change while the pods take it one by one.
    let words = update.message(condition::READY);
    behind(&mut update, 0);
    assert_eq!(update.message(condition::READY), words);
    let mut failing = Case::updated();
    failing.fail(1, Reason::StartFailed, Some("a"));
    let old = format!("pod p1: it broke; still serving {}", revision("a").revision);
    assert_eq!(failing.message(condition::READY), old);
}
