//! Whom the judge blames, and above all whom not. A thread here does what its script says, tick by tick.

use std::cell::Cell;

use super::*;

/// What a thread does during a tick.
#[derive(Clone, Copy, Debug)]
enum Does {
    /// Computes all the time.
    Burns,
    /// Waits for something.
    Sleeps,
    /// Would compute, and is not let: throttled, or others have the CPUs.
    WaitsForCpu,
    /// Sleeps nearly all the time, and is awake when it is looked at.
    Naps,
    /// Is stopped by a signal.
    IsStopped,
    /// Serves other requests.
    Serves,
}

use Does::{Burns, IsStopped, Naps, Serves, Sleeps, WaitsForCpu};

struct Fake {
    sequence: Cell<u64>,
    cpu: Cell<Duration>,
    does: Cell<Does>,
    fingerprint: u64,
}

impl Fake {
    fn new(fingerprint: u64) -> Self {
        Self { sequence: Cell::new(1), cpu: Cell::default(), does: Cell::new(Sleeps), fingerprint }
    }

    /// Time passes; the CPU clock goes only while it burns.
    fn pass(&self, does: Does, time: Duration) {
        self.does.set(does);
        match does {
            Burns => self.cpu.set(self.cpu.get() + time),
            Naps => self.cpu.set(self.cpu.get() + time / 1000),
            Serves => self.sequence.set(self.sequence.get() + 2),
            Sleeps | WaitsForCpu | IsStopped => {}
        }
    }
}

impl Thread for Fake {
    fn sequence(&self) -> u64 {
        self.sequence.get()
    }

    fn stay(&self, sequence: u64) -> Option<Stay> {
        let stay = Stay { sequence, row: 1, fingerprint: self.fingerprint, handler: Some(0) };
        (sequence == self.sequence.get() && sequence % 2 == 1).then_some(stay)
    }

    fn cpu_time(&self) -> Option<Duration> {
        Some(self.cpu.get())
    }

    fn state(&self) -> Option<RunState> {
        Some(match self.does.get() {
            Burns | Naps | Serves | WaitsForCpu => RunState::Runs,
            Sleeps => RunState::Sleeps,
            IsStopped => RunState::Stopped,
        })
    }
}

/// A judge, its threads and the clock.
struct Story {
    judge: Judge,
    now: Instant,
    threads: Vec<Fake>,
}

impl Story {
    fn new(threads: usize) -> Self {
        let threads = (0..threads as u64).map(Fake::new).collect();
        Self { judge: Judge::default(), now: Instant::now(), threads }
    }

    /// All threads but the first serve others meanwhile.
    fn first(&mut self, does: Does, ticks: u32) -> Vec<Finding> {
        self.each(&[does], TICK, ticks)
    }

    /// `ticks` looks, `every` so often; threads that `does` does not name serve. That a call lasts is not told.
    fn each(&mut self, does: &[Does], every: Duration, ticks: u32) -> Vec<Finding> {
        let mut findings = self.all(does, every, ticks);
        findings.retain(|finding| *finding != Finding::Lasts);
        findings
    }

    fn all(&mut self, does: &[Does], every: Duration, ticks: u32) -> Vec<Finding> {
        let mut findings = Vec::new();
        for _ in 0..ticks {
            self.now += every;
            for (index, thread) in self.threads.iter().enumerate() {
                thread.pass(does.get(index).copied().unwrap_or(Serves), every);
            }
            findings.extend(self.judge.look(self.now, &self.threads));
        }
        findings
    }

    /// The first thread's request is over, and a next one comes.
    fn next_request(&mut self) {
        self.first(Serves, 1);
    }

    fn stay(&self, thread: usize) -> Stay {
        let thread = &self.threads[thread];
        thread.stay(thread.sequence()).unwrap()
    }
}

#[test]
fn a_handler_that_sleeps_is_a_stall_after_50_ms_and_demoted_after_500() {
    let mut story = Story::new(2);
    assert_eq!(story.first(Sleeps, 6), [], "two looks find it, the third is the first that counts");
    let stay = story.stay(0);
    assert_eq!(story.first(Sleeps, 1), [Finding::Stall(stay)]);
    assert_eq!(story.first(Sleeps, 44), [], "a stall is found once");
    let deed = Deed::Long(Duration::from_millis(500));
    assert_eq!(story.first(Sleeps, 1), [Finding::Demote(stay, deed)]);
    assert_eq!(story.first(Sleeps, 1000), [], "and so is this");
    assert_eq!(deed.to_string(), "held a thread of the engine for 500 ms");
}

#[test]
fn a_handler_that_burns_is_judged_by_the_cpu_clock() {
    let mut story = Story::new(2);
    assert_eq!(story.first(Burns, 6), []);
    let stay = story.stay(0);
    assert_eq!(story.first(Burns, 1), [Finding::Stall(stay)]);
    let found = story.first(Burns, 100);
    assert_eq!(found, [Finding::Demote(stay, Deed::Long(Duration::from_millis(500)))]);
}

#[test]
fn a_call_lasts_once_whatever_holds_it_up() {
    for does in [Burns, Sleeps, WaitsForCpu] {
        let mut story = Story::new(2);
        for _ in 0..3 {
            story.next_request();
            assert_eq!(story.all(&[does], TICK, 1), [Finding::Lasts], "at the second look");
            assert_eq!(story.all(&[does], TICK, 3), []);
        }
    }
}

#[test]
fn short_calls_are_never_looked_at_however_many_there_are() {
    let mut story = Story::new(2);
    assert_eq!(story.first(Serves, 1000), []);
    for _ in 0..1000 {
        assert_eq!(story.first(Sleeps, 5), []);
        story.next_request();
    }
}

#[test]
fn three_stalls_in_a_minute_demote_and_two_do_not() {
    let mut story = Story::new(2);
    let stall = |story: &mut Story| {
        let found = story.first(Sleeps, 8);
        story.next_request();
        found
    };
    for _ in 0..2 {
        assert!(matches!(stall(&mut story)[..], [Finding::Stall(_)]));
    }
    assert_eq!(story.first(Serves, 6100), [], "a minute later those two are forgotten");
    for _ in 0..2 {
        assert!(matches!(stall(&mut story)[..], [Finding::Stall(_)]));
    }
    let third = stall(&mut story);
    let [Finding::Stall(_), Finding::Demote(_, deed)] = third[..] else { panic!("{third:?}") };
    assert_eq!(deed.to_string(), "held a thread of the engine 3 times in a minute, the last time for 50 ms");
}

#[test]
fn who_is_not_let_run_is_never_blamed() {
    let mut story = Story::new(2);
    assert_eq!(story.first(WaitsForCpu, 100_000), [], "1,000 s of wall time");
    story.next_request();
    assert_eq!(story.first(IsStopped, 100_000), []);
}

#[test]
fn a_throttled_pod_is_not_blamed_for_short_handlers() {
    // With cpu: 200m everything runs for 20 ms, then stands still for 80, who looks too. A handler of 30 ms is on its thread for 200 ms.
    for does in [Burns, Sleeps] {
        let mut story = Story::new(1);
        for _ in 0..500 {
            let mut found = story.first(does, 2);
            found.extend(story.each(&[WaitsForCpu], Duration::from_millis(80), 1));
            found.extend(story.first(does, 1));
            assert_eq!(found, [], "{does:?}");
            story.next_request();
        }
    }
}

#[test]
fn who_waits_for_one_that_is_not_let_run_is_not_blamed_for_it() {
    let mut story = Story::new(2);
    // Both were seen before.
    assert_eq!(story.each(&[Sleeps, Burns], TICK, 2), []);
    assert_eq!(story.each(&[Sleeps, WaitsForCpu], TICK, 98), [], "the lock is held, and so is its holder");
    // With cpu: 200m, and one that looks on a CPU with something left: the holder gets a fifth, and the one that waits has waited a fifth.
    let mut story = Story::new(2);
    for _ in 0..4 {
        assert_eq!(story.each(&[Sleeps, Burns], TICK, 1), []);
        assert_eq!(story.each(&[Sleeps, WaitsForCpu], TICK, 4), [], "200 ms by the wall");
    }
}

#[test]
fn who_sleeps_is_found_out_also_while_others_have_little_cpu() {
    let mut story = Story::new(2);
    let mut found = Vec::new();
    for _ in 0..30 {
        found.extend(story.each(&[Sleeps, Burns], TICK, 1));
        found.extend(story.each(&[Sleeps, WaitsForCpu], TICK, 9));
    }
    assert!(found.contains(&Finding::AllHeld), "an engine that serves nobody is replaced: {found:?}");
}

#[test]
fn who_naps_does_not_stop_the_time_of_sleepers() {
    let mut story = Story::new(2);
    let found = story.each(&[Sleeps, Naps], TICK, 1010);
    assert!(matches!(found[..], [Finding::Stall(_), Finding::Demote(_, Deed::Long(_))]), "{found:?}");
    // Somebody is awake at every look, and nobody serves.
    let mut story = Story::new(3);
    let mut found = Vec::new();
    for _ in 0..500 {
        found.extend(story.each(&[Sleeps, Naps, Sleeps], TICK, 1));
        found.extend(story.each(&[Sleeps, Sleeps, Naps], TICK, 1));
    }
    assert!(found.contains(&Finding::AllHeld), "{found:?}");
}

#[test]
fn a_whole_process_that_was_stopped_for_hours_is_two_ticks_older() {
    let mut story = Story::new(2);
    assert_eq!(story.first(Sleeps, 3), []);
    let hours = Duration::from_secs(10_000);
    assert_eq!(story.each(&[Sleeps], hours, 1), [], "whoever looks was stopped as well");
    assert_eq!(story.first(Sleeps, 1), []);
    assert!(matches!(story.first(Sleeps, 1)[..], [Finding::Stall(_)]));
}

#[test]
fn when_all_threads_are_held_everybody_who_holds_one_is_demoted() {
    let mut story = Story::new(2);
    let mut found = story.each(&[Sleeps, Serves], TICK, 10);
    found.extend(story.each(&[Sleeps, Burns], TICK, 25));
    let stays = [0, 1].map(|thread| story.stay(thread));
    assert_eq!(found, stays.map(Finding::Stall), "one of them not yet for 250 ms");
    let found = story.each(&[Sleeps, Burns], TICK, 1);
    let [Finding::Demote(first, Deed::All(_)), Finding::Demote(second, deed), Finding::AllHeld] = found[..]
    else {
        panic!("{found:?}")
    };
    assert_eq!([first, second], stays);
    assert_eq!(deed.to_string(), "was among those that held all threads of the engine for 250 ms");
    assert_eq!(story.each(&[Sleeps, Burns], TICK, 1), [Finding::AllHeld], "as long as it is so");
    assert_eq!(story.each(&[Sleeps, Serves], TICK, 1), []);
}

#[test]
fn an_engine_without_threads_is_not_held() {
    assert_eq!(Story::new(0).each(&[], TICK, 100), []);
}
