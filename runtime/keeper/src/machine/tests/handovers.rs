//! One living engine after another.

use hotbay_api::{Reason, Trouble};

use super::*;

#[test]
fn the_old_engine_drains_only_when_the_new_one_is_active() {
    let mut story = Story::serving(TIMING);
    assert_eq!(story.tell(Event::Hangup), [spawn(2, Why::Reload)]);
    let activate = Action::Send { generation: 2, message: ToEngine::Activate };
    assert_eq!(story.tell(Event::Ready { generation: 2, ok: 1, failed: 0 }), [activate]);
    let active = story.tell(Event::Active { generation: 2 });
    assert_eq!(active, [drain(1, DrainKind::Graceful, 30_000), Action::Report]);
    assert_eq!(story.tell(Event::Drained { generation: 1, cut: 0 }), []);
    assert_eq!(story.dies(1, exited()), [], "an engine that ends as told needs no successor");
    assert_eq!(story.machine.report().engine, 2);
}

#[test]
fn an_engine_that_does_not_end_its_drain_is_killed() {
    let mut story = Story::serving(TIMING);
    story.tell(Event::Hangup);
    story.tell(Event::Ready { generation: 2, ok: 1, failed: 0 });
    story.tell(Event::Active { generation: 2 });
    assert_eq!(story.pass_secs(34, 2), []);
    assert_eq!(
        story.pass_secs(2, 2),
        [Action::Kill { generation: 1 }],
        "once, some seconds after its deadline"
    );
    assert_eq!(story.dies(1, killed()), []);
}

#[test]
fn a_third_engine_forces_the_oldest_out() {
    let mut story = Story::serving(Timing { handover_interval: Duration::ZERO, ..TIMING });
    for generation in [2, 3] {
        assert_eq!(story.tell(Event::Hangup), [spawn(generation, Why::Reload)]);
        story.tell(Event::Ready { generation, ok: 1, failed: 0 });
        let actions = story.tell(Event::Active { generation });
        let forced = actions.contains(&Action::Kill { generation: 1 });
        assert_eq!(forced, generation == 3, "{actions:?}");
        assert!(actions.contains(&drain(generation - 1, DrainKind::Graceful, 30_000)), "{actions:?}");
    }
}

#[test]
fn a_failed_handover_leaves_the_old_engine_and_is_tried_again_later_and_later() {
    let mut story = Story::serving(TIMING);
    assert_eq!(story.tell(Event::Hangup), [spawn(2, Why::Reload)]);
    for (generation, wait_secs) in [(2, 1), (3, 2), (4, 4), (5, 8)] {
        assert_eq!(story.dies(generation, exited()), [Action::Report]);
        assert_eq!(story.trouble(), Some(Reason::HandoverFailed));
        assert_eq!(story.pass(Duration::from_millis(wait_secs * 1000 - 10), Some(1)), []);
        assert_eq!(story.pass(Duration::from_millis(20), Some(1)), [spawn(generation + 1, Why::Reload)]);
        assert!(story.is_ready());
    }
    story.tell(Event::Ready { generation: 6, ok: 1, failed: 0 });
    story.tell(Event::Active { generation: 6 });
    assert_eq!(story.trouble(), None, "success ends the trouble");
}

#[test]
fn an_engine_that_is_not_ready_in_time_is_killed() {
    let mut story = Story::serving(TIMING);
    story.tell(Event::Hangup);
    assert_eq!(story.pass(Duration::from_millis(29_990), Some(1)), []);
    assert_eq!(story.pass_secs(1, 1), [Action::Kill { generation: 2 }]);
    assert_eq!(story.tell(Event::Ready { generation: 2, ok: 1, failed: 0 }), [], "too late");
    story.dies(2, killed());
    let trouble = story.machine.report().trouble.unwrap();
    assert_eq!(
        trouble.message,
        "the next engine was not ready in time; the old one serves on, next try in 1 s"
    );
}

#[test]
fn voluntary_handovers_keep_their_distance() {
    let mut story = Story::serving(TIMING);
    assert_eq!(story.tell(Event::Hangup), [spawn(2, Why::Reload)]);
    assert_eq!(story.tell(Event::Hangup), [], "one is under way");
    story.tell(Event::Ready { generation: 2, ok: 1, failed: 0 });
    story.tell(Event::Active { generation: 2 });
    story.dies(1, exited());
    assert_eq!(story.pass_secs(599, 2), []);
    assert_eq!(story.tell(Event::Hangup), [], "refused, and not remembered");
    assert_eq!(story.pass_secs(1, 2), []);
    assert_eq!(story.tell(Event::Hangup), [spawn(3, Why::Reload)]);
}

#[test]
fn retired_code_waits_a_minute_and_is_not_forgotten() {
    let mut story = Story::serving(TIMING);
    assert_eq!(story.tell(Event::Retired { generation: 1 }), [spawn(2, Why::Wanted)]);
    story.tell(Event::Ready { generation: 2, ok: 1, failed: 0 });
    story.tell(Event::Active { generation: 2 });
    assert_eq!(story.tell(Event::Retired { generation: 1 }), [], "a draining engine is replaced already");
    story.dies(1, exited());
    assert_eq!(story.tell(Event::Retired { generation: 2 }), []);
    assert_eq!(story.pass_secs(59, 2), []);
    assert_eq!(story.pass_secs(2, 2), [spawn(3, Why::Wanted)]);
}

#[test]
fn a_hanging_load_is_quarantined_and_the_engine_replaced_at_once() {
    let mut story = Story::serving(TIMING);
    story.tell(Event::Hangup);
    story.tell(Event::Ready { generation: 2, ok: 1, failed: 0 });
    story.tell(Event::Active { generation: 2 });
    let Suspect { key, fingerprint, .. } = suspect(LOADER_SLOT);
    let quarantine = Quarantine { key, fingerprint, message: "its load did not return".into() };
    let hangs = |generation| Event::LoaderHangs { generation, suspect: Some(suspect(LOADER_SLOT)) };
    let next = spawn_without(3, Why::Wanted, std::slice::from_ref(&quarantine));
    assert_eq!(story.tell(hangs(2)), [Action::SaveJournal, next]);
    assert_eq!(
        story.tell(hangs(3)),
        [Action::Kill { generation: 3 }],
        "a starting engine cannot become ready"
    );
    assert_eq!(story.dies(3, killed()), [Action::Report], "it is not counted twice");
}

#[test]
fn a_dead_engine_in_mid_handover_is_followed_by_the_one_that_starts() {
    let mut story = Story::serving(TIMING);
    story.tell(Event::Hangup);
    assert_eq!(story.dies(1, killed()), []);
    story.comes_up(2);
}

/// Engine `generation` says whether it serves the one entry of the bay.
fn says(story: &mut Story, generation: u64, serves: bool, failure: Option<Reason>) {
    let serving = serves.then(|| hotbay_api::Serving {
        revision: "1.0".into(),
        digest: Digest::of(b"module"),
        fingerprint: "0f".into(),
    });
    let failure = failure.map(|reason| Trouble { reason, message: String::new() });
    let state = if serves { EntryState::Active } else { EntryState::Failed };
    let key = EntryKey::new("shop", "greet").unwrap();
    let entry = hotbay_api::EntryReport {
        key,
        sequence: None,
        state,
        wanted: "1.0".into(),
        serving,
        failure,
        notice: None,
    };
    let piece = ReportPiece { restart: true, entries: vec![entry], ..ReportPiece::default() };
    story.tell(Event::Report { generation, piece });
}

#[test]
fn an_engine_that_would_serve_less_does_not_take_over() {
    let mut story = Story::serving(TIMING);
    says(&mut story, 1, true, None);
    assert_eq!(story.tell(Event::Hangup), [spawn(2, Why::Reload)]);
    says(&mut story, 2, false, Some(Reason::StartFailed));
    let ready = |generation| Event::Ready { generation, ok: 0, failed: 1 };
    assert_eq!(story.tell(ready(2)), [Action::Kill { generation: 2 }]);
    assert_eq!(story.dies(2, killed()), [Action::Report]);
    let trouble = story.machine.report().trouble.unwrap();
    assert_eq!(trouble.reason, Reason::HandoverFailed);
    assert!(trouble.message.contains("could not serve everything"), "{}", trouble.message);
    assert_eq!(story.pass_secs(2, 1), [spawn(3, Why::Reload)], "it is tried again");
    says(&mut story, 3, false, Some(Reason::Quarantined));
    let activate = Action::Send { generation: 3, message: ToEngine::Activate };
    assert_eq!(story.tell(ready(3)), [activate], "what is in quarantine is not waited for");
}

#[test]
fn what_left_the_bay_is_not_missed_and_an_engine_that_hangs_is_replaced_by_any() {
    let mut story = Story::serving(TIMING);
    says(&mut story, 1, true, None);
    story.tell(Event::Hangup);
    let activate = |generation| Action::Send { generation, message: ToEngine::Activate };
    assert_eq!(story.tell(Event::Ready { generation: 2, ok: 0, failed: 0 }), [activate(2)]);

    let mut story = Story::serving(TIMING);
    says(&mut story, 1, true, None);
    assert_eq!(story.tell(Event::LoaderHangs { generation: 1, suspect: None }), [spawn(2, Why::Wanted)]);
    says(&mut story, 2, false, Some(Reason::StartFailed));
    assert_eq!(story.tell(Event::Ready { generation: 2, ok: 0, failed: 1 }), [activate(2)]);
}
