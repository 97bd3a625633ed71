//! The module's state.

use std::any::Any;
use std::convert::Infallible;
use std::ops::Deref;

use crate::hook::Unmade;
use crate::instance::Shared;
use crate::{FromRequest, Request};

/// The module's state, as `create` made it. A plain `&T` is the same.
///
/// A handler that asks for another type than `create` makes keeps the module from starting, with words that name
/// the handler and the type.
#[derive(Debug)]
pub struct State<'r, T>(pub &'r T);

impl<T> Clone for State<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for State<'_, T> {}

impl<T> Deref for State<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0
    }
}

impl<'r, T: Any + Send + Sync> FromRequest<'r> for State<'r, T> {
    type Rejection = Infallible;

    #[inline]
    fn from_request(request: &Request<'r>) -> Result<Self, Infallible> {
        Ok(Self(request.state()))
    }

    fn prepare(instance: &mut Shared) -> Result<(), Unmade> {
        instance.expect_state::<T>()
    }
}

impl<'r, T: Any + Send + Sync> FromRequest<'r> for &'r T {
    type Rejection = Infallible;

    #[inline]
    fn from_request(request: &Request<'r>) -> Result<Self, Infallible> {
        Ok(request.state())
    }

    fn prepare(instance: &mut Shared) -> Result<(), Unmade> {
        instance.expect_state::<T>()
    }
}
