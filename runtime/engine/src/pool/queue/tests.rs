//! When calls are refused because those before them do not return.

use hotbay_protocol::{ENGINE_MEMORY_WORDS, EngineMemory};
use hotbay_sys::memory::{SharedWords, create};

use super::*;
use crate::pool::Pool;

/// A queue for 8 threads, of which one lane may have 6, and the clock.
struct Story {
    pool: Pool,
    queue: Queue,
    now: Instant,
}

impl Story {
    fn new() -> Self {
        let fd = create("test", ENGINE_MEMORY_WORDS).unwrap();
        let memory = EngineMemory::new(SharedWords::map(&fd).unwrap()).unwrap();
        Self { pool: Pool::new(8, memory), queue: Queue::new(8, 128), now: Instant::now() }
    }

    fn admit(&mut self, row: u64) -> Result<Arc<Task>, Refused> {
        let task = Task::new(Mark { row, fingerprint: 1 }, Box::pin(async {}), &self.pool.inner);
        self.queue.admit(Arc::clone(&task), self.now).map(|()| task)
    }

    /// So many calls begin, and whoever asked leaves.
    fn hang(&mut self, row: u64, count: usize) -> Vec<Arc<Task>> {
        let begin = |_| {
            self.admit(row).unwrap();
            let task = self.queue.next().unwrap();
            assert!(self.queue.leave(&task, self.now).is_none(), "it has begun");
            task
        };
        (0..count).map(begin).collect()
    }
}

#[test]
fn a_lane_whose_threads_are_all_in_calls_that_nobody_waits_for_is_refused_after_a_while_and_no_other() {
    let mut story = Story::new();
    let hung = story.hang(1, 6);
    assert!(story.admit(1).is_ok(), "they may still return");
    assert_eq!((story.queue.busy(), story.queue.abandoned(), story.queue.stuck(story.now)), (6, 6, vec![]));
    story.now += GIVEN_UP;
    assert_eq!(story.admit(1).map(drop), Err(Refused::Stuck));
    assert_eq!(story.queue.stuck(story.now), [Mark { row: 1, fingerprint: 1 }]);
    assert!(story.admit(2).is_ok() && !story.queue.is_held(story.now), "others have the rest");
    story.queue.done(&hung[0]);
    assert!(story.admit(1).is_ok(), "one has returned");
}

#[test]
fn calls_that_are_waited_for_may_take_their_time() {
    let mut story = Story::new();
    for _ in 0..6 {
        story.admit(1).unwrap();
        story.queue.next().unwrap();
    }
    story.now += GIVEN_UP * 100;
    assert!(story.admit(1).is_ok());
    assert_eq!(story.queue.abandoned(), 0);
}

#[test]
fn when_no_thread_returns_nobody_is_admitted() {
    let mut story = Story::new();
    story.hang(1, 6);
    story.hang(2, 2);
    assert!(story.admit(3).is_ok());
    story.now += GIVEN_UP;
    assert!(story.queue.is_held(story.now));
    assert_eq!(story.admit(3).map(drop), Err(Refused::Stuck));
}

#[test]
fn whoever_leaves_before_their_turn_leaves_no_call_behind() {
    let mut story = Story::new();
    story.hang(1, 6);
    // As many as may wait, of whom all leave.
    for _ in 0..2 {
        let waiting: Vec<_> = (0..64).map(|_| story.admit(1).unwrap()).collect();
        assert_eq!(story.admit(1).map(drop), Err(Refused::Full));
        for task in &waiting {
            assert!(story.queue.leave(task, story.now).is_some());
        }
        assert_eq!(story.queue.waiting(), 0);
    }
}

#[test]
fn another_build_has_threads_of_its_own() {
    let mut story = Story::new();
    story.hang(1, 6);
    story.now += GIVEN_UP;
    let mark = Mark { row: 1, fingerprint: 2 };
    let task = Task::new(mark, Box::pin(async {}), &story.pool.inner);
    assert_eq!(story.queue.admit(task, story.now), Ok(()));
    assert_eq!(story.queue.next().unwrap().whose(), mark);
}
