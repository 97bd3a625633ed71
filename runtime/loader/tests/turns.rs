//! Every order in which threads can wake, answer, wait for and end a call: no wake is lost, and nobody is woken twice for one wait.
//!
//! The slots of handles are statics with std's locks, behind which whole requests lie; on loom's types they could not be shipped. So this is a model:
//! the rules themselves, `handle/turn.rs`, are the file that is shipped, and around them stands what `call.rs` (poll, settle, register), `host.rs` (wake),
//! `respond.rs` (submit) and `handle.rs` (close) do, one locked section for each of theirs. A change of those sections is to be made here too.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, outside their functions"
)]

#[path = "../src/handle/turn.rs"]
#[allow(dead_code, unreachable_pub, reason = "the loader uses the rest")]
mod turn;

use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use turn::Turn;

/// The task of a call. (Loom's own `Notify` wakes for no reason, too.)
struct Task {
    rung: Mutex<bool>,
    bell: Condvar,
    wakes: AtomicUsize,
}

/// What is handed out to be woken, once.
struct Waker(Arc<Task>);

impl Waker {
    fn wake(self) {
        self.0.wakes.fetch_add(1, Ordering::SeqCst);
        *self.0.rung.lock().unwrap() = true;
        self.0.bell.notify_one();
    }
}

impl Task {
    fn new() -> Arc<Self> {
        Arc::new(Self { rung: Mutex::new(false), bell: Condvar::new(), wakes: AtomicUsize::new(0) })
    }

    fn wait(&self) {
        let mut rung = self.rung.lock().unwrap();
        while !std::mem::take(&mut *rung) {
            rung = self.bell.wait(rung).unwrap();
        }
    }
}

/// As a slot's state.
struct State {
    generation: usize,
    turn: Turn<Waker>,
    answered: bool,
}

/// A slot, and what the module behind it knows.
struct Slot {
    state: Mutex<State>,
    /// The module can go on, at its next poll.
    open: AtomicBool,
    /// It has.
    went_on: AtomicBool,
}

#[derive(Debug, PartialEq, Eq)]
enum Polled {
    Done,
    Again,
    Waits,
}

impl Slot {
    fn new() -> Arc<Self> {
        let state = State { generation: 1, turn: Turn::new(), answered: false };
        Arc::new(Self {
            state: Mutex::new(state),
            open: AtomicBool::new(false),
            went_on: AtomicBool::new(false),
        })
    }

    /// As `handle::with`: a stale handle finds nobody.
    fn with<R>(&self, generation: usize, change: impl FnOnce(&mut State) -> R) -> Option<R> {
        let mut state = self.state.lock().unwrap();
        (state.generation == generation).then(|| change(&mut state))
    }

    /// As the host's `wake`.
    fn wake(&self, generation: usize) {
        let waker = self.with(generation, |state| state.turn.wake());
        if let Some(waker) = waker.flatten() {
            waker.wake();
        }
    }

    /// As the host's `respond`: whether the answer was taken.
    fn respond(&self, generation: usize) -> bool {
        let submitted = self.with(generation, |state| {
            let open = !state.answered;
            state.answered = true;
            (open, if open { state.turn.news() } else { None })
        });
        let Some((taken, waker)) = submitted else { return false };
        if let Some(waker) = waker {
            waker.wake();
        }
        taken
    }

    /// As `handle::close`: whether an answer was there.
    fn close(&self, generation: usize) -> Option<bool> {
        let closed = self.with(generation, |state| {
            state.generation += 1;
            (std::mem::take(&mut state.answered), state.turn.leave())
        });
        closed.map(|(answered, _waker)| answered)
    }

    /// The module's turn: whether it can go on.
    fn goes_on(&self) -> bool {
        let open = self.open.load(Ordering::SeqCst);
        self.went_on.fetch_or(open, Ordering::SeqCst);
        open
    }

    /// As the stream of an answer whose head was collected: polls the module when it was woken, until that can go on.
    fn follow(&self) {
        let task = Task::new();
        loop {
            let waits = self.with(1, |state| {
                state.turn.end();
                let waits = state.turn.wait(|| Waker(Arc::clone(&task)));
                if waits.is_err() {
                    state.turn.begin();
                }
                waits.is_ok()
            });
            match waits.unwrap() {
                true => task.wait(),
                false if self.goes_on() => return,
                false => {}
            }
        }
    }

    /// As `Call::poll_once`.
    fn poll_once(&self, task: &Arc<Task>) -> Polled {
        let answered = self.with(1, |state| {
            if !state.answered {
                state.turn.begin();
            }
            state.answered
        });
        // The module's turn.
        if answered != Some(false) || self.goes_on() {
            return Polled::Done;
        }
        let settled = self.with(1, |state| {
            state.turn.end();
            match state.answered {
                true => Polled::Done,
                false if state.turn.is_woken() => Polled::Again,
                false => Polled::Waits,
            }
        });
        match settled.unwrap() {
            Polled::Waits => {}
            polled => return polled,
        }
        let waits = self.with(1, |state| match state.answered {
            true => None,
            false => state.turn.wait(|| Waker(Arc::clone(task))).ok(),
        });
        if waits.flatten().is_some() { Polled::Waits } else { Polled::Again }
    }

    /// Runs a call to its end; how often it waited, and how often it was woken. Loom calls it a deadlock if a wake is lost.
    fn run(&self) -> (usize, usize) {
        let task = Task::new();
        let mut waits = 0;
        loop {
            match self.poll_once(&task) {
                Polled::Done => break,
                Polled::Again => {}
                Polled::Waits => {
                    waits += 1;
                    task.wait();
                }
            }
        }
        (waits, task.wakes.load(Ordering::SeqCst))
    }
}

/// Tries all orders of a call's task and of two threads of its module in which threads are interrupted three times at most: of more there are too many,
/// and faults of this kind show with two (Musuvathi and Qadeer, PLDI 2007).
fn in_every_order(one: fn(&Slot), other: fn(&Slot)) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let slot = Slot::new();
        let threads = [one, other].map(|does| {
            let slot = Arc::clone(&slot);
            thread::spawn(move || does(&slot))
        });
        let (waits, wakes) = slot.run();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(waits, wakes, "each wait is ended by one wake");
        slot.close(1);
    });
}

fn opens_and_wakes(slot: &Slot) {
    slot.open.store(true, Ordering::SeqCst);
    slot.wake(1);
}

#[test]
fn a_wake_is_seen_while_the_module_runs_before_the_waker_is_left_and_after() {
    in_every_order(opens_and_wakes, |_| {});
}

#[test]
fn of_two_wakes_none_is_lost_and_one_too_many_wakes_nobody_twice() {
    in_every_order(opens_and_wakes, |slot| slot.wake(1));
}

#[test]
fn an_answer_from_another_thread_is_seen_whether_or_not_the_task_waits() {
    in_every_order(|slot| assert!(slot.respond(1)), |slot| slot.wake(1));
}

#[test]
fn a_wake_that_comes_before_the_head_of_a_stream_is_seen_by_the_stream() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let slot = Slot::new();
        let module = Arc::clone(&slot);
        let thread = thread::spawn(move || {
            opens_and_wakes(&module);
            assert!(module.respond(1));
        });
        slot.run();
        if !slot.went_on.load(Ordering::SeqCst) {
            slot.follow();
        }
        thread.join().unwrap();
        slot.close(1);
    });
}

#[test]
fn of_two_answers_one_is_taken() {
    in_every_order(
        |slot| {
            slot.respond(1);
        },
        |slot| {
            // The second look at a call that is answered: nobody takes it again.
            let first = slot.respond(1);
            assert!(!slot.respond(1), "after {first}");
        },
    );
}

#[test]
fn a_call_that_ends_meanwhile_is_woken_before_its_end_or_not_at_all() {
    loom::model(|| {
        let slot = Slot::new();
        let task = Task::new();
        assert_eq!(slot.poll_once(&task), Polled::Waits);
        let waking = Arc::clone(&slot);
        let thread = thread::spawn(move || waking.wake(1));
        // The client leaves, and the next call has the slot.
        assert_eq!(slot.close(1), Some(false));
        let next = Task::new();
        let waits = slot.with(2, |state| {
            state.turn.begin();
            state.turn.end();
            state.turn.wait(|| Waker(Arc::clone(&next))).is_ok()
        });
        thread.join().unwrap();
        assert_eq!(waits, Some(true), "the late wake does not reach the slot's next tenant");
        assert_eq!(next.wakes.load(Ordering::SeqCst), 0);
        assert!(task.wakes.load(Ordering::SeqCst) <= 1);
        assert_eq!(Arc::strong_count(&task), 1, "its waker was used or dropped");
        assert_eq!(slot.close(2), Some(false));
    });
}

#[test]
fn an_answer_to_a_call_that_ends_is_collected_or_refused() {
    loom::model(|| {
        let slot = Slot::new();
        let task = Task::new();
        assert_eq!(slot.poll_once(&task), Polled::Waits);
        let answering = Arc::clone(&slot);
        let thread = thread::spawn(move || answering.respond(1));
        let collected = slot.close(1).unwrap();
        assert_eq!(collected, thread.join().unwrap(), "what respond took, close has found");
        assert_eq!(slot.close(1), None);
    });
}
