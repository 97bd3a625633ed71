//! What `create` and `stop` may look like.
//!
//! Owns why there is no state, and what is checked before `create` runs. `module!` writes calls of [`create`] and [`stop`], which take whatever
//! fits; `cause` looks into what `create` fails with.

use std::error::Error as StdError;
use std::fmt::{self, Display};

use crate::{Config, ConfigError};

mod cause;
mod create;
mod stop;

pub use cause::{AsChained, AsError, AsLocal, AsShared, Cause, ErrorOf, unmade};
pub use create::{Creation, create, erase};
#[cfg(test)]
pub use stop::Makes;
pub use stop::{made_by, made_later_by, made_nothing, stop, stopped};

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

impl Display for Unmade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl StdError for Unmade {}

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
