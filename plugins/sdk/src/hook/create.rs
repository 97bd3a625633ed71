//! What `create` may take and return.
//!
//! Owns how a config becomes its argument, and how what it makes becomes a state. Must not judge errors: `cause` does.

use std::any::Any;
use std::fmt::Display;

use super::{Cause, Unmade, unmade};
use crate::request::State;
use crate::{Config, ConfigError};

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
    /// What all calls share.
    type State: Any + Send + Sync;
    /// Why there is none.
    type Error: Display + 'static;

    /// Which of the two it is.
    ///
    /// # Errors
    /// The author's.
    fn made(self) -> Result<Self::State, Self::Error>;
}

impl<T: Any + Send + Sync, E: Display + 'static> Creation for Result<T, E> {
    type State = T;
    type Error = E;

    fn made(self) -> Self {
        self
    }
}

/// Turns what the author's `create` returns into what every instance has.
///
/// # Errors
/// The author's, as one line.
pub fn erase<M: Creation>(made: M, cause: Cause<M::Error>) -> Result<State, Unmade> {
    match made.made() {
        Ok(state) => Ok(Box::new(state)),
        Err(error) => Err(unmade(&error, cause)),
    }
}
