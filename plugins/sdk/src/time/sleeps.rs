//! Who sleeps, and until when.
//!
//! Owns the sleeps of every call: a handle has one timer in the host, which is set to the earliest of them. When it wakes the call, those that are due are
//! woken before the call is polled, since a future that holds several may poll only the ones that were. A call without a sleep costs one look at a number.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant};

use hotbay_abi::Handle;

use crate::host;

/// Calls that sleep on different threads seldom meet.
const SHARDS: u64 = 16;

/// The sleeps of one handle.
#[derive(Default)]
struct OfHandle {
    /// By when they end; the number tells two of one moment apart.
    sleeps: BTreeMap<(u64, u64), Waker>,
    /// What the host's timer is set to; 0: to nothing that is known.
    armed: u64,
}

impl OfHandle {
    /// What the host's timer is to be set to, if that is another moment than the one that it has.
    fn next_to_arm(&mut self) -> Option<u64> {
        let next = self.sleeps.first_key_value().map(|((at, _), _)| *at)?;
        (std::mem::replace(&mut self.armed, next) != next).then_some(next)
    }
}

static SLEEPS: LazyLock<[Mutex<HashMap<Handle, OfHandle>>; SHARDS as usize]> =
    LazyLock::new(Default::default);
/// All together, so that a call that is polled need not look when there are none.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// A sleep's place; dropping it gives it up.
pub(super) struct Place {
    handle: Handle,
    key: (u64, u64),
}

/// The host's clock; in a unit test, another one.
pub(super) fn now_ns() -> u64 {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    match host::host() {
        // SAFETY: a function of the host's table.
        Some(host) => unsafe { (host.now_ns)() },
        None => u64::try_from(BEGAN.elapsed().as_nanos()).unwrap_or(u64::MAX),
    }
}

fn shard(handle: Handle) -> MutexGuard<'static, HashMap<Handle, OfHandle>> {
    // The low bits of a handle are an index in hosts that have one: its neighbours are in other shards.
    SLEEPS[(handle % SHARDS) as usize].lock().unwrap_or_else(PoisonError::into_inner)
}

impl Place {
    /// A place for a sleep of the call that this thread works for.
    ///
    /// # Panics
    /// On a thread that works for none: nothing there can be woken.
    #[expect(
        clippy::panic,
        reason = "a mistake of the author's, which would otherwise be a sleep without an end"
    )]
    pub fn take(at: u64, waker: &Waker) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let handle = host::current();
        let has_host = host::host().is_some();
        if has_host && (handle == 0 || handle == host::QUIET) {
            panic!("hotbay_sdk::time works in a handler, create and stop only; a spawned task has tokio's");
        }
        let (key, waker) = ((at, NEXT.fetch_add(1, Ordering::Relaxed)), waker.clone());
        let mut shard = shard(handle);
        let own = shard.entry(handle).or_default();
        own.sleeps.insert(key, waker);
        COUNT.fetch_add(1, Ordering::Release);
        let to_arm = own.next_to_arm();
        drop(shard);
        match to_arm {
            Some(at) if has_host => {
                host::timer(handle, at);
            }
            _ if has_host => {}
            // A unit test has nobody who would wake it.
            _ => wait_by_thread(at),
        }
        Self { handle, key }
    }

    /// Has `waker` woken in the place of the one before; false if that has been woken, or another call waits now.
    pub fn renew(&self, waker: &Waker) -> bool {
        if host::current() != self.handle {
            return false;
        }
        let waker = waker.clone();
        let mut shard = shard(self.handle);
        let known = shard.get_mut(&self.handle).and_then(|own| own.sleeps.get_mut(&self.key));
        let before = known.map(|known| std::mem::replace(known, waker));
        // A waker's drop is anybody's code, and may give up a sleep.
        drop(shard);
        before.is_some()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut shard = shard(self.handle);
        let Some(own) = shard.get_mut(&self.handle) else { return };
        let gone = own.sleeps.remove(&self.key);
        if gone.is_some() {
            COUNT.fetch_sub(1, Ordering::Release);
        }
        // The host's timer stays: a wake that is one too many costs less than setting it anew for each.
        if own.sleeps.is_empty() {
            shard.remove(&self.handle);
        }
        // As above.
        drop(shard);
    }
}

/// Wakes the sleeps of a call that are due, and sets its timer to the next. To be called before the call is polled.
#[inline]
pub(crate) fn wake_due(handle: Handle) {
    if COUNT.load(Ordering::Acquire) > 0 {
        wake_those(handle);
    }
}

#[cold]
fn wake_those(handle: Handle) {
    let now = now_ns();
    let mut shard = shard(handle);
    let Some(own) = shard.get_mut(&handle) else { return };
    let later = own.sleeps.split_off(&(now + 1, 0));
    let due = std::mem::replace(&mut own.sleeps, later);
    if own.armed <= now {
        own.armed = 0;
    }
    let to_arm = own.next_to_arm();
    if own.sleeps.is_empty() {
        shard.remove(&handle);
    }
    COUNT.fetch_sub(due.len(), Ordering::Release);
    drop(shard);
    if let Some(at) = to_arm {
        host::timer(handle, at);
    }
    let own = host::waker(handle);
    // The call itself is polled next anyway.
    due.into_values().filter(|waker| !waker.will_wake(&own)).for_each(Waker::wake);
}

/// Wakes in the place of a host.
fn wait_by_thread(at: u64) {
    let wait = Duration::from_nanos(at.saturating_sub(now_ns()));
    thread::spawn(move || {
        thread::sleep(wait);
        wake_those(0);
    });
}
