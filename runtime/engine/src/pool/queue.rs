//! Which call runs next on the pool.
//!
//! Owns the order: a lane for each instance, one after the other, and in a lane first what has begun. Owns the bounds, too, and the judgement that a lane is
//! stuck: all threads that it may have are in calls that nobody waits for any more. Pure, under the pool's lock.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hotbay_loader::Mark;

use super::Refused;
use super::task::Task;

/// A call that runs on for as long after everybody has left is taken for one that never returns: as long again as the usual time limit of a request.
pub(super) const GIVEN_UP: Duration = Duration::from_secs(10);

/// What runs, and what waits.
pub(super) struct Queue {
    size: usize,
    /// New calls that may wait.
    room: usize,
    lanes: VecDeque<Lane>,
    /// Threads that were made, and those of them that wait for work.
    pub threads: usize,
    pub idle: usize,
}

/// The calls of one instance that run or want to. Gone when there are none.
struct Lane {
    whose: Mark,
    runs: Vec<Arc<Task>>,
    /// They have begun, and a wake has come.
    begun: VecDeque<Arc<Task>>,
    new: VecDeque<Arc<Task>>,
}

impl Queue {
    pub fn new(size: usize, room: usize) -> Self {
        Self { size, room, lanes: VecDeque::new(), threads: 0, idle: 0 }
    }

    /// Threads that one lane may hold: a quarter is always left for others.
    fn share(&self) -> usize {
        self.size - self.size.div_ceil(4).min(self.size - 1)
    }

    /// Takes a new call, unless too many wait: in all, or of its lane half as many; or unless its turn would not come.
    pub fn admit(&mut self, task: Arc<Task>, now: Instant) -> Result<(), Refused> {
        let (room, share) = (self.room, self.share());
        let lane = self.lanes.iter().find(|lane| lane.whose == task.whose());
        if self.is_held(now) || lane.is_some_and(|lane| lane.is_stuck(share, now)) {
            return Err(Refused::Stuck);
        }
        if self.waiting() >= room || lane.is_some_and(|lane| lane.new.len() >= room.div_ceil(2)) {
            return Err(Refused::Full);
        }
        self.lane(task.whose()).new.push_back(task);
        Ok(())
    }

    /// Takes a call that has begun; there is always room.
    pub fn again(&mut self, task: Arc<Task>) {
        self.lane(task.whose()).begun.push_back(task);
    }

    /// Nobody waits for this call any more since `now`. Returns it if it had not begun: it never will.
    pub fn leave(&mut self, task: &Arc<Task>, now: Instant) -> Option<Arc<Task>> {
        task.leave(now);
        let lane = self.lanes.iter_mut().find(|lane| lane.whose == task.whose())?;
        let at = lane.new.iter().position(|new| Arc::ptr_eq(new, task))?;
        let left = lane.new.remove(at);
        self.lanes.retain(Lane::is_used);
        left
    }

    fn lane(&mut self, whose: Mark) -> &mut Lane {
        let at = self.lanes.iter().position(|lane| lane.whose == whose).unwrap_or_else(|| {
            let (runs, begun, new) = (Vec::new(), VecDeque::new(), VecDeque::new());
            self.lanes.push_back(Lane { whose, runs, begun, new });
            self.lanes.len() - 1
        });
        &mut self.lanes[at]
    }

    /// What is to run now. Call [`Self::done`] when it has.
    pub fn next(&mut self) -> Option<Arc<Task>> {
        let share = self.share();
        let at = self.lanes.iter().position(|lane| lane.may_run(share))?;
        // The last in the round from now on.
        let mut lane = self.lanes.remove(at)?;
        let task = lane.begun.pop_front().or_else(|| lane.new.pop_front());
        lane.runs.extend(task.clone());
        self.lanes.push_back(lane);
        task
    }

    /// A call has ended, or waits.
    pub fn done(&mut self, task: &Arc<Task>) {
        let lane = self.lane(task.whose());
        // One that was woken meanwhile may run on another thread already.
        if let Some(at) = lane.runs.iter().position(|run| Arc::ptr_eq(run, task)) {
            lane.runs.swap_remove(at);
        }
        self.lanes.retain(Lane::is_used);
    }

    /// Whether one more thread would have something to do.
    pub fn needs_thread(&self) -> bool {
        let share = self.share();
        let could_run = |lane: &Lane| lane.wants().min(share.saturating_sub(lane.runs.len()));
        self.threads < self.size && self.lanes.iter().map(could_run).sum::<usize>() > self.idle
    }

    /// Calls that run.
    pub fn busy(&self) -> usize {
        self.lanes.iter().map(|lane| lane.runs.len()).sum()
    }

    /// Those of them that nobody waits for.
    pub fn abandoned(&self) -> usize {
        self.lanes.iter().flat_map(|lane| &lane.runs).filter(|task| task.left().is_some()).count()
    }

    /// New calls that wait.
    pub fn waiting(&self) -> usize {
        self.lanes.iter().map(|lane| lane.new.len()).sum()
    }

    /// Whose calls have no hope.
    pub fn stuck(&self, now: Instant) -> Vec<Mark> {
        let share = self.share();
        self.lanes.iter().filter(|lane| lane.is_stuck(share, now)).map(|lane| lane.whose).collect()
    }

    /// Whether nobody's calls have: every thread is in one that does not return.
    pub fn is_held(&self, now: Instant) -> bool {
        self.lanes.iter().map(|lane| lane.given_up(now)).sum::<usize>() >= self.size
    }
}

impl Lane {
    fn wants(&self) -> usize {
        self.begun.len() + self.new.len()
    }

    fn is_used(&self) -> bool {
        !self.runs.is_empty() || self.wants() > 0
    }

    fn may_run(&self, share: usize) -> bool {
        self.runs.len() < share && self.wants() > 0
    }

    /// Calls that run on though everybody has left long ago.
    fn given_up(&self, now: Instant) -> usize {
        let long_ago = |left: Instant| now.saturating_duration_since(left) >= GIVEN_UP;
        self.runs.iter().filter(|task| task.left().is_some_and(long_ago)).count()
    }

    fn is_stuck(&self, share: usize, now: Instant) -> bool {
        self.given_up(now) >= share
    }
}
