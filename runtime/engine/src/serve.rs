//! The accept loop, and every connection that came through it.
//!
//! Owns the listener while the engine is active, the list of connections, and the drain. Must not decide when to drain: the keeper does.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use hotbay_protocol::{DrainKind, EngineMemory};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::connection::{self, Conn, Limits, Phase};
use crate::pool::Pool;
use crate::table::Routes;
use crate::timers::Timers;

/// How often connections are looked through, in seconds; also the step of the clock that they are judged by.
const SWEEP: u32 = 1;
/// A head as long as nginx's client_header_timeout, halved; between requests longer than the usual proxies wait, so that they close first; answers
/// as long as its send_timeout.
const LIMITS: Limits = Limits { head: 30, idle: 620, answer: 60 };
/// After a failed accept (no descriptors left) the next one comes this much later.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub routes: ArcSwap<Routes>,
    pub memory: EngineMemory,
    pub timers: Timers,
    /// For calls that may hold their thread.
    pub pool: Pool,
    /// Seconds since the engine began, to the step of the sweep.
    pub clock: Arc<AtomicU32>,
    /// The engine ends, and what is cut now is cut for that.
    pub ending: Arc<AtomicBool>,
}

impl Shared {
    pub fn new(memory: EngineMemory, timers: Timers, pool: Pool) -> Self {
        Self {
            routes: ArcSwap::default(),
            memory,
            timers,
            pool,
            clock: Arc::default(),
            ending: Arc::default(),
        }
    }
}

/// Accepts and serves, on the workers' runtime.
pub(crate) struct Server {
    shared: Arc<Shared>,
    workers: Handle,
    conns: Arc<Conns>,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

/// The open connections.
#[derive(Debug)]
struct Conns {
    next: AtomicU64,
    open: Mutex<Open>,
    count: watch::Sender<usize>,
}

/// Under one lock, so that a connection which comes while a drain begins learns of it.
#[derive(Debug, Default)]
struct Open {
    phase: Phase,
    conns: HashMap<u64, Arc<Conn>>,
}

impl Conns {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(self: &Arc<Self>, clock: &Arc<AtomicU32>, peer: SocketAddr) -> Registered {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut open = self.open();
        let conn = Arc::new(Conn::new(open.phase, clock).with_peer(peer));
        open.conns.insert(id, Arc::clone(&conn));
        self.count.send_replace(open.conns.len());
        Registered { id, conn, conns: Arc::clone(self) }
    }

    /// Moves every connection on, also those still to come.
    fn move_to(&self, phase: Phase) {
        let mut open = self.open();
        open.phase = open.phase.max(phase);
        open.conns.values().for_each(|conn| conn.move_to(phase));
    }

    fn end_stale(&self, now: u32) {
        let open = self.open();
        for conn in open.conns.values() {
            if let Some(phase) = conn.stale(now, LIMITS) {
                conn.move_to(phase);
            }
        }
    }
}

/// A connection's place in the list, left however it ends.
struct Registered {
    id: u64,
    conn: Arc<Conn>,
    conns: Arc<Conns>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut open = self.conns.open();
        open.conns.remove(&self.id);
        self.conns.count.send_replace(open.conns.len());
    }
}

impl Server {
    pub fn new(memory: EngineMemory, workers: Handle, timers: Timers, pool: Pool) -> Self {
        let shared = Arc::new(Shared::new(memory, timers, pool));
        let conns =
            Arc::new(Conns { next: AtomicU64::new(0), open: Mutex::default(), count: watch::Sender::new(0) });
        shared.timers.spawn(sweep(Arc::clone(&shared), Arc::clone(&conns)));
        Self { shared, workers, conns, accepting: Mutex::default() }
    }

    /// Where calls run that may hold their thread.
    pub fn pool(&self) -> &Pool {
        &self.shared.pool
    }

    /// Publishes a table; requests that are in flight keep theirs.
    pub fn publish(&self, routes: Routes) {
        self.shared.routes.store(Arc::new(routes));
    }

    /// Begins to accept; on return the listener is in the poll set.
    ///
    /// # Errors
    /// When the kernel refuses to watch the listener.
    pub fn activate(&self, listener: TcpListener) -> std::io::Result<()> {
        listener.set_nonblocking(true)?;
        let listener = {
            let _in_runtime = self.workers.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let (shared, conns) = (Arc::clone(&self.shared), Arc::clone(&self.conns));
        let accepting = self.workers.spawn(accept(listener, shared, conns));
        self.accepting.lock().unwrap_or_else(PoisonError::into_inner).replace(accepting);
        Ok(())
    }

    /// Stops accepting, lets connections end, and cuts those that are left at the deadline. Says how many those were.
    pub async fn drain(&self, kind: DrainKind, deadline: Duration) -> usize {
        let accepting = self.accepting.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(accepting) = accepting {
            accepting.abort();
            // On another thread it may be in the middle of a turn: what it still accepts is to be in the list, and the listener closed, before anybody
            // is told to end.
            let _aborted = accepting.await;
        }
        let phase = match kind {
            DrainKind::Graceful => Phase::Last,
            DrainKind::Short => Phase::Idle,
        };
        self.conns.move_to(phase);
        // So long calls that nobody waits for any more may take to be dropped; the rest is the modules'.
        let last_words = kind.grace() / 5;
        let mut count = self.conns.count.subscribe();
        if tokio::time::timeout(deadline, count.wait_for(|&count| count == 0)).await.is_ok() {
            self.shared.pool.ended(last_words).await;
            return 0;
        }
        let cut = *count.borrow();
        self.shared.ending.store(true, Ordering::Relaxed);
        self.conns.move_to(Phase::Cut);
        // Dropping calls runs module code, which may not return: the engine's end does not wait for it.
        let all_gone = async {
            // Nobody sends when the list is gone, and then it is empty.
            let _none = count.wait_for(|&count| count == 0).await;
            self.shared.pool.ended(last_words).await;
        };
        let _in_time = tokio::time::timeout(last_words, all_gone).await;
        cut
    }
}

async fn accept(listener: tokio::net::TcpListener, shared: Arc<Shared>, conns: Arc<Conns>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Answers are written whole; waiting for more to send would only delay them.
                let _ = stream.set_nodelay(true);
                let registered = conns.insert(&shared.clock, peer);
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    connection::serve(stream, &registered.conn, &shared).await;
                    drop(registered);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection");
                shared.timers.sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Ends connections that say nothing. One look a second costs nothing a request; a timer each would (1,800 instructions with hyper's own).
async fn sweep(shared: Arc<Shared>, conns: Arc<Conns>) {
    let mut tick = tokio::time::interval(Duration::from_secs(u64::from(SWEEP)));
    loop {
        tick.tick().await;
        let now = shared.clock.fetch_add(SWEEP, Ordering::Relaxed) + SWEEP;
        conns.end_stale(now);
    }
}

#[cfg(test)]
mod tests;
