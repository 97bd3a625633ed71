//! Threads for calls that may hold theirs.
//!
//! Owns a bounded number of threads, made when they are first needed, and the calls that run on them or wait to. A call's whole life is here: its
//! future is polled, and dropped, on these threads alone. One module can have neither all threads nor all of the queue, so that one that hangs
//! leaves room for the others. The threads give way to those that serve (`nice`). A call that never returns keeps its thread; what is known of that, and what
//! is refused for it, is here as well, and what becomes of an engine whose threads have all gone so, is `control`'s.
//!
//! Must not know what a call is, nor answer for it: `request` does.
//!
//! An executor of our own, because tokio's takes its tasks for ones that never hold a thread.

mod queue;
mod task;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hotbay_loader::Mark;
use hotbay_protocol::{EngineMemory, PoolGauges};
use tokio::sync::watch;

use self::queue::Queue;
use self::task::Task;

/// So far they give way: a tenth of the share of a thread that serves, where CPUs are short.
const NICE: i32 = 10;
/// Calls that may wait for each thread. At the usual 10 s of a request's time limit whoever is further behind would mostly wait in vain.
const WAITING_PER_THREAD: usize = 16;

/// So many threads a pool has if nobody says otherwise: enough for modules that wait for a database, few enough for the memory of a small pod.
pub(crate) fn usual_size(cpus: usize) -> usize {
    cpus.saturating_mul(4).clamp(8, MAX_THREADS)
}

/// More would find no slot to leave their marks in.
pub(crate) const MAX_THREADS: usize = 64;

/// The pool. Clones are the same.
#[derive(Clone)]
pub(crate) struct Pool {
    inner: Arc<Inner>,
}

/// Why a call is not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// Too many wait already.
    #[error("too many calls wait for the pool of blocking threads")]
    Full,
    /// Its turn would not come.
    #[error("the blocking threads are in calls that do not return")]
    Stuck,
}

/// Whoever waits for a call. Dropped before the answer is there, the call is one that nobody waits for: if it has not begun it never does.
#[must_use]
pub(crate) struct Ticket {
    task: Arc<Task>,
    pool: Arc<Inner>,
    is_answered: bool,
}

impl Ticket {
    /// It was not in vain.
    pub fn answered(&mut self) {
        self.is_answered = true;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.is_answered {
            return;
        }
        let mut queue = self.pool.queue();
        let left = queue.leave(&self.task, Instant::now());
        self.pool.tell(&queue);
        drop(queue);
        if let Some(task) = left {
            task.forget();
        }
    }
}

struct Inner {
    size: usize,
    memory: EngineMemory,
    queue: Mutex<Queue>,
    ready: Condvar,
    /// Calls that are not over.
    alive: watch::Sender<usize>,
}

/// A call that is not over.
struct Alive(Arc<Inner>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive.send_modify(|alive| *alive -= 1);
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("size", &self.inner.size).finish_non_exhaustive()
    }
}

impl Pool {
    /// A pool of up to `size` threads that leave their marks in `memory`.
    pub fn new(size: usize, memory: EngineMemory) -> Self {
        let size = size.clamp(1, MAX_THREADS);
        let queue = Mutex::new(Queue::new(size, size * WAITING_PER_THREAD));
        let inner =
            Arc::new(Inner { size, memory, queue, ready: Condvar::new(), alive: watch::Sender::new(0) });
        inner.tell(&inner.queue());
        Self { inner }
    }

    /// Runs a `call` of that instance here.
    ///
    /// # Errors
    /// When too many wait, or would wait in vain. `call` is dropped on the calling thread then: it must not have begun.
    pub fn spawn(
        &self,
        whose: Mark,
        call: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Ticket, Refused> {
        self.inner.alive.send_modify(|alive| *alive += 1);
        let alive = Alive(Arc::clone(&self.inner));
        // Dropped after the call, however that ends.
        let counted = async move {
            let _alive = alive;
            call.await;
        };
        let task = Task::new(whose, Box::pin(counted), &self.inner);
        let mut queue = self.inner.queue();
        if let Err(refused) = queue.admit(Arc::clone(&task), Instant::now()) {
            drop(queue);
            self.inner.memory.count_rejected();
            return Err(refused);
        }
        self.inner.pushed(queue);
        Ok(Ticket { task, pool: Arc::clone(&self.inner), is_answered: false })
    }

    /// Whose calls are refused because those before them do not return, and whether that goes for everybody's.
    pub fn stuck(&self) -> (Vec<Mark>, bool) {
        let (queue, now) = (self.inner.queue(), Instant::now());
        (queue.stuck(now), queue.is_held(now))
    }
}

impl Pool {
    /// Waits until no call is left, for so long at most: one that holds its thread may never end.
    pub async fn ended(&self, limit: Duration) {
        let mut alive = self.inner.alive.subscribe();
        let _ended = tokio::time::timeout(limit, alive.wait_for(|&alive| alive == 0)).await;
    }
}

impl Inner {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a task run on, whose wake has come.
    fn wake(self: &Arc<Self>, task: Arc<Task>) {
        let mut queue = self.queue();
        queue.again(task);
        self.pushed(queue);
    }

    /// Sees to it that somebody takes what was added.
    fn pushed(self: &Arc<Self>, mut queue: MutexGuard<'_, Queue>) {
        if queue.needs_thread() {
            let inner = Arc::clone(self);
            let thread = std::thread::Builder::new().name("blocking".to_owned()).spawn(move || inner.run());
            match thread {
                Ok(_thread) => queue.threads += 1,
                // Those that are there go on; without any the calls wait until one can be made, or their time is over.
                Err(error) => tracing::error!(%error, "failed to make a thread for blocking handlers"),
            }
        }
        self.tell(&queue);
        drop(queue);
        self.ready.notify_one();
    }

    /// A thread's life, which is as long as the process's.
    fn run(&self) {
        hotbay_loader::attach_thread(&self.memory);
        if let Err(error) = hotbay_sys::thread::give_way(NICE) {
            tracing::debug!(%error, "blocking threads do not give way to those that serve");
        }
        loop {
            let task = self.next();
            task.run();
            let mut queue = self.queue();
            queue.done(&task);
            self.tell(&queue);
        }
    }

    fn next(&self) -> Arc<Task> {
        let mut queue = self.queue();
        loop {
            if let Some(task) = queue.next() {
                self.tell(&queue);
                return task;
            }
            queue.idle += 1;
            queue = self.ready.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
        }
    }

    fn tell(&self, queue: &Queue) {
        let word = |count: usize| count as u64;
        let (busy, waiting) = (word(queue.busy()), word(queue.waiting()));
        let abandoned = word(queue.abandoned());
        self.memory.set_pool(PoolGauges { threads: word(self.size), busy, abandoned, waiting });
    }
}
