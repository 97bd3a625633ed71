//! One instance of the module: its handlers, its state and its hooks.
//!
//! Owns how the state is made and how it is stopped, at once or by a future. Must not know C: `entry` does.

use std::any::{Any, TypeId, type_name};
use std::panic::{self, AssertUnwindSafe};
use std::pin::Pin;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};

use hotbay_abi::{DENIED, ERR, Handle, PENDING, READY, Rc};

use crate::call::Handler;
use crate::entry::Define;
use crate::hook::{Stopped, Unmade};
use crate::request::State;
use crate::{Config, host, log};

/// What making the state ends with.
type Made = Result<State, Unmade>;
type Making = Pin<Box<dyn Future<Output = Made> + Send>>;
type Stopping = Pin<Box<dyn Future<Output = Stopped> + Send>>;

/// How the state is made.
#[derive(Clone, Copy)]
pub enum Create {
    /// There is none.
    Nothing,
    /// By a function.
    Plain(fn(&Config) -> Made),
    /// By an async function.
    Future(fn(Config) -> Making),
}

/// What runs when no call is left.
#[derive(Clone, Copy)]
pub enum Stop {
    /// There is no hook.
    Nothing,
    /// A function.
    Plain(fn(&Shared) -> Stopped),
    /// An async function.
    Future(fn(Arc<Shared>) -> Stopping),
}

/// What all calls of an instance share.
pub struct Shared {
    state: State,
    /// The state's type; asking the state itself would be a call through its table for every request.
    state_is: TypeId,
    /// The config as the types that handlers want it in.
    settings: Vec<Box<dyn Any + Send + Sync>>,
    /// Until the handlers have looked at it.
    config: Option<Config>,
    /// What a test says in the host's place, which has none.
    told: Vec<(u32, String)>,
}

impl Shared {
    pub(crate) fn new(state: State, config: Option<Config>) -> Self {
        let state_is = (*state).type_id();
        Self { state, state_is, settings: Vec::new(), config, told: Vec::new() }
    }

    /// The state, if it is a `T`.
    #[inline]
    pub(crate) fn state<T: Any>(&self) -> Option<&T> {
        // SAFETY: it is a `T`: `state_is` is its type, and neither changes without the other.
        (self.state_is == TypeId::of::<T>()).then(|| unsafe { &*ptr::from_ref(&*self.state).cast::<T>() })
    }

    pub(crate) fn set_state<T: Any + Send + Sync>(&mut self, state: T) {
        (self.state, self.state_is) = (Box::new(state), TypeId::of::<T>());
    }

    pub(crate) fn told(&self, what: u32) -> Option<&str> {
        self.told.iter().find(|(known, _)| *known == what).map(|(_, words)| &**words)
    }

    pub(crate) fn tell(&mut self, what: u32, words: String) {
        self.told.push((what, words));
    }

    /// Refuses to start a module whose handlers ask for another state than it has.
    pub(crate) fn expect_state<T: Any>(&self) -> Result<(), Unmade> {
        if self.state::<T>().is_some() {
            return Ok(());
        }
        let words = format!(
            "it asks for the state {}, and the module has another; take what `create` makes",
            type_name::<T>()
        );
        Err(Unmade::new(words))
    }

    #[cfg(feature = "json")]
    pub(crate) fn settings<T: Any>(&self) -> Option<&T> {
        self.settings.iter().find_map(|settings| settings.downcast_ref())
    }

    pub(crate) fn keep_settings<T: Any + Send + Sync>(&mut self, settings: T) {
        self.settings.push(Box::new(settings));
    }

    /// Reads the config as `T`, unless a handler before did.
    #[cfg(feature = "json")]
    pub(crate) fn parse_settings<T>(&mut self) -> Result<(), Unmade>
    where
        T: serde::de::DeserializeOwned + Any + Send + Sync,
    {
        let is_read = self.settings.iter().any(|settings| (**settings).type_id() == TypeId::of::<T>());
        if let (false, Some(config)) = (is_read, &self.config) {
            let settings: T = config.parse()?;
            self.keep_settings(settings);
        }
        Ok(())
    }

    fn prepare(&mut self, handlers: &[Handler]) -> Result<(), Unmade> {
        for handler in handlers {
            for argument in handler.arguments {
                (argument.prepare)(self).map_err(|unmade| unmade.of_handler(handler.name))?;
            }
        }
        self.config = None;
        Ok(())
    }
}

/// Shared by all its calls.
pub(crate) struct Instance {
    handlers: &'static [Handler],
    stop: Stop,
    ready: OnceLock<Arc<Shared>>,
    under_way: Mutex<Option<UnderWay>>,
}

enum UnderWay {
    Making(Making, Config),
    Stopping(Stopping),
}

impl Instance {
    /// Begins to make an instance, and takes the first step. READY: it may be called.
    pub(crate) fn create<M: Define>(config: Config, me: Handle) -> (Self, Rc) {
        let instance = Self {
            handlers: M::HANDLERS,
            stop: M::STOP,
            ready: OnceLock::new(),
            under_way: Mutex::new(None),
        };
        let rc = match (M::CHECK.map_or(Ok(()), |check| check(&config)), M::CREATE) {
            (Err(unmade), _) => instance.made(Err(unmade), config, me),
            (Ok(()), Create::Nothing) => instance.made(Ok(Box::new(())), config, me),
            (Ok(()), Create::Plain(function)) => instance.made(function(&config), config, me),
            (Ok(()), Create::Future(function)) => {
                *instance.under_way() = Some(UnderWay::Making(function(config.clone()), config));
                instance.poll(me)
            }
        };
        (instance, rc)
    }

    /// Goes on making or stopping it. A poll that comes when nothing is left to do is legal.
    pub(crate) fn poll(&self, me: Handle) -> Rc {
        let mut under_way = self.under_way();
        let waker = host::waker(me);
        let context = &mut Context::from_waker(&waker);
        match under_way.take() {
            None => READY,
            Some(UnderWay::Making(mut future, config)) => match future.as_mut().poll(context) {
                Poll::Ready(made) => self.made(made, config, me),
                Poll::Pending => {
                    *under_way = Some(UnderWay::Making(future, config));
                    PENDING
                }
            },
            Some(UnderWay::Stopping(mut future)) => match contained(|| future.as_mut().poll(context)) {
                Some(Poll::Ready(stopped)) => report(stopped),
                Some(Poll::Pending) => {
                    *under_way = Some(UnderWay::Stopping(future));
                    PENDING
                }
                None => READY,
            },
        }
    }

    /// Runs the author's hook, when no call is left.
    pub(crate) fn stop(&self, me: Handle) -> Rc {
        let Some(shared) = self.ready.get() else { return READY };
        match self.stop {
            Stop::Nothing => READY,
            Stop::Plain(function) => contained(|| function(shared)).map_or(READY, report),
            Stop::Future(function) => {
                *self.under_way() = Some(UnderWay::Stopping(function(Arc::clone(shared))));
                self.poll(me)
            }
        }
    }

    /// A handler and what it shares, if the index is one of the manifest's and `create` has ended well.
    pub(crate) fn handler(&self, index: u32) -> Option<(&'static Handler, &Shared)> {
        Some((self.handlers.get(usize::try_from(index).ok()?)?, self.ready.get()?))
    }

    fn made(&self, made: Made, config: Config, me: Handle) -> Rc {
        let prepared = made.and_then(|state| {
            let mut shared = Shared::new(state, Some(config));
            shared.prepare(self.handlers)?;
            Ok(shared)
        });
        match prepared {
            Ok(shared) => self.ready.set(Arc::new(shared)).map_or(ERR, |()| READY),
            Err(unmade) => {
                host::fail(me, unmade.words());
                if unmade.is_of_config() { DENIED } else { ERR }
            }
        }
    }

    fn under_way(&self) -> MutexGuard<'_, Option<UnderWay>> {
        // What a panic left there was taken out before.
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a stop hook; the instance goes whatever it does, so a panic is a line in the log and no more.
fn contained<T>(hook: impl FnOnce() -> T) -> Option<T> {
    panic::catch_unwind(AssertUnwindSafe(hook))
        .inspect_err(|payload| {
            let text = payload.downcast_ref::<&str>().copied();
            let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
            log::error(format_args!("the stop hook panicked: {}", text.unwrap_or("a value that is no text")));
        })
        // A payload's destructor is the author's too, and may panic again.
        .map_err(std::mem::forget)
        .ok()
}

/// A hook that fails keeps nothing from ending, so the log is all that learns of it.
fn report(stopped: Stopped) -> Rc {
    if let Err(words) = stopped {
        log::error(format_args!("the stop hook failed: {words}"));
    }
    READY
}

#[cfg(test)]
mod tests;
