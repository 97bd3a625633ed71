//! Counting requests, each worker in words of its own.
//!
//! Owns which shard a thread counts in. Must not know what is counted: `request` does.

use std::cell::OnceCell;
use std::time::Instant;

use hotbay_protocol::{EngineMemory, Shard};

thread_local! {
    static SHARD: OnceCell<Shard> = const { OnceCell::new() };
}

/// Gives this thread a shard that is its own.
pub(crate) fn attach_thread(shard: Shard) {
    SHARD.with(|here| {
        here.get_or_init(|| shard);
    });
}

/// Runs `count` on this thread's shard, or on the one of all threads that have none.
fn with(memory: &EngineMemory, count: impl FnOnce(&Shard)) {
    SHARD.with(|here| match here.get() {
        Some(shard) => count(shard),
        None => count(&memory.shard(None)),
    });
}

/// A request on its way. However it ends, also by its client's going away, it is counted as over, once.
pub(crate) struct Timed<'m> {
    memory: &'m EngineMemory,
    began: Instant,
    over: bool,
}

impl<'m> Timed<'m> {
    /// A request begins.
    pub fn begin(memory: &'m EngineMemory) -> Self {
        with(memory, Shard::begin);
        Self { memory, began: Instant::now(), over: false }
    }

    /// Module row `row` has answered with `status`.
    pub fn answered(mut self, row: usize, status: u16) {
        self.over = true;
        let took = self.began.elapsed();
        with(self.memory, |shard| {
            shard.answered(row, status);
            shard.end(took);
        });
    }
}

impl Timed<'_> {
    /// Module row `row` has begun to answer with `status`; the answer is a stream.
    pub fn begun(mut self, row: usize, status: u16) -> Underway {
        self.over = true;
        with(self.memory, |shard| shard.answered(row, status));
        Underway { memory: self.memory.clone(), began: self.began }
    }
}

/// A request whose answer is being streamed. It is over when this is dropped.
pub(crate) struct Underway {
    memory: EngineMemory,
    began: Instant,
}

impl Drop for Underway {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        with(&self.memory, |shard| shard.end(took));
    }
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        if !self.over {
            let took = self.began.elapsed();
            with(self.memory, |shard| shard.end(took));
        }
    }
}

#[cfg(test)]
mod tests {
    use hotbay_protocol::{ENGINE_MEMORY_WORDS, Tally};
    use hotbay_sys::memory::{SharedWords, create};

    use super::*;

    #[test]
    fn a_request_ends_once_also_when_its_client_leaves() {
        let fd = create("test", ENGINE_MEMORY_WORDS).unwrap();
        let memory = EngineMemory::new(SharedWords::map(&fd).unwrap()).unwrap();
        Timed::begin(&memory).answered(0, 404);
        drop(Timed::begin(&memory));
        let open = Timed::begin(&memory);
        let mut tally = Tally::default();
        memory.add_to(&mut tally);
        assert_eq!((tally.begun, tally.durations.count(), tally.in_flight()), (3, 2, 1));
        assert_eq!(tally.answers[&None].iter().sum::<u64>(), 1, "who left got no answer");
        drop(open);
    }

    #[test]
    fn a_stream_is_answered_at_once_and_in_flight_until_it_is_over() {
        let fd = create("test", ENGINE_MEMORY_WORDS).unwrap();
        let memory = EngineMemory::new(SharedWords::map(&fd).unwrap()).unwrap();
        let counts = || {
            let mut tally = Tally::default();
            memory.add_to(&mut tally);
            (tally.answers[&None].iter().sum::<u64>(), tally.in_flight(), tally.durations.count())
        };
        let underway = Timed::begin(&memory).begun(0, 200);
        assert_eq!(counts(), (1, 1, 0));
        drop(underway);
        assert_eq!(counts(), (1, 0, 1));
    }
}
