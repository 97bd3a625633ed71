//! What an instance is made with, and how it becomes a value of the module's own type.
//!
//! Owns the words of a config that does not fit. They name the field and never its value: it may be a secret, and the words reach logs
//! and status. The schema that hosts check a config against comes from the same type (`schema`), and parser and schema agree.

#[allow(
    clippy::panic,
    reason = "evaluated while the author's crate is compiled, where it is a compile error"
)]
pub(crate) mod check;
#[allow(clippy::panic, reason = "evaluated while the author's crate is compiled, too")]
pub(crate) mod duration;
pub(crate) mod schema;
#[cfg(feature = "json")]
mod types;
#[cfg(feature = "json")]
mod value;
mod write;

use std::fmt::{self, Display};

/// How the config of a HandlerModule is called where its author writes it.
const ROOT: &str = "spec.config";

/// The config of one instance. A change of config makes a new instance.
#[derive(Clone, Debug)]
pub struct Config {
    name: String,
    json: String,
    digest: String,
}

/// The config does not fit the module: `spec.config.limits.burst: is missing`. An instance whose `create` ends with it is refused as
/// `ConfigRejected`, and not tried again until the config changes.
#[derive(Debug)]
pub struct ConfigError {
    /// Dots between the steps; empty for the config itself.
    path: String,
    why: String,
}

impl ConfigError {
    /// For what only the module can say: `ConfigError::at("limits.burst", "is less than limits.rate")`. Do not quote the value of a
    /// field that holds a secret.
    pub fn at(field: impl Into<String>, why: impl Display) -> Self {
        Self { path: field.into(), why: why.to_string() }
    }

    /// The field that is wrong, as `limits.burst`; empty if it is the config as a whole.
    pub fn field(&self) -> &str {
        &self.path
    }
}

impl Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The list of a list begins with its index.
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        write!(f, "{ROOT}{dot}{}: {}", self.path, self.why)
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// A config as a host would give it; for tests.
    pub fn new(name: impl Into<String>, json: impl Into<String>) -> Self {
        Self { name: name.into(), json: json.into(), digest: String::new() }
    }

    pub(crate) fn with_digest(self, digest: String) -> Self {
        Self { digest, ..self }
    }

    /// `namespace/name` of the HandlerModule.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A JSON object; `{}` if the HandlerModule has no config.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// `sha256:…` of this module's file; empty in a test.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The config as a value of the module's own type. A [`Duration`](std::time::Duration) in it is a text such as `250ms`, `10s` or `1m30s`.
    ///
    /// # Errors
    /// When the JSON does not fit the type: the error names the field and what it must be.
    #[cfg(feature = "json")]
    pub fn parse<T: serde::de::DeserializeOwned>(&self) -> Result<T, ConfigError> {
        let json = serde_json::from_str(&self.json)
            .map_err(|error| ConfigError::at("", format_args!("is not JSON: {error}")))?;
        T::deserialize(value::Value(&json)).map_err(value::Fault::into_error)
    }
}

/// The JSON Schema of a type, as the manifest of a module with this config has it; for tests and documentation.
///
/// # Panics
/// Where `module!` would be a compile error: with keywords that the type cannot have, or if the type is no object.
#[cfg(feature = "json")]
pub fn config_schema<T: schema::ModuleConfig>() -> String {
    let measure = || {
        let mut json = crate::manifest::Json::new(&mut []);
        json.config(T::SCHEMA);
        json.len
    };
    let mut text = vec![0; measure()];
    crate::manifest::Json::new(&mut text).config(T::SCHEMA);
    String::from_utf8(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_is_named_as_where_it_is_written() {
        assert_eq!(
            ConfigError::at("limits.burst", "is missing").to_string(),
            "spec.config.limits.burst: is missing"
        );
        assert_eq!(ConfigError::at("", "is null").to_string(), "spec.config: is null");
        assert_eq!(ConfigError::at("[0].a", "is null").to_string(), "spec.config[0].a: is null");
    }
}
