//! The state machine, step by step; an instance is a number.

use hotbay_api::{Blob, EntryId, EntryState, Limits, Platform, Timeouts};
use hotbay_bay::Problem;

use super::*;

fn revision(name: &str) -> Revision {
    Revision {
        revision: name.into(),
        blobs: vec![Blob { platform: Platform::current(), digest: Digest::of(name.as_bytes()), size: 1 }],
        routes: vec![],
        config: serde_json::json!({}),
        timeouts: Timeouts::default(),
        limits: Limits::default(),
    }
}

fn key() -> EntryKey {
    EntryKey::new("ns", "m").unwrap()
}

/// A bay that holds one entry with these revisions, the wanted one first.
fn bay(revisions: &[&str]) -> Scan {
    let entry = Entry {
        version: 1,
        id: EntryId { namespace: "ns".into(), name: "m".into(), uid: String::new() },
        created: "2026-01-01T00:00:00Z".into(),
        sequence: Some(1),
        revisions: revisions.iter().map(|name| revision(name)).collect(),
    };
    Scan { entries: [(key(), Arc::new(entry))].into(), ..Scan::default() }
}

struct Case {
    modules: Modules<u32>,
    now: Instant,
}

impl Case {
    fn new() -> Self {
        Self { modules: Modules::default(), now: Instant::now() }
    }

    fn apply(&mut self, scan: &Scan) -> Vec<String> {
        self.modules.apply(scan);
        self.jobs()
    }

    fn jobs(&mut self) -> Vec<String> {
        self.modules.decide(self.now).0.into_iter().map(|job| job.revision.revision).collect()
    }

    fn job(&self, name: &str) -> Job {
        Job {
            key: key(),
            fingerprint: revision(name).fingerprint(),
            revision: revision(name),
            hurry: false,
            blobs_version: 0,
        }
    }

    fn succeed(&mut self, name: &str) -> Change {
        self.modules.succeeded(&self.job(name), 1, Digest::of(name.as_bytes()))
    }

    fn fail(&mut self, name: &str, reason: Reason) -> bool {
        self.modules.failed(&self.job(name), Failure::new(reason, "why"), self.now)
    }

    /// State, what serves, and the failure's reason.
    fn report(&self) -> (EntryState, Option<String>, Option<Reason>) {
        let report = self.modules.reports().remove(&key()).unwrap();
        (
            report.state,
            report.serving.map(|serving| serving.revision),
            report.failure.map(|failure| failure.reason),
        )
    }
}

#[test]
fn a_new_entry_is_prepared_once_and_then_serves() {
    let mut case = Case::new();
    assert!(!case.modules.is_settled(), "nothing is known before the first scan");
    assert_eq!(case.apply(&bay(&["v1"])), ["v1"]);
    assert_eq!(case.jobs(), [""; 0], "it is under way");
    assert_eq!(case.report(), (EntryState::Pending, None, None));
    assert!(!case.modules.is_settled());
    assert_eq!(case.succeed("v1"), Change::Loaded);
    assert_eq!(case.report(), (EntryState::Active, Some("v1".into()), None));
    assert!(case.modules.is_settled());
}

#[test]
fn a_failed_update_leaves_the_old_one_serving_with_a_reason() {
    let mut case = Case::new();
    case.apply(&bay(&["v1"]));
    case.succeed("v1");
    assert_eq!(case.apply(&bay(&["v2", "v1"])), ["v2"]);
    assert!(case.fail("v2", Reason::ProbeCrashed));
    assert_eq!(case.jobs(), [""; 0], "v1 serves, and v2 cannot succeed");
    assert_eq!(case.report(), (EntryState::Failed, Some("v1".into()), Some(Reason::ProbeCrashed)));
}

#[test]
fn a_pod_that_starts_with_a_bad_revision_serves_the_last_good_one() {
    let mut case = Case::new();
    assert_eq!(case.apply(&bay(&["v2", "v1"])), ["v2"]);
    case.fail("v2", Reason::StartFailed);
    assert_eq!(case.jobs(), ["v1"]);
    case.succeed("v1");
    assert_eq!(case.report(), (EntryState::Failed, Some("v1".into()), Some(Reason::StartFailed)));
}

#[test]
fn a_start_is_not_waited_for_while_a_last_good_one_could_serve() {
    let hurried = || Case { modules: Modules::new(true), now: Instant::now() };
    let mut case = hurried();
    case.modules.apply(&bay(&["v1"]));
    assert!(!case.modules.decide(case.now).0[0].hurry, "there is no other");
    case.succeed("v1");
    case.modules.apply(&bay(&["v2", "v1"]));
    assert!(!case.modules.decide(case.now).0[0].hurry, "v1 serves");

    let mut case = Case::new();
    case.modules.apply(&bay(&["v2", "v1"]));
    assert!(!case.modules.decide(case.now).0[0].hurry, "an older engine serves, or nobody waits yet");

    let mut case = hurried();
    case.modules.apply(&bay(&["v2", "v1"]));
    assert!(case.modules.decide(case.now).0[0].hurry);
    case.fail("v2", Reason::StartTimeout);
    assert!(!case.modules.decide(case.now).0[0].hurry, "v1 is the last resort");
}

#[test]
fn going_back_while_the_new_one_is_prepared_drops_it() {
    let mut case = Case::new();
    case.apply(&bay(&["v1"]));
    case.succeed("v1");
    case.apply(&bay(&["v2", "v1"]));
    assert_eq!(case.apply(&bay(&["v1"])), [""; 0]);
    assert_eq!(case.succeed("v2"), Change::Unwanted);
    assert_eq!(case.report(), (EntryState::Active, Some("v1".into()), None));
}

#[test]
fn a_revision_that_comes_back_is_tried_again() {
    let mut case = Case::new();
    case.apply(&bay(&["v1"]));
    case.succeed("v1");
    case.apply(&bay(&["v2", "v1"]));
    case.fail("v2", Reason::ProbeTimeout);
    case.apply(&bay(&["v1"]));
    assert_eq!(case.apply(&bay(&["v2", "v1"])), ["v2"]);
}

#[test]
fn a_missing_blob_is_tried_again_when_blobs_have_changed_and_a_failed_start_after_a_pause() {
    let mut case = Case::new();
    case.apply(&bay(&["v1"]));
    case.fail("v1", Reason::Incomplete);
    assert_eq!(case.jobs(), [""; 0]);
    assert_eq!(case.apply(&Scan { blobs_version: 1, ..bay(&["v1"]) }), ["v1"]);
    case.fail("v1", Reason::StartFailed);
    assert_eq!(case.jobs(), [""; 0]);
    case.now += RETRY_MIN * 2;
    assert_eq!(case.jobs(), ["v1"]);
}

#[test]
fn what_is_in_quarantine_is_not_loaded_and_says_so() {
    let mut case = Case::new();
    let fingerprint = revision("v2").fingerprint();
    case.modules.quarantine(vec![Quarantine { key: key(), fingerprint, message: "died".into() }]);
    assert_eq!(case.apply(&bay(&["v2", "v1"])), ["v1"]);
    case.succeed("v1");
    assert_eq!(case.report(), (EntryState::Failed, Some("v1".into()), Some(Reason::Quarantined)));
    let failure = case.modules.reports().remove(&key()).and_then(|report| report.failure).unwrap();
    assert_eq!(failure.message, "died; it is not tried again: apply another build or config");
}

fn crash_of(name: &str, hold: Duration) -> CrashNote {
    let hold_ms = u64::try_from(hold.as_millis()).unwrap();
    CrashNote {
        key: key(),
        fingerprint: revision(name).fingerprint(),
        message: "SIGSEGV at 0x8".into(),
        hold_ms,
    }
}

#[test]
fn what_ended_an_engine_lets_the_last_good_one_go_first_for_a_while() {
    let mut case = Case::new();
    let hold = Duration::from_secs(10);
    case.modules.hold(vec![crash_of("v2", hold)], case.now);
    assert_eq!(case.apply(&bay(&["v2", "v1"])), ["v1"]);
    assert_eq!(case.jobs(), [""; 0]);
    case.succeed("v1");
    assert_eq!(case.report(), (EntryState::Failed, Some("v1".into()), Some(Reason::Crashed)));
    let failure = case.modules.reports().remove(&key()).and_then(|report| report.failure).unwrap();
    let next = "the last good revision serves, and this one is tried again after 10s";
    assert_eq!(failure.message, format!("SIGSEGV at 0x8; {next}"));
    assert_eq!(case.jobs(), [""; 0]);
    assert!(!case.modules.is_due(case.now));
    case.now += hold;
    assert!(case.modules.is_due(case.now), "the end of the hold is looked at by the clock");
    assert_eq!(case.jobs(), ["v2"]);
    case.succeed("v2");
    assert_eq!(case.report(), (EntryState::Active, Some("v2".into()), None));
}

#[test]
fn what_ended_an_engine_serves_again_at_once_where_nothing_else_can() {
    for revisions in [&["v1"][..], &["v1", "v1"], &["v1", "v0"]] {
        let mut case = Case::new();
        case.modules.hold(vec![crash_of("v1", Duration::from_secs(10))], case.now);
        let first = case.apply(&bay(revisions));
        if revisions.ends_with(&["v0"]) {
            assert_eq!(first, ["v0"]);
            case.fail("v0", Reason::StartFailed);
            assert_eq!(case.jobs(), ["v1"], "the last good one is not good here");
        } else {
            assert_eq!(first, ["v1"]);
        }
        case.succeed("v1");
        assert_eq!(case.report(), (EntryState::Failed, Some("v1".into()), Some(Reason::Crashed)));
        case.now += Duration::from_secs(10);
        case.jobs();
        assert_eq!(case.report(), (EntryState::Active, Some("v1".into()), None));
    }
}

#[test]
fn an_entry_that_is_gone_is_forgotten_and_one_that_broke_is_kept() {
    let mut case = Case::new();
    case.apply(&bay(&["v1"]));
    case.succeed("v1");
    let problem = Problem {
        key: Some(key()),
        file: "ns.m.module.json".into(),
        reason: Reason::EntryVersion,
        message: "newer".into(),
    };
    case.apply(&Scan { problems: vec![problem], ..bay(&["v1"]) });
    assert_eq!(case.report(), (EntryState::Failed, Some("v1".into()), Some(Reason::EntryVersion)));
    case.modules.apply(&Scan::default());
    assert!(case.modules.reports().is_empty());
}

#[test]
fn new_limits_need_no_new_instance() {
    let mut case = Case::new();
    case.apply(&bay(&["v1"]));
    case.succeed("v1");
    let mut scan = bay(&["v1"]);
    let mut entry = Entry::clone(&scan.entries[&key()]);
    entry.revisions[0].limits.max_concurrent_requests = 1;
    scan.entries.insert(key(), Arc::new(entry));
    case.modules.apply(&scan);
    let (jobs, changed) = case.modules.decide(case.now);
    assert_eq!((jobs.len(), changed), (0, true));
    assert_eq!(case.modules.active().next().unwrap().1.revision.limits.max_concurrent_requests, 1);
}

#[test]
fn a_bay_that_cannot_be_read_is_not_settled() {
    let mut case = Case::new();
    let trouble = Trouble { reason: Reason::BayMissing, message: "gone".into() };
    case.apply(&Scan { trouble: Some(trouble), ..Scan::default() });
    assert!(!case.modules.is_settled());
    case.apply(&Scan::default());
    assert!(case.modules.is_settled());
}

#[test]
fn a_blob_that_came_while_its_absence_was_found_out_is_not_waited_for() {
    let mut case = Case::new();
    case.apply(&bay(&["v1"]));
    assert_eq!(case.apply(&Scan { blobs_version: 1, ..bay(&["v1"]) }), [""; 0], "it is under way");
    case.fail("v1", Reason::Incomplete);
    assert_eq!(case.jobs(), ["v1"], "what was looked at is not what is there now");
}

#[test]
fn a_fallback_that_is_under_way_is_let_come_up() {
    let mut case = Case::new();
    case.apply(&bay(&["v2", "v1"]));
    case.fail("v2", Reason::StartFailed);
    assert_eq!(case.jobs(), ["v1"]);
    case.now += RETRY_MIN * 2;
    assert_eq!(case.jobs(), [""; 0], "v2 has its turn when v1 serves");
    assert_eq!(case.succeed("v1"), Change::Loaded);
    assert_eq!(case.jobs(), ["v2"]);
}

#[test]
fn what_the_entry_still_names_is_welcome_while_nothing_serves() {
    let mut case = Case::new();
    case.apply(&bay(&["v1"]));
    case.apply(&bay(&["v2"]));
    assert_eq!(case.succeed("v1"), Change::Unwanted, "no longer named");
    case.apply(&bay(&["v2", "v1"]));
    assert_eq!(case.succeed("v1"), Change::Loaded);
    assert_eq!(case.succeed("v2"), Change::Swapped, "it was not forgotten");
}

#[test]
fn a_module_is_starting_while_it_is_on_its_way_or_will_be_tried_again() {
    let mut case = Case::new();
    let starting =
        |case: &Case| case.modules.starting().next().map(|(_, revision)| revision.revision.clone());
    case.apply(&bay(&["v1"]));
    assert_eq!(starting(&case).as_deref(), Some("v1"));
    case.fail("v1", Reason::StartFailed);
    assert_eq!(starting(&case).as_deref(), Some("v1"), "it will be tried again");
    case.now += RETRY_MIN * 2;
    assert_eq!(case.jobs(), ["v1"]);
    case.fail("v1", Reason::ProbeCrashed);
    assert_eq!(starting(&case), None, "nothing will come before somebody acts");
    case.apply(&bay(&["v2"]));
    case.succeed("v2");
    assert_eq!(starting(&case), None, "it serves");
}

#[test]
fn a_decision_is_due_only_when_a_pause_is_over() {
    let mut case = Case::new();
    case.apply(&bay(&["v1"]));
    assert!(!case.modules.is_due(case.now));
    case.fail("v1", Reason::ProbeTimeout);
    assert!(!case.modules.is_due(case.now));
    case.now += RETRY_MIN;
    assert!(case.modules.is_due(case.now));
    assert_eq!(case.jobs(), ["v1"]);
    assert!(!case.modules.is_due(case.now));
}

#[test]
fn a_demoted_build_serves_on_and_its_report_says_so() {
    let mut case = Case::new();
    case.apply(&bay(&["v1"]));
    case.succeed("v1");
    let digest = Digest::of(b"v1");
    let demoted = |message: &str| Demoted { key: key(), digest, message: message.into() };
    let notice = |case: &Case| case.modules.reports().remove(&key()).unwrap().notice;
    assert_eq!((case.modules.is_demoted(&digest), notice(&case)), (false, None));
    assert!(case.modules.demote(demoted("handler slow held a thread")));
    assert!(!case.modules.demote(demoted("again")), "it is named once");
    assert_eq!(case.report(), (EntryState::Active, Some("v1".into()), None));
    let message = "handler slow held a thread; calls of this build run on the blocking threads now".into();
    assert_eq!(notice(&case), Some(Trouble { reason: Reason::Stalled, message }));
    case.apply(&bay(&["v2", "v1"]));
    case.succeed("v2");
    assert_eq!(notice(&case), None, "another build has a chance of its own");
}

#[test]
fn a_module_of_the_same_build_learns_that_it_was_demoted_and_nothing_of_whose_calls_it_was_seen_in() {
    let mut case = Case::new();
    case.apply(&bay(&["v1"]));
    case.succeed("v1");
    let other = EntryKey::new("secret", "project").unwrap();
    let message = "handler slow (/merger/{buyer}) held a thread of the engine for 500 ms".to_owned();
    case.modules.demote(Demoted { key: other, digest: Digest::of(b"v1"), message });
    let notice = case.modules.reports().remove(&key()).unwrap().notice.unwrap();
    assert_eq!(notice.reason, Reason::Stalled);
    let words = "a module with the same build held a thread of the engine elsewhere in this pod; calls of this build run on the blocking threads now";
    assert_eq!(notice.message, words);
}

#[test]
fn a_module_whose_blocking_threads_are_all_lost_says_so_until_they_are_not() {
    let mut case = Case::new();
    case.apply(&bay(&["v1"]));
    case.succeed("v1");
    let notice = |case: &Case| case.modules.reports().remove(&key()).unwrap().notice;
    let stuck = |name: &str| BTreeSet::from([(key(), revision(name).fingerprint())]);
    assert_eq!(case.modules.set_stuck(stuck("v0")), (vec![key()], vec![]));
    assert_eq!(notice(&case), None, "it was another instance");
    assert_eq!(case.modules.set_stuck(stuck("v1")), (vec![key()], vec![key()]));
    assert_eq!(case.modules.set_stuck(stuck("v1")), (vec![], vec![]));
    let told = notice(&case).unwrap();
    assert_eq!(told.reason, Reason::Stalled);
    assert!(told.message.starts_with("calls that nobody waits for any more hold all"), "{}", told.message);
    assert_eq!(case.report(), (EntryState::Active, Some("v1".into()), None));
    assert_eq!(case.modules.set_stuck(BTreeSet::new()), (vec![], vec![key()]));
    assert_eq!(notice(&case), None);
}

#[test]
fn a_stall_of_an_instance_that_drains_is_its_builds_as_long_as_that_serves() {
    let mut case = Case::new();
    let build = Digest::of(b"build");
    let serve = |case: &mut Case, name: &str, digest| {
        case.apply(&bay(&[name]));
        case.modules.succeeded(&case.job(name), 1, digest);
    };
    let found = |case: &Case, name: &str| {
        let active = case.modules.same_build(&key(), &revision(name).fingerprint());
        active.map(|active| active.revision.revision.clone())
    };
    serve(&mut case, "config-0", build);
    assert_eq!(found(&case, "config-0").as_deref(), Some("config-0"));
    assert_eq!(found(&case, "config-1"), None, "it has not served yet");
    serve(&mut case, "config-1", build);
    assert_eq!(found(&case, "config-0").as_deref(), Some("config-1"), "its last calls are under way");
    serve(&mut case, "other", Digest::of(b"other"));
    assert_eq!(found(&case, "config-0"), None, "what serves now is another build");
    serve(&mut case, "config-2", build);
    assert_eq!((found(&case, "config-1").as_deref(), found(&case, "other")), (Some("config-2"), None));
    // However often it changes, no more than a few are remembered.
    (3..50).for_each(|number| serve(&mut case, &format!("config-{number}"), build));
    assert_eq!(found(&case, "config-48").as_deref(), Some("config-49"));
    assert_eq!(found(&case, "config-2"), None);
}
