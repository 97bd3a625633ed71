//! What `create` and `stop` may look like.
//!
//! Owns their arguments and what becomes of their results. `module!` writes calls of [`create`] and [`stop`], which take whatever fits.

use std::any::{Any, type_name};
use std::error::Error as StdError;
use std::fmt::Display;
use std::sync::Arc;

use crate::instance::Shared;
use crate::request::State;
use crate::{Config, ConfigError, Error};

/// What a stop hook ends with: words if it failed.
pub type Stopped = Result<(), String>;

/// Why there is no state.
#[derive(Debug)]
pub struct Unmade {
    /// For people.
    words: String,
    /// The config is at fault: another try with the same one is in vain.
    config: bool,
}

impl Unmade {
    pub(crate) fn new(words: String) -> Self {
        Self { words, config: false }
    }

    /// A config is at fault wherever it is read; for the rest, it helps to know who asks.
    pub(crate) fn of_handler(self, name: &str) -> Self {
        let Self { words, config } = self;
        Self { words: if config { words } else { format!("the handler {name}: {words}") }, config }
    }

    pub(crate) fn words(&self) -> &str {
        &self.words
    }

    pub(crate) fn is_of_config(&self) -> bool {
        self.config
    }
}

impl From<ConfigError> for Unmade {
    fn from(error: ConfigError) -> Self {
        Self { words: error.to_string(), config: true }
    }
}

/// Reads a config and says whether it fits.
pub type Check = fn(&Config) -> Result<(), Unmade>;

/// Whether a config fits the type that `module!` names.
///
/// # Errors
/// When it does not.
#[cfg(feature = "json")]
pub fn check<T: serde::de::DeserializeOwned>(config: &Config) -> Result<(), Unmade> {
    config.parse::<T>()?;
    Ok(())
}

/// What `create` may take.
#[diagnostic::on_unimplemented(
    message = "`create` cannot take `{Self}`",
    label = "is neither a config nor of one",
    note = "create takes nothing, &Config, Config, or a type that derives serde::Deserialize"
)]
pub trait CreateArgument<'c>: Sized {
    /// Makes it of the instance's config.
    ///
    /// # Errors
    /// When the config does not fit.
    fn of(config: &'c Config) -> Result<Self, ConfigError>;
}

impl<'c> CreateArgument<'c> for &'c Config {
    fn of(config: &'c Config) -> Result<Self, ConfigError> {
        Ok(config)
    }
}

impl<'c> CreateArgument<'c> for Config {
    fn of(config: &'c Config) -> Result<Self, ConfigError> {
        Ok(config.clone())
    }
}

#[cfg(feature = "json")]
impl<'c, T: serde::de::DeserializeOwned> CreateArgument<'c> for T {
    fn of(config: &'c Config) -> Result<Self, ConfigError> {
        config.parse()
    }
}

/// A function that may be `create`. `M` tells the shapes apart.
#[diagnostic::on_unimplemented(
    message = "this function cannot be `create`",
    label = "takes too much, or what no config can become",
    note = "create takes nothing, &Config, Config, or a type that derives serde::Deserialize"
)]
pub trait CreateFunction<'c, M> {
    /// What it returns.
    type Output;

    /// Calls it.
    ///
    /// # Errors
    /// When the config does not fit its argument.
    fn call(self, config: &'c Config) -> Result<Self::Output, ConfigError>;
}

impl<F: FnOnce() -> R, R> CreateFunction<'_, ()> for F {
    type Output = R;

    fn call(self, _config: &Config) -> Result<R, ConfigError> {
        Ok(self())
    }
}

impl<'c, F: FnOnce(A) -> R, A: CreateArgument<'c>, R> CreateFunction<'c, (A,)> for F {
    type Output = R;

    fn call(self, config: &'c Config) -> Result<R, ConfigError> {
        Ok(self(A::of(config)?))
    }
}

/// Calls the author's `create`.
///
/// # Errors
/// When the config does not fit its argument.
pub fn create<'c, M, F: CreateFunction<'c, M>>(function: F, config: &'c Config) -> Result<F::Output, Unmade> {
    Ok(function.call(config)?)
}

/// What `create` may return.
#[diagnostic::on_unimplemented(
    message = "`create` cannot return `{Self}`",
    label = "is no Result of a state",
    note = "create returns a Result, whose error can be displayed: fn create(config: &Config) -> Result<State, ConfigError>",
    note = "of an async function, write `create: async make` in module!"
)]
pub trait Creation {
    /// Turns it into what every instance has.
    ///
    /// # Errors
    /// The author's, as one line.
    fn erase(self) -> Result<State, Unmade>;
}

impl<T: Any + Send + Sync, E: Display + 'static> Creation for Result<T, E> {
    fn erase(self) -> Result<State, Unmade> {
        self.map(|state| Box::new(state) as State).map_err(|error| Unmade {
            // The alternate form shows the whole chain of those error types that have one.
            words: format!("{error:#}"),
            config: is_of_config(&error),
        })
    }
}

/// Whether it is a [`ConfigError`], also in one of the boxes that `?` puts every error into.
fn is_of_config(error: &dyn Any) -> bool {
    if let Some(error) = error.downcast_ref::<Error>() {
        return error.is::<ConfigError>();
    }
    if let Some(error) = error.downcast_ref::<Box<dyn StdError + Send + Sync>>() {
        return error.is::<ConfigError>();
    }
    if let Some(error) = error.downcast_ref::<Box<dyn StdError>>() {
        return error.is::<ConfigError>();
    }
    error.is::<ConfigError>()
}

/// Turns what the author's `create` returns into what every instance has.
///
/// # Errors
/// The author's, as one line.
pub fn erase(made: impl Creation) -> Result<State, Unmade> {
    made.erase()
}

/// What `stop` may take.
#[diagnostic::on_unimplemented(
    message = "`stop` cannot take `{Self}`",
    label = "is not the module's state",
    note = "stop takes nothing, &T where create makes T, or Arc<T> where create makes Arc<T>"
)]
pub trait StopArgument<'s>: Sized {
    /// Takes it from the instance.
    ///
    /// # Errors
    /// When the module's state has another type.
    fn of(shared: &'s Shared) -> Result<Self, String>;
}

impl<'s, T: Any + Send + Sync> StopArgument<'s> for &'s T {
    fn of(shared: &'s Shared) -> Result<Self, String> {
        shared.state().ok_or_else(|| {
            format!(
                "it asks for the state {}, and the module has another; take what `create` makes",
                type_name::<T>()
            )
        })
    }
}

impl<'s, T: Any + Send + Sync> StopArgument<'s> for Arc<T> {
    fn of(shared: &'s Shared) -> Result<Self, String> {
        <&Self>::of(shared).cloned()
    }
}

/// A function that may be `stop`. `M` tells the shapes apart.
#[diagnostic::on_unimplemented(
    message = "this function cannot be `stop`",
    label = "takes too much, or what is not the module's state",
    note = "stop takes nothing, &T where create makes T, or Arc<T> where create makes Arc<T>"
)]
pub trait StopFunction<'s, M> {
    /// What it returns.
    type Output;

    /// Calls it.
    ///
    /// # Errors
    /// When the module's state has another type than its argument.
    fn call(self, shared: &'s Shared) -> Result<Self::Output, String>;
}

impl<F: FnOnce() -> R, R> StopFunction<'_, ()> for F {
    type Output = R;

    fn call(self, _shared: &Shared) -> Result<R, String> {
        Ok(self())
    }
}

impl<'s, F: FnOnce(A) -> R, A: StopArgument<'s>, R> StopFunction<'s, (A,)> for F {
    type Output = R;

    fn call(self, shared: &'s Shared) -> Result<R, String> {
        Ok(self(A::of(shared)?))
    }
}

/// Calls the author's `stop`.
///
/// # Errors
/// When the module's state has another type than its argument.
pub fn stop<'s, M, F: StopFunction<'s, M>>(function: F, shared: &'s Shared) -> Result<F::Output, String> {
    function.call(shared)
}

/// What `stop` may return.
#[diagnostic::on_unimplemented(
    message = "`stop` cannot return `{Self}`",
    label = "is neither () nor a Result<(), …>",
    note = "of an async function, write `stop: async end` in module!"
)]
pub trait Stop {
    /// As words, if it failed.
    ///
    /// # Errors
    /// The author's, as one line.
    fn settle(self) -> Stopped;
}

impl Stop for () {
    fn settle(self) -> Stopped {
        Ok(())
    }
}

impl<E: Display> Stop for Result<(), E> {
    fn settle(self) -> Stopped {
        self.map_err(|error| format!("{error:#}"))
    }
}

/// What the author's `stop` came to.
///
/// # Errors
/// The author's, as one line.
pub fn stopped(end: impl Stop) -> Stopped {
    end.settle()
}
