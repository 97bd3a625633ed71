//! How much of something there may be at a time, shared between hosts.
//!
//! Owns two bounds: what one host may have, and what all may have together. Who waits for what its own host has taken holds nothing of what is
//! everybody's, so a registry that never answers keeps its own users waiting and nobody else's. It counts whatever its user counts: requests, KiB.
//! Who waits can be told to somebody ([`Waiters`]).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// See the module.
#[derive(Debug)]
pub struct Shares {
    of_host: u32,
    of_all: u32,
    all: Arc<Semaphore>,
    /// Only those that somebody holds or waits for.
    hosts: Mutex<HashMap<String, Weak<Semaphore>>>,
    waiters: Waiters,
}

/// Who is told of each that begins to wait (1) and that ends it (-1), got what it waited for or not. The default tells nobody.
#[derive(Clone, Default)]
pub struct Waiters(Option<Arc<dyn Fn(i64) + Send + Sync>>);

/// One that waits.
struct Waiter<'waiters>(&'waiters Waiters);

/// What somebody has taken, until it is dropped.
#[derive(Debug)]
pub struct Share(Vec<OwnedSemaphorePermit>);

impl Shares {
    /// At most `of_host` for one host and `of_all` for all.
    pub fn new(of_host: u32, of_all: u32) -> Self {
        Self {
            of_host,
            of_all,
            all: mk_semaphore(of_all),
            hosts: Mutex::default(),
            waiters: Waiters::default(),
        }
    }

    /// The same, which tells who waits.
    pub fn told_to(self, waiters: Waiters) -> Self {
        Self { waiters, ..self }
    }

    /// Takes so much for work with this host, once there is so much left; whoever asks first gets it first. What is more than there ever can
    /// be gets all that there is, and so is alone.
    pub async fn take(&self, host: &str, amount: u32) -> Share {
        let _waits = self.waiters.one_more();
        let own = take_from(self.of(host), amount.min(self.of_host)).await;
        let common = take_from(self.all.clone(), amount.min(self.of_all)).await;
        Share(own.into_iter().chain(common).collect())
    }

    fn of(&self, host: &str) -> Arc<Semaphore> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = hosts.get(host).and_then(Weak::upgrade) {
            return known;
        }
        // Users make up names of hosts as they like.
        hosts.retain(|_, known| known.strong_count() > 0);
        let new = mk_semaphore(self.of_host);
        hosts.insert(host.to_owned(), Arc::downgrade(&new));
        new
    }
}

impl Waiters {
    /// Tells this function, which must not wait.
    pub fn new(tell: impl Fn(i64) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(tell)))
    }

    fn one_more(&self) -> Waiter<'_> {
        self.tell(1);
        Waiter(self)
    }

    fn tell(&self, by: i64) {
        if let Some(tell) = &self.0 {
            tell(by);
        }
    }
}

impl fmt::Debug for Waiters {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Waiters")
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.tell(-1);
    }
}

impl Share {
    /// Takes a part of it out; what it has not got it cannot give.
    pub fn split(&mut self, amount: usize) -> Self {
        let part = |permit: &mut OwnedSemaphorePermit| permit.split(amount.min(permit.num_permits()));
        Self(self.0.iter_mut().filter_map(part).collect())
    }
}

fn mk_semaphore(permits: u32) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(usize::try_from(permits).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)))
}

async fn take_from(semaphore: Arc<Semaphore>, amount: u32) -> Option<OwnedSemaphorePermit> {
    // Never closed, so there always is one in the end.
    semaphore.acquire_many_owned(amount).await.ok()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use futures::FutureExt;

    use super::*;

    /// What can be had without waiting.
    fn at_once(shares: &Shares, host: &str, amount: u32) -> Option<Share> {
        shares.take(host, amount).now_or_never()
    }

    #[tokio::test]
    async fn one_host_cannot_take_what_is_left_for_others() {
        let shares = Shares::new(2, 3);
        let slow = [shares.take("slow", 1).await, shares.take("slow", 1).await];
        assert!(at_once(&shares, "slow", 1).is_none());
        let good = at_once(&shares, "good", 1).expect("another host has a share");
        assert!(at_once(&shares, "third", 1).is_none(), "all three are taken");
        drop(good);
        assert!(at_once(&shares, "third", 1).is_some());
        drop(slow);
        assert!(at_once(&shares, "slow", 2).is_some());
    }

    #[tokio::test]
    async fn who_waits_for_its_host_holds_nothing_of_all() {
        let shares = Shares::new(1, 2);
        let held = shares.take("slow", 1).await;
        let mut waiting = std::pin::pin!(shares.take("slow", 1));
        assert!(waiting.as_mut().now_or_never().is_none());
        let good = at_once(&shares, "good", 1).expect("the one that waits takes nothing");
        drop(held);
        assert!(waiting.as_mut().now_or_never().is_some());
        drop(good);
    }

    #[tokio::test]
    async fn what_is_too_much_gets_all_there_is() {
        let shares = Shares::new(4, 6);
        let all = shares.take("a", 100).await;
        assert!(at_once(&shares, "b", 1).is_none());
        drop(all);
        assert!(at_once(&shares, "b", 1).is_some());
    }

    #[tokio::test]
    async fn a_part_that_is_split_off_lives_on_alone() {
        let shares = Shares::new(4, 4);
        let mut all = shares.take("a", 4).await;
        let part = all.split(3);
        drop(all);
        assert!(at_once(&shares, "b", 2).is_none() && at_once(&shares, "b", 1).is_some());
        drop(part);
        assert!(at_once(&shares, "b", 4).is_some());
    }

    #[tokio::test]
    async fn hosts_that_nobody_asks_any_more_are_forgotten() {
        let shares = Shares::new(1, 100);
        for number in 0..50 {
            shares.take(&format!("{number}.example.com"), 1).await;
        }
        assert_eq!(shares.hosts.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn who_waits_is_told_until_it_has_its_share_or_gives_up() {
        let count = Arc::new(AtomicI64::new(0));
        let told = count.clone();
        let waiters = Waiters::new(move |by| {
            told.fetch_add(by, Ordering::SeqCst);
        });
        let shares = Shares::new(1, 2).told_to(waiters);
        let waiting = || count.load(Ordering::SeqCst);
        let held = shares.take("a", 1).await;
        assert_eq!(waiting(), 0);
        let (mut first, mut second) = (Box::pin(shares.take("a", 1)), Box::pin(shares.take("a", 1)));
        assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
        assert_eq!(waiting(), 2);
        drop(second);
        assert_eq!(waiting(), 1);
        drop(held);
        assert!(first.as_mut().now_or_never().is_some());
        assert_eq!(waiting(), 0);
    }
}
