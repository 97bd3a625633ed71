//! What the pool promises, with futures that hold their thread as a bad handler does.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use hotbay_protocol::ENGINE_MEMORY_WORDS;
use hotbay_sys::memory::{SharedWords, create};
use tokio::sync::oneshot;

use super::*;

const DEADLINE: Duration = Duration::from_secs(60);

fn memory() -> EngineMemory {
    let fd = create("test", ENGINE_MEMORY_WORDS).unwrap();
    EngineMemory::new(SharedWords::map(&fd).unwrap()).unwrap()
}

fn of(row: usize) -> Mark {
    Mark { row: row as u64, fingerprint: 0 }
}

/// Runs a call that somebody waits for to its end.
fn run(pool: &Pool, row: usize, call: impl Future<Output = ()> + Send + 'static) -> Result<(), Refused> {
    pool.spawn(of(row), call).map(|mut ticket| ticket.answered())
}

/// Calls that hold their threads until they are let go.
struct Held {
    begun: Receiver<usize>,
    begin: Sender<usize>,
    go: Vec<Sender<()>>,
}

impl Held {
    fn new() -> Self {
        let (begin, begun) = channel();
        Self { begun, begin, go: Vec::new() }
    }

    fn spawn(&mut self, pool: &Pool, row: usize) -> Result<(), Refused> {
        let (go, gone) = channel();
        let begin = self.begin.clone();
        run(pool, row, async move {
            begin.send(row).unwrap();
            // Until it is told to, or the test is over.
            let _told = gone.recv();
        })?;
        self.go.push(go);
        Ok(())
    }

    /// The rows of the next calls that begin.
    fn begin(&self, count: usize) -> Vec<usize> {
        let mut rows: Vec<usize> = (0..count).map(|_| self.begun.recv_timeout(DEADLINE).unwrap()).collect();
        rows.sort_unstable();
        rows
    }
}

fn wait_for(what: &str, is: impl Fn() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !is() {
        assert!(Instant::now() < until, "{what}");
        thread::yield_now();
    }
}

#[test]
fn calls_that_hold_their_threads_run_side_by_side_and_one_module_never_has_all() {
    let memory = memory();
    let pool = Pool::new(8, memory.clone());
    let mut held = Held::new();
    for _ in 0..20 {
        held.spawn(&pool, 1).unwrap();
    }
    assert_eq!(held.begin(6), [1; 6], "three quarters of the threads are its share");
    assert_eq!(memory.pool(), PoolGauges { threads: 8, busy: 6, waiting: 14, ..PoolGauges::default() });
    for row in [2, 3] {
        held.spawn(&pool, row).unwrap();
    }
    assert_eq!(held.begin(2), [2, 3]);
    wait_for("all are busy", || {
        memory.pool() == PoolGauges { threads: 8, busy: 8, waiting: 14, ..PoolGauges::default() }
    });
    held.go.clear();
    assert_eq!(held.begin(14), [1; 14]);
    wait_for("all is done", || {
        memory.pool() == PoolGauges { threads: 8, busy: 0, waiting: 0, ..PoolGauges::default() }
    });
}

#[test]
fn beyond_its_bounds_the_pool_refuses_and_counts() {
    let memory = memory();
    let pool = Pool::new(1, memory.clone());
    let mut held = Held::new();
    held.spawn(&pool, 1).unwrap();
    held.begin(1);
    // 16 may wait; half of them of one module.
    for _ in 0..8 {
        held.spawn(&pool, 1).unwrap();
    }
    assert_eq!(held.spawn(&pool, 1), Err(Refused::Full));
    for _ in 0..8 {
        held.spawn(&pool, 2).unwrap();
    }
    assert_eq!(held.spawn(&pool, 3), Err(Refused::Full), "there is no room for anybody");
    let mut tally = hotbay_protocol::Tally::default();
    memory.add_to(&mut tally);
    assert_eq!((tally.rejected, memory.pool().waiting), (2, 16));
    held.go.clear();
    assert_eq!(held.begin(16), [[1; 8], [2; 8]].concat());
}

#[test]
fn whoever_leaves_takes_a_call_along_that_has_not_begun_and_is_counted_for_one_that_has() {
    let memory = memory();
    let pool = Pool::new(1, memory.clone());
    let (begin, begun) = channel();
    let (go, gone) = channel::<()>();
    let held = pool.spawn(of(1), async move {
        begin.send(()).unwrap();
        let _told = gone.recv();
    });
    begun.recv_timeout(DEADLINE).unwrap();
    let (dropped_tx, dropped) = channel();
    let tells = Tells(dropped_tx);
    let waits = pool.spawn(of(1), async move { drop(tells) }).unwrap();
    assert_eq!(memory.pool(), PoolGauges { threads: 1, busy: 1, abandoned: 0, waiting: 1 });
    drop(waits);
    assert_eq!(dropped.try_recv(), Ok(thread::current().id()), "it has not begun, and never will");
    assert_eq!(memory.pool(), PoolGauges { threads: 1, busy: 1, abandoned: 0, waiting: 0 });
    drop(held);
    assert_eq!(memory.pool(), PoolGauges { threads: 1, busy: 1, abandoned: 1, waiting: 0 });
    assert_eq!(pool.stuck(), (vec![], false), "it may still return");
    drop(go);
    wait_for("it has", || memory.pool() == PoolGauges { threads: 1, ..PoolGauges::default() });
}

/// Says on drop which thread that was on.
struct Tells(Sender<ThreadId>);

impl Drop for Tells {
    fn drop(&mut self) {
        self.0.send(thread::current().id()).unwrap();
    }
}

#[test]
fn a_call_that_waits_holds_no_thread_and_is_polled_and_dropped_on_the_pool() {
    let pool = Pool::new(1, memory());
    let (dropped_tx, dropped) = channel();
    let mut wakes = Vec::new();
    for row in 1..=3 {
        let (wake, woken) = oneshot::channel::<()>();
        let tells = Tells(dropped_tx.clone());
        run(&pool, row, async move {
            let _tells = tells;
            woken.await.unwrap();
        })
        .unwrap();
        wakes.push(wake);
    }
    // A thread that held one of them would never come to this.
    let (name_tx, name) = channel();
    run(&pool, 4, async move { name_tx.send(thread::current().id()).unwrap() }).unwrap();
    let only = name.recv_timeout(DEADLINE).unwrap();
    assert!(dropped.try_recv().is_err(), "they wait");
    wakes.into_iter().for_each(|wake| wake.send(()).unwrap());
    for _ in 0..3 {
        assert_eq!(dropped.recv_timeout(DEADLINE).unwrap(), only);
    }
}

#[test]
fn a_wake_that_comes_while_a_call_is_polled_is_not_lost() {
    let pool = Pool::new(2, memory());
    let (done_tx, done) = channel();
    for _ in 0..1000 {
        let (wake, woken) = oneshot::channel();
        let told = done_tx.clone();
        run(&pool, 1, async move {
            woken.await.unwrap();
            // Once more, by ourselves.
            let mut first = true;
            std::future::poll_fn(|cx| match std::mem::take(&mut first) {
                true => {
                    cx.waker().wake_by_ref();
                    std::task::Poll::Pending
                }
                false => std::task::Poll::Ready(()),
            })
            .await;
            told.send(()).unwrap();
        })
        .unwrap();
        // Before it waits, while it begins to, or when it does.
        wake.send(()).unwrap();
        done.recv_timeout(DEADLINE).unwrap();
    }
}

#[test]
fn the_end_waits_for_calls_that_are_over_soon_and_not_for_others() {
    let pool = Pool::new(2, memory());
    let mut held = Held::new();
    held.spawn(&pool, 1).unwrap();
    held.begin(1);
    let clock = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let ended = |limit| {
        let began = Instant::now();
        clock.block_on(pool.ended(limit));
        began.elapsed() < limit
    };
    assert!(!ended(Duration::from_millis(20)), "it holds its thread");
    held.go.clear();
    assert!(ended(DEADLINE));
}

#[test]
fn a_panic_ends_its_call_and_no_thread() {
    let memory = memory();
    let pool = Pool::new(1, memory.clone());
    let (dropped_tx, dropped) = channel();
    for _ in 0..3 {
        let tells = Tells(dropped_tx.clone());
        run(&pool, 1, async move {
            let _tells = tells;
            panic!("on purpose");
        })
        .unwrap();
        dropped.recv_timeout(DEADLINE).unwrap();
    }
    wait_for("it is free", || memory.pool().busy == 0);
}

#[test]
fn the_usual_size_follows_the_cpus_within_bounds() {
    assert_eq!([1, 2, 3, 8, 1000].map(usual_size), [8, 8, 12, 32, MAX_THREADS]);
}
