//! Which call runs next on the pool.
//!
//! Owns the order: a lane for each module, one after the other, and in a lane first what has begun. Owns the bounds, too. Pure, under the
//! pool's lock.

use std::collections::VecDeque;
use std::sync::Arc;

use super::task::Task;

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

/// The calls of one module that run or want to. Gone when there are none.
struct Lane {
    row: usize,
    running: usize,
    /// They have begun, and a wake has come.
    begun: VecDeque<Arc<Task>>,
    new: VecDeque<Arc<Task>>,
}

impl Queue {
    pub fn new(size: usize, room: usize) -> Self {
        Self { size, room, lanes: VecDeque::new(), threads: 0, idle: 0 }
    }

    /// Threads that one module may hold: a quarter is always left for others.
    fn share(&self) -> usize {
        self.size - self.size.div_ceil(4).min(self.size - 1)
    }

    /// Takes a new call, unless too many wait: in all, or of its module half as many.
    pub fn admit(&mut self, task: Arc<Task>) -> bool {
        let room = self.room;
        let all = self.waiting();
        let lane = self.lane(task.row());
        if all >= room || lane.new.len() >= room.div_ceil(2) {
            return false;
        }
        lane.new.push_back(task);
        true
    }

    /// Takes a call that has begun; there is always room.
    pub fn again(&mut self, task: Arc<Task>) {
        self.lane(task.row()).begun.push_back(task);
    }

    fn lane(&mut self, row: usize) -> &mut Lane {
        let at = self.lanes.iter().position(|lane| lane.row == row).unwrap_or_else(|| {
            self.lanes.push_back(Lane { row, running: 0, begun: VecDeque::new(), new: VecDeque::new() });
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
        lane.running += 1;
        self.lanes.push_back(lane);
        task
    }

    /// A call of that module has ended, or waits.
    pub fn done(&mut self, row: usize) {
        let lane = self.lane(row);
        lane.running -= 1;
        self.lanes.retain(|lane| lane.running > 0 || lane.wants() > 0);
    }

    /// Whether one more thread would have something to do.
    pub fn needs_thread(&self) -> bool {
        let share = self.share();
        let could_run = |lane: &Lane| lane.wants().min(share.saturating_sub(lane.running));
        self.threads < self.size && self.lanes.iter().map(could_run).sum::<usize>() > self.idle
    }

    /// Calls that run.
    pub fn busy(&self) -> usize {
        self.lanes.iter().map(|lane| lane.running).sum()
    }

    /// New calls that wait.
    pub fn waiting(&self) -> usize {
        self.lanes.iter().map(|lane| lane.new.len()).sum()
    }
}

impl Lane {
    fn wants(&self) -> usize {
        self.begun.len() + self.new.len()
    }

    fn may_run(&self, share: usize) -> bool {
        self.running < share && self.wants() > 0
    }
}
