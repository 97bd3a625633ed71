//! What `stop` may take and return.
//!
//! Owns the agreement with `create`: a stop hook takes the state that `create` makes, or does not compile.

use std::any::Any;
use std::fmt::Display;
use std::marker::PhantomData;
use std::sync::Arc;

use super::Stopped;
use super::create::{CreateFunction, Creation};
use crate::instance::Shared;

/// The state that `create` makes, as a type alone.
pub type Makes<T> = PhantomData<fn() -> T>;

/// What a plain `create` makes.
pub fn made_by<'c, M, F>(_create: F) -> Makes<<F::Output as Creation>::State>
where
    F: CreateFunction<'c, M, Output: Creation>,
{
    PhantomData
}

/// What an async `create` makes.
pub fn made_later_by<'c, M, F>(_create: F) -> Makes<<<F::Output as Future>::Output as Creation>::State>
where
    F: CreateFunction<'c, M, Output: Future<Output: Creation>>,
{
    PhantomData
}

/// What there is without a `create`.
pub fn made_nothing() -> Makes<()> {
    PhantomData
}

/// What `stop` may take, where the state is a `T`.
pub trait StopArgument<'s, T>: Sized {
    /// Takes it from the instance.
    fn of(state: &'s T) -> Self;
}

impl<'s, T> StopArgument<'s, T> for &'s T {
    fn of(state: &'s T) -> Self {
        state
    }
}

impl<'s, T> StopArgument<'s, Self> for Arc<T> {
    fn of(state: &'s Self) -> Self {
        Self::clone(state)
    }
}

/// A function that may be `stop`, where the state is a `T`. `M` tells the shapes apart.
#[diagnostic::on_unimplemented(
    message = "this function cannot be `stop`",
    label = "takes too much, or another state than `create` makes, which is `{T}`",
    note = "stop takes nothing, &T where create makes T, or Arc<T> where create makes Arc<T>"
)]
pub trait StopFunction<'s, T, M> {
    /// What it returns.
    type Output;

    /// Calls it.
    fn call(self, state: &'s T) -> Self::Output;
}

impl<T, F: FnOnce() -> R, R> StopFunction<'_, T, ()> for F {
    type Output = R;

    fn call(self, _state: &T) -> R {
        self()
    }
}

impl<'s, T, F: FnOnce(A) -> R, A: StopArgument<'s, T>, R> StopFunction<'s, T, (A,)> for F {
    type Output = R;

    fn call(self, state: &'s T) -> R {
        self(A::of(state))
    }
}

/// Calls the author's `stop`.
///
/// # Errors
/// When there is no such state, which only a host could bring about.
pub fn stop<'s, T: Any, M, F: StopFunction<'s, T, M>>(
    // The first, so that a function which takes another state is what is wrong, and not this.
    _made: Makes<T>,
    function: F,
    shared: &'s Shared,
) -> Result<F::Output, String> {
    let state = shared.state().ok_or("there is no state to stop")?;
    Ok(function.call(state))
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
