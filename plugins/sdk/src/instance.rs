//! One instance of the module: its handlers and its state.
//!
//! Owns how the state is made, at once or by a future. Must not know C: `entry` does.

use std::any::Any;
use std::fmt::Display;
use std::pin::Pin;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};

use hotbay_abi::{DENIED, ERR, Handle, PENDING, READY, Rc};

use crate::call::Handler;
use crate::request::State;
use crate::{Config, ConfigError, host};

/// What making the state ends with.
type Made = Result<State, Unmade>;
type Making = Pin<Box<dyn Future<Output = Made> + Send>>;

/// Why there is no state.
pub struct Unmade {
    /// For people.
    words: String,
    /// The config is at fault: another try with the same one is in vain.
    config: bool,
}

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

/// Turns what the author's `create` returns into what every instance has.
///
/// # Errors
/// The author's, as one line.
pub fn erase<T: Any + Send + Sync>(made: Result<T, impl Display + 'static>) -> Result<State, Unmade> {
    made.map(|state| Box::new(state) as State).map_err(|error| Unmade {
        // The alternate form shows the whole chain of those error types that have one.
        words: format!("{error:#}"),
        config: (&error as &dyn Any).is::<ConfigError>(),
    })
}

/// Shared by all its calls.
pub(crate) struct Instance {
    handlers: &'static [Handler],
    state: OnceLock<State>,
    making: Mutex<Option<Making>>,
}

impl Instance {
    /// Begins to make an instance, and takes the first step. READY: it may be called.
    pub(crate) fn create(
        handlers: &'static [Handler],
        create: Create,
        config: Config,
        me: Handle,
    ) -> (Self, Rc) {
        let instance = Self { handlers, state: OnceLock::new(), making: Mutex::new(None) };
        let rc = match create {
            Create::Nothing => instance.settle(Ok(Box::new(())), me),
            Create::Plain(function) => instance.settle(function(&config), me),
            Create::Future(function) => {
                *instance.making.lock().unwrap_or_else(PoisonError::into_inner) = Some(function(config));
                instance.poll(me)
            }
        };
        (instance, rc)
    }

    /// Goes on making it. A poll that comes when nothing is left to do is legal.
    pub(crate) fn poll(&self, me: Handle) -> Rc {
        let mut making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(future) = making.as_mut() else { return READY };
        let waker = host::waker(me);
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => PENDING,
            Poll::Ready(made) => {
                *making = None;
                self.settle(made, me)
            }
        }
    }

    /// A handler and the state, if the index is one of the manifest's and `create` has ended well.
    pub(crate) fn handler(&self, index: u32) -> Option<(&'static Handler, &State)> {
        Some((self.handlers.get(usize::try_from(index).ok()?)?, self.state.get()?))
    }

    fn settle(&self, made: Made, me: Handle) -> Rc {
        match made {
            Ok(state) => self.state.set(state).map_or(ERR, |()| READY),
            Err(Unmade { words, config }) => {
                host::fail(me, &words);
                if config { DENIED } else { ERR }
            }
        }
    }
}
