//! Modules that hold an engine's threads.

use hotbay_api::Digest;
use hotbay_protocol::Demoted;

use super::*;

fn demoted() -> Demoted {
    let key = EntryKey::new("shop", "slow").unwrap();
    Demoted { key, digest: Digest::of(b"slow"), message: "handler slow held a thread for 500ms".into() }
}

fn spawn_with_demoted(generation: u64, why: Why) -> Action {
    let policy =
        ToEngine::Policy { quarantined: vec![], verified: vec![], crashed: vec![], demoted: vec![demoted()] };
    Action::Spawn { generation, why, policy }
}

#[test]
fn a_demoted_build_is_kept_and_told_to_every_engine_that_does_not_know_it() {
    let mut story = Story::serving(TIMING);
    story.tell(Event::Hangup);
    let told = Action::Send { generation: 2, message: ToEngine::Demote(demoted()) };
    let demote = || Event::Demoted { generation: 1, demoted: demoted() };
    assert_eq!(story.tell(demote()), [Action::SaveJournal, told]);
    assert_eq!(story.tell(demote()), [], "once");
    story.pass_secs(2, 1);
    assert_eq!(story.dies(2, exited()), [Action::Report]);
    assert_eq!(story.pass_secs(2, 1), [spawn_with_demoted(3, Why::Reload)]);
    story.dies(3, exited());
    assert_eq!(story.dies(1, killed()), [spawn_with_demoted(4, Why::Crash)], "after a death, too");
}

#[test]
fn stalls_are_counted_by_module() {
    let mut story = Story::serving(TIMING);
    for _ in 0..3 {
        assert_eq!(story.tell(Event::Stalled { key: demoted().key }), []);
    }
    assert_eq!(story.machine.history().stalls, [(Some(demoted().key), 3)].into());
}

#[test]
fn an_engine_whose_blocking_threads_are_all_held_for_nobody_is_replaced_but_not_again_and_again() {
    let mut story = Story::serving(TIMING);
    assert_eq!(story.tell(Event::PoolHeld { generation: 1 }), [spawn(2, Why::Wanted)]);
    assert_eq!(story.tell(Event::PoolHeld { generation: 1 }), [], "one is under way");
    story.tell(Event::Ready { generation: 2, ok: 1, failed: 0 });
    story.tell(Event::Active { generation: 2 });
    assert_eq!(story.tell(Event::PoolHeld { generation: 1 }), [], "it drains already");
    assert_eq!(story.tell(Event::PoolHeld { generation: 2 }), [], "not within a minute");
}

#[test]
fn an_engine_whose_threads_are_all_held_is_replaced_but_not_again_and_again() {
    let mut story = Story::serving(TIMING);
    assert_eq!(story.tell(Event::WorkersHeld { generation: 1 }), [spawn(2, Why::Wanted)]);
    assert_eq!(story.tell(Event::WorkersHeld { generation: 1 }), [], "one is under way");
    story.tell(Event::Ready { generation: 2, ok: 1, failed: 0 });
    story.tell(Event::Active { generation: 2 });
    assert_eq!(story.tell(Event::WorkersHeld { generation: 1 }), [], "it drains already");
    assert_eq!(story.tell(Event::WorkersHeld { generation: 2 }), []);
    let actions = story.pass_secs(59, 2);
    assert!(!actions.iter().any(|action| matches!(action, Action::Spawn { .. })), "{actions:?}");
    let actions = story.pass_secs(2, 2);
    assert!(actions.contains(&spawn(3, Why::Wanted)), "{actions:?}");
}
