//! Whose turn it is: a module's, or its task's, which waits to be woken.
//!
//! Owns the rules by which no wake is lost and no waker used twice. All of it happens under a slot's lock; who is to be woken is handed out, and woken
//! after the lock is left. It knows nothing of this crate, so that `tests/turns.rs` can have loom try every order of what threads do to it.

/// Of a handle. `W` is whoever waits: a waker.
pub(crate) struct Turn<W> {
    /// The module's code is on some stack.
    running: bool,
    /// A wake came, and no turn has begun since.
    woken: bool,
    waker: Option<W>,
}

/// A wake has come already: there is nothing to wait for.
#[derive(Debug)]
pub(crate) struct Woken;

impl<W> Turn<W> {
    /// Nobody's.
    pub const fn new() -> Self {
        Self { running: false, woken: false, waker: None }
    }

    /// The module's. It will see all that has come so far.
    pub fn begin(&mut self) {
        (self.running, self.woken) = (true, false);
    }

    /// No longer the module's. What it was woken for meanwhile stays.
    pub fn end(&mut self) {
        self.running = false;
    }

    /// Whether the module's code is on some stack. Then its task looks at everything when it is back, and needs no wake.
    pub fn is_running(&self) -> bool {
        self.running
    }

    /// Whether the module is to have another turn.
    pub fn is_woken(&self) -> bool {
        self.woken
    }

    /// As [`Self::is_woken`], once.
    pub fn take_woken(&mut self) -> bool {
        std::mem::take(&mut self.woken)
    }

    /// The module is to have another turn, and whoever says so is its task itself.
    pub fn again(&mut self) {
        self.woken = true;
    }

    /// The module is to have another turn; returns who is to be woken for it.
    pub fn wake(&mut self) -> Option<W> {
        self.woken = true;
        self.news()
    }

    /// There is something for the task that is no turn of the module's, such as its answer; returns who is to be woken for it.
    pub fn news(&mut self) -> Option<W> {
        if self.running { None } else { self.waker.take() }
    }

    /// Leaves a waker, and returns the one that was there, to be dropped when the lock is left.
    pub fn wait(&mut self, waker: impl FnOnce() -> W) -> Result<Option<W>, Woken> {
        if self.woken { Err(Woken) } else { Ok(self.waker.replace(waker())) }
    }

    /// Nobody waits any more; what is returned is to be dropped when the lock is left.
    pub fn leave(&mut self) -> Option<W> {
        self.waker.take()
    }
}
