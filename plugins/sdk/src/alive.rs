//! An instance with what it runs on.
//!
//! Owns the order of its life: the runtime, then the state; and at its end the author's stop hook, then the runtime. Must not know how a state is
//! made or stopped: `instance` does.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hotbay_abi::{ERR, Handle, PENDING, READY, Rc};

use crate::entry::Define;
use crate::instance::Instance;
use crate::owner::Owner;
use crate::runtime::Runtime;
use crate::{Config, host, time};

/// What the host's pointer points to.
pub(crate) struct Alive {
    pub instance: Instance,
    pub runtime: Runtime,
    phase: Mutex<Phase>,
}

#[derive(Clone, Copy)]
enum Phase {
    /// Being made, or serving.
    Up,
    /// The author's hook runs.
    Stopping,
    /// It came to this; the runtime ends.
    Ending(Rc),
}

impl Alive {
    /// Begins to make an instance. `Err` is what the host is told if there is none.
    pub fn create<M: Define>(config: Config, me: Handle) -> Result<(Self, Rc), Rc> {
        let runtime = Runtime::start(me, Owner::of(config.name(), me)).map_err(|error| {
            host::fail(me, &format!("failed to start the module's tokio runtime: {error}"));
            ERR
        })?;
        let entered = runtime.enter();
        let (instance, rc) = Instance::create::<M>(config, me);
        if rc != READY && rc != PENDING {
            drop(instance);
            return Err(rc);
        }
        drop(entered);
        Ok((Self { instance, runtime, phase: Mutex::new(Phase::Up) }, rc))
    }

    /// Goes on with whatever is under way.
    pub fn poll(&self, me: Handle) -> Rc {
        let phase = *self.phase();
        match phase {
            Phase::Up => self.poll_instance(me),
            Phase::Stopping => {
                let rc = self.poll_instance(me);
                self.stopped(rc)
            }
            Phase::Ending(rc) => self.poll_end(rc),
        }
    }

    /// Begins to stop it. A hook that fails or panics ends nothing else: the runtime goes all the same.
    pub fn stop(&self, me: Handle) -> Rc {
        *self.phase() = Phase::Stopping;
        let rc = host::guard(me, || {
            let _entered = self.runtime.enter();
            self.instance.stop(me)
        });
        self.stopped(rc)
    }

    /// Drops the state, inside the runtime's context although that has ended: its destructors may look for it.
    pub fn destroy(self) {
        let Self { instance, runtime, .. } = self;
        let entered = runtime.enter();
        drop(instance);
        drop(entered);
    }

    fn poll_instance(&self, me: Handle) -> Rc {
        host::guard(me, || {
            let _entered = self.runtime.enter();
            time::wake_due(me);
            self.instance.poll(me)
        })
    }

    fn stopped(&self, rc: Rc) -> Rc {
        if rc == PENDING {
            return PENDING;
        }
        *self.phase() = Phase::Ending(rc);
        self.runtime.end();
        self.poll_end(rc)
    }

    fn poll_end(&self, rc: Rc) -> Rc {
        if self.runtime.poll_end() == PENDING { PENDING } else { rc }
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        // A copy of a word is never half-written.
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
