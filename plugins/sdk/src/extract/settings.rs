//! The module's config.

use std::any::{Any, type_name};
use std::convert::Infallible;
use std::ops::Deref;

use serde::de::DeserializeOwned;

use crate::hook::Unmade;
use crate::instance::Shared;
use crate::{FromRequest, Request};

/// The module's config as its type, read once an instance. A config that does not fit is refused before the first request.
///
/// ```
/// use hotbay_sdk::{ModuleConfig, Settings, handler, test};
/// use serde::Deserialize;
///
/// #[derive(Deserialize, ModuleConfig)]
/// struct Limits { burst: u32 }
///
/// #[handler(GET, "/burst")]
/// fn burst(limits: Settings<Limits>) -> String {
///     limits.burst.to_string()
/// }
///
/// let request = test::get("/burst").settings(Limits { burst: 5 });
/// assert_eq!(test::call(burst, &request).body(), b"5");
/// ```
#[derive(Debug)]
pub struct Settings<'r, T>(pub &'r T);

impl<T> Clone for Settings<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Settings<'_, T> {}

impl<T> Deref for Settings<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0
    }
}

impl<'r, T> FromRequest<'r> for Settings<'r, T>
where
    T: DeserializeOwned + Any + Send + Sync,
{
    type Rejection = Infallible;

    /// # Panics
    /// In a test whose request has no such settings.
    #[allow(clippy::panic, reason = "a test's mistake: of a module, `prepare` was called")]
    fn from_request(request: &Request<'r>) -> Result<Self, Infallible> {
        match request.shared.settings() {
            Some(settings) => Ok(Self(settings)),
            None => panic!("there are no settings {}; add .settings(…) to the request", type_name::<T>()),
        }
    }

    fn prepare(instance: &mut Shared) -> Result<(), Unmade> {
        instance.parse_settings::<T>()
    }
}
