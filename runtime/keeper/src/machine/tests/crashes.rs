//! Engines that die.

use super::*;

#[test]
fn the_next_engine_starts_at_once_and_readiness_lasts_two_seconds() {
    let mut story = Story::serving(TIMING);
    story.pass_secs(5, 1);
    assert_eq!(story.dies(1, killed()), [spawn(2, Why::Crash)]);
    story.pass(Duration::from_millis(1990), None);
    assert!(story.is_ready());
    story.pass(Duration::from_millis(20), None);
    assert!(!story.is_ready(), "nobody has served for two seconds");
    story.comes_up(2);
    assert!(story.is_ready());
}

#[test]
fn there_is_no_readiness_before_the_first_engine() {
    let mut story = Story::new(TIMING);
    assert_eq!(story.tell(Event::Tick), [spawn(1, Why::First)]);
    assert!(!story.is_ready());
    story.comes_up(1);
    assert!(story.is_ready());
}

#[test]
fn engines_that_die_young_are_started_later_and_later() {
    let mut story = Story::serving(TIMING);
    story.pass_secs(2, 1);
    assert_eq!(story.dies(1, killed()), [spawn(2, Why::Crash)]);
    assert_eq!(story.dies(2, killed()), [spawn(3, Why::Crash)], "the first early death costs no wait");
    for (generation, wait_ms) in
        [(3, 100), (4, 1000), (5, 2000), (6, 4000), (7, 8000), (8, 10_000), (9, 10_000)]
    {
        assert_eq!(story.dies(generation, killed()), [Action::Report]);
        assert_eq!(story.trouble(), Some(hotbay_api::Reason::Crashed));
        // That nobody serves is told in between.
        let mut passes = |millis| {
            let mut actions = story.pass(Duration::from_millis(millis), None);
            actions.retain(|action| *action != Action::Report);
            actions
        };
        assert_eq!(passes(wait_ms - 10), []);
        assert_eq!(passes(20), [spawn(generation + 1, Why::Crash)]);
    }
    story.comes_up(10);
    assert_eq!(story.trouble(), None);
    story.pass_secs(1, 10);
    assert_eq!(story.dies(10, killed()), [], "too many have died in this minute");
    assert_eq!(
        story.pass_secs(1, 10),
        [spawn(11, Why::Crash)],
        "but one that served for a while waits little"
    );
    story.comes_up(11);
    story.pass_secs(61, 11);
    assert_eq!(story.dies(11, killed()), [spawn(12, Why::Crash)], "a death a minute costs no wait");
}

#[test]
fn engines_that_serve_for_a_moment_and_die_are_started_later_too() {
    let mut story = Story::serving(TIMING);
    for (generation, wait_ms) in [(1, 0), (2, 0), (3, 100), (4, 1000), (5, 1000)] {
        story.pass_secs(2, generation);
        let next = spawn(generation + 1, Why::Crash);
        let mut actions = story.dies(generation, killed());
        if wait_ms > 0 {
            assert_eq!(actions, []);
            assert_eq!(story.pass(Duration::from_millis(wait_ms - 10), None), []);
            actions = story.pass(Duration::from_millis(20), None);
        }
        assert_eq!(actions, [next]);
        story.comes_up(generation + 1);
    }
}

#[test]
fn after_two_seconds_without_an_engine_nothing_is_reported_as_serving() {
    let mut story = Story::serving(TIMING);
    let key = EntryKey::new("shop", "greet").unwrap();
    let serving =
        hotbay_api::Serving { revision: "1.0".into(), digest: Digest::of(b"m"), fingerprint: "0f".into() };
    let entry = hotbay_api::EntryReport {
        key,
        sequence: None,
        state: EntryState::Active,
        wanted: "1.0".into(),
        serving: Some(serving),
        failure: None,
        notice: None,
    };
    let piece = ReportPiece { restart: true, entries: vec![entry], ..ReportPiece::default() };
    story.tell(Event::Report { generation: 1, piece: piece.clone() });
    let state = |story: &Story| {
        let report = story.machine.report();
        (
            report.entries[0].state,
            report.entries[0].serving.is_some(),
            report.trouble.map(|trouble| trouble.reason),
        )
    };
    story.pass_secs(5, 1);
    story.dies(1, killed());
    assert_eq!(story.pass(Duration::from_millis(1990), None), []);
    assert_eq!(state(&story), (EntryState::Active, true, None));
    assert_eq!(story.pass(Duration::from_millis(20), None), [Action::Report]);
    assert_eq!(state(&story), (EntryState::Pending, false, Some(hotbay_api::Reason::Crashed)));
    story.tell(Event::Report { generation: 2, piece });
    story.comes_up(2);
    assert_eq!(state(&story), (EntryState::Active, true, None));
}

#[test]
fn a_program_that_cannot_be_started_is_tried_again() {
    let mut story = Story::new(TIMING);
    assert_eq!(story.tell(Event::Tick), [spawn(1, Why::First)]);
    let failed =
        |generation| Event::SpawnFailed { generation, message: "did not start: no such file".into() };
    assert_eq!(story.tell(failed(1)), [spawn(2, Why::Crash)]);
    assert_eq!(story.tell(failed(2)), [Action::Report]);
    let message = "2 engines in a row ended soon after their start: the last one did not start: no such file";
    assert_eq!(story.machine.report().trouble.unwrap().message, message);
    assert_eq!(story.pass(Duration::from_millis(110), None), [spawn(3, Why::Crash)]);
}

#[test]
fn the_second_death_by_one_revision_is_known_to_the_next_engine() {
    let mut story = Story::serving(TIMING);
    let Suspect { key, fingerprint, .. } = suspect(3);
    let message = "SIGSEGV at 0x8 during GET /crash (build sha256:ab12cd34ef56)".to_owned();
    let note = CrashNote {
        key: key.clone(),
        fingerprint: fingerprint.clone(),
        message: message.clone(),
        hold_ms: 10_000,
    };
    let policy =
        ToEngine::Policy { quarantined: vec![], verified: vec![], crashed: vec![note], demoted: vec![] };
    let next = Action::Spawn { generation: 2, why: Why::Crash, policy };
    assert_eq!(
        story.dies(1, crashed()),
        [next],
        "after one strike another revision goes first, if there is one"
    );
    story.comes_up(2);
    story.pass_secs(50, 2);
    let message = format!("{message}; it ended two engines within a minute");
    let quarantined = [Quarantine { key, fingerprint, message }];
    let next = spawn_without(3, Why::Crash, &quarantined);
    assert_eq!(story.dies(2, crashed()), [Action::SaveJournal, next]);
    story.comes_up(3);
    story.pass_secs(61, 3);
    assert_eq!(
        story.dies(3, killed()),
        [spawn_without(4, Why::Crash, &quarantined)],
        "and to every one after it"
    );
}

#[test]
fn an_engine_that_never_gets_ready_because_of_one_load_strikes_that_load() {
    let mut story = Story::new(TIMING);
    story.tell(Event::Tick);
    let death = || Death { suspects: vec![suspect(LOADER_SLOT)], ..killed() };
    for generation in [1, 2] {
        assert_eq!(story.pass(TIMING.ready_timeout, None), [Action::Kill { generation }]);
        let quarantined = story.dies(generation, death()).contains(&Action::SaveJournal);
        assert_eq!(quarantined, generation == 2, "engine {generation}");
    }
}

#[test]
fn an_active_engine_that_answers_no_ping_is_killed_and_replaced() {
    let mut story = Story::serving(TIMING);
    assert_eq!(story.pass_secs(60, 1), [], "one that answers is left alone");
    assert_eq!(story.pass(Duration::from_millis(9_900), None), []);
    let killed_once = [Action::Kill { generation: 1 }];
    assert_eq!(story.pass(Duration::from_secs(2), None), killed_once, "one that does not is killed once");
    assert_eq!(story.dies(1, killed()), [spawn(2, Why::Crash)]);
}

#[test]
fn a_stopped_pod_does_not_make_its_engine_hang() {
    let mut story = Story::serving(TIMING);
    story.now += Duration::from_secs(3600);
    assert_eq!(story.tell(Event::Tick), [], "no ping was sent in all this time");
}

#[test]
fn a_closed_channel_is_given_a_second_to_become_a_death() {
    let mut story = Story::serving(TIMING);
    assert_eq!(story.tell(Event::Lost { generation: 1 }), []);
    assert_eq!(story.pass(Duration::from_millis(990), Some(1)), []);
    assert_eq!(story.pass(Duration::from_millis(20), Some(1)), [Action::Kill { generation: 1 }]);
}

#[test]
fn a_probe_is_run_for_its_engine_and_a_pass_is_known_to_the_next_one() {
    let mut story = Story::serving(TIMING);
    let digest = Digest::of(b"module");
    let path = PathBuf::from("/stage/module");
    let start = Action::Probe(Start { digest, path: path.clone() });
    assert_eq!(story.tell(Event::Probe { generation: 1, digest, path }), [start]);
    let outcome = ProbeOutcome::Passed;
    let passed = ToEngine::Probed(hotbay_protocol::Probe { digest, outcome: outcome.clone() });
    let told = Action::Send { generation: 1, message: passed };
    assert_eq!(story.tell(Event::ProbeEnded { digest, outcome }), [told]);
    let policy =
        ToEngine::Policy { quarantined: vec![], verified: vec![digest], crashed: vec![], demoted: vec![] };
    let next = Action::Spawn { generation: 2, why: Why::Crash, policy };
    assert_eq!(story.dies(1, killed()), [next]);
}
