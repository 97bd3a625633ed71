//! What an instance is made with.

/// The config of one instance. A change of config makes a new instance.
#[derive(Clone, Debug)]
pub struct Config {
    name: String,
    json: String,
    digest: String,
}

/// The config does not fit the module's type.
#[cfg(feature = "json")]
#[derive(Debug, thiserror::Error)]
#[error("the module's config does not fit: {0}")]
pub struct ConfigError(serde_json::Error);

/// Never made: without the feature `json` nothing is parsed.
#[cfg(not(feature = "json"))]
#[derive(Debug, thiserror::Error)]
#[error("this module does not parse its config")]
pub struct ConfigError(());

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

    /// The config as a value of the module's own type.
    ///
    /// # Errors
    /// When the JSON does not fit the type; the message says where and why.
    #[cfg(feature = "json")]
    pub fn parse<T: serde::de::DeserializeOwned>(&self) -> Result<T, ConfigError> {
        serde_json::from_str(&self.json).map_err(ConfigError)
    }
}
