//! The keeper's own end.

use super::*;

#[test]
fn sigterm_waits_then_drains_then_is_done() {
    let mut story = Story::serving(TIMING);
    assert_eq!(story.tell(Event::Terminate), []);
    assert!(!story.is_ready(), "not ready from the first signal on");
    assert_eq!(story.pass(Duration::from_millis(4_990), Some(1)), [], "it still accepts");
    assert_eq!(
        story.pass(Duration::from_millis(20), Some(1)),
        [Action::CloseListener, drain(1, DrainKind::Graceful, 30_000)]
    );
    assert_eq!(story.tell(Event::Hangup), []);
    story.tell(Event::Drained { generation: 1, cut: 0 });
    assert!(!story.machine.is_done(), "it waits for the process");
    assert_eq!(story.dies(1, exited()), []);
    assert!(story.machine.is_done());
}

#[test]
fn the_second_signal_hurries_and_the_third_kills() {
    let mut story = Story::serving(Timing { shutdown_delay: Duration::ZERO, ..TIMING });
    let close = Action::CloseListener;
    assert_eq!(story.tell(Event::Terminate), [close.clone(), drain(1, DrainKind::Graceful, 30_000)]);
    assert_eq!(story.tell(Event::Terminate), [close, drain(1, DrainKind::Short, 2000)]);
    assert_eq!(story.tell(Event::Terminate), [Action::Kill { generation: 1 }]);
    story.dies(1, killed());
    assert!(story.machine.is_done());
}

#[test]
fn a_hurried_engine_is_killed_when_its_time_is_over() {
    let mut story = Story::serving(TIMING);
    story.tell(Event::Terminate);
    let hurried = [Action::CloseListener, drain(1, DrainKind::Short, 2000)];
    assert_eq!(story.tell(Event::Terminate), hurried, "the delay is cut short");
    assert_eq!(story.pass(Duration::from_millis(2990), None), []);
    assert_eq!(story.pass(Duration::from_millis(20), None), [Action::Kill { generation: 1 }]);
}

#[test]
fn an_engine_that_starts_is_killed_and_none_follows() {
    let mut story = Story::serving(Timing { shutdown_delay: Duration::ZERO, ..TIMING });
    story.tell(Event::Hangup);
    let stop = [Action::Kill { generation: 2 }, Action::CloseListener, drain(1, DrainKind::Graceful, 30_000)];
    assert_eq!(story.tell(Event::Terminate), stop);
    assert_eq!(story.dies(1, crashed()), []);
    assert!(!story.machine.is_done());
    assert_eq!(story.dies(2, killed()), []);
    assert!(story.machine.is_done());
}

#[test]
fn a_keeper_that_waits_to_start_an_engine_ends_at_once() {
    let mut story = Story::new(TIMING);
    for generation in [1, 2] {
        story.tell(Event::Tick);
        story.dies(generation, exited());
    }
    story.tell(Event::Terminate);
    assert!(story.machine.is_done());
}
