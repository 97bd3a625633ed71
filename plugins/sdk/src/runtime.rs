//! The tokio runtime of an instance, where the module asks for one by the feature `tokio`.
//!
//! Owns its thread and its end. Must not run a call: those are polled on the host's threads, inside the runtime's context, so that timers,
//! sockets and spawned tasks are the runtime's and the work is done where the request is.

#[cfg(feature = "tokio")]
pub(crate) use with_tokio::Runtime;

#[cfg(not(feature = "tokio"))]
pub(crate) use without::Runtime;

#[cfg(feature = "tokio")]
mod with_tokio {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex, PoisonError};
    use std::thread::{self, JoinHandle};
    use std::{fmt, io};

    use hotbay_abi::{Handle, PENDING, READY, Rc};
    use tokio::runtime::{self, EnterGuard};
    use tokio::sync::Notify;

    use crate::host;
    use crate::owner::{Owner, Scope};

    /// One thread that drives timers, sockets and what was spawned.
    pub(crate) struct Runtime {
        owner: &'static Owner,
        handle: runtime::Handle,
        end: Arc<End>,
        thread: Mutex<Option<JoinHandle<()>>>,
    }

    #[derive(Default)]
    struct End {
        wanted: Notify,
        reached: AtomicBool,
    }

    /// Tells the host at the very end of the thread, however it comes.
    struct Farewell(Arc<End>, Handle);

    impl Drop for Farewell {
        fn drop(&mut self) {
            self.0.reached.store(true, Ordering::Release);
            host::wake(self.1);
        }
    }

    impl Runtime {
        /// Makes it, and its thread. `me` is woken when it has ended.
        pub fn start(me: Handle, owner: &'static Owner) -> io::Result<Self> {
            let runtime = {
                let mut builder = runtime::Builder::new_current_thread();
                // Those that block; its own is not among them.
                builder.enable_all().on_thread_start(move || owner.adopt_thread()).build()?
            };
            let (handle, end) = (runtime.handle().clone(), Arc::<End>::default());
            let farewell = Farewell(Arc::clone(&end), me);
            let wanted = Arc::clone(&end);
            let thread = thread::Builder::new().name("hotbay-tokio".to_owned()).spawn(move || {
                let _last = farewell;
                owner.adopt_thread();
                runtime.block_on(wanted.wanted.notified());
                // Drops every task, and waits for those that block.
                drop(runtime);
            })?;
            Ok(Self { owner, handle, end, thread: Mutex::new(Some(thread)) })
        }

        /// While the guard lives, tokio's functions find this runtime. To be held around everything that the author wrote, drops too.
        /// And what is counted or logged is the owner's.
        pub fn enter(&self) -> (Scope, EnterGuard<'_>) {
            (self.owner.enter(), self.handle.enter())
        }

        /// Has it end, with everything that was spawned.
        pub fn end(&self) {
            self.end.wanted.notify_one();
        }

        /// READY: it has ended, and its thread is gone. The instance is woken when it is worth asking again.
        pub fn poll_end(&self) -> Rc {
            if !self.end.reached.load(Ordering::Acquire) {
                return PENDING;
            }
            if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
                // It has nothing left to do but to end. Its panics were told by the hook.
                let _told = thread.join();
            }
            READY
        }
    }

    impl Drop for Runtime {
        /// If it was not stopped, because `create` failed or `stop` took too long, it ends when it can, and nobody waits.
        fn drop(&mut self) {
            self.end();
        }
    }

    impl fmt::Debug for Runtime {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Runtime(tokio)")
        }
    }
}

#[cfg(not(feature = "tokio"))]
mod without {
    use std::convert::Infallible;

    use hotbay_abi::{Handle, READY, Rc};

    use crate::owner::{Owner, Scope};

    /// None: futures wait for whatever wakes their waker.
    #[derive(Debug)]
    pub(crate) struct Runtime(&'static Owner);

    impl Runtime {
        pub fn start(_me: Handle, owner: &'static Owner) -> Result<Self, Infallible> {
            Ok(Self(owner))
        }

        #[inline(always)]
        pub fn enter(&self) -> Scope {
            self.0.enter()
        }

        pub fn end(&self) {}

        pub fn poll_end(&self) -> Rc {
            READY
        }
    }
}
