//! A module whose config is a type: `GET /limits` is answered as often as the config allows.
//!
//! ```console
//! $ cargo build -p limits
//! $ hotbay inspect target/debug/liblimits.so
//! $ hotbay check target/debug/liblimits.so --for plugins/examples/limits/limits-module.yaml
//! ```
//! The types in here are the schema that `inspect` shows. What does not fit them is refused by the operator, by `hotbay run` and by
//! `hotbay check`, with the field's path: `spec.config.limits.burst: 0 is less than the minimum of 1`.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use hotbay_sdk::extract::Headers;
use hotbay_sdk::{ConfigError, ModuleConfig, Response, handler, module};
use serde::Deserialize;

/// What is answered, and how often.
#[derive(Debug, Deserialize, ModuleConfig)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// The answer's text.
    #[config(default = "You may.\n", min_length = 1, max_length = 20_000)]
    text: String,
    limits: Limits,
    over: Over,
    /// Whoever sends it as `Authorization: Bearer …` is always answered.
    #[config(secret, min_length = 16)]
    token: Option<String>,
}

/// How much everybody may ask together.
#[derive(Debug, Deserialize, ModuleConfig)]
#[serde(default, deny_unknown_fields)]
struct Limits {
    /// Answers in a second.
    #[config(min = 1, max = 1_000_000, default = 10)]
    rate: u32,
    /// Answers at once, after a pause.
    #[config(min = 1, max = 1_000_000, default = 20)]
    burst: u32,
}

/// What those get who ask more often.
#[derive(Debug, Default, Deserialize, ModuleConfig)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum Over {
    /// A 429 without further words.
    #[default]
    Refuse,
    /// A 429 that says when to come again.
    RetryAfter {
        /// In so many seconds.
        #[config(min = 1, max = 86_400)]
        seconds: u32,
    },
}

/// Lets through so many a second.
struct Gate {
    settings: Settings,
    bucket: Mutex<Bucket>,
}

struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl Gate {
    /// Whether one more may pass now.
    fn admits(&self, now: Instant) -> bool {
        let Limits { rate, burst } = self.settings.limits;
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let since = now.saturating_duration_since(bucket.filled).as_secs_f64();
        bucket.tokens = f64::from(burst).min(bucket.tokens + since * f64::from(rate));
        bucket.filled = now;
        let admitted = bucket.tokens >= 1.0;
        bucket.tokens -= if admitted { 1.0 } else { 0.0 };
        admitted
    }

    fn knows(&self, headers: &Headers<'_>) -> bool {
        let sent = headers.get("authorization").and_then(|value| value.strip_prefix("Bearer "));
        sent.is_some() && sent == self.settings.token.as_deref()
    }
}

fn create(settings: Settings) -> Result<Gate, ConfigError> {
    let Limits { rate, burst } = settings.limits;
    // A schema looks at one field at a time.
    if burst < rate / 10 {
        return Err(ConfigError::at(
            "limits.burst",
            "is less than a tenth of limits.rate, which could never be reached",
        ));
    }
    let bucket = Mutex::new(Bucket { tokens: f64::from(burst), filled: Instant::now() });
    Ok(Gate { settings, bucket })
}

/// Answers whom the limits let through.
#[handler(GET, "/limits")]
fn limits(gate: &Gate, headers: Headers<'_>) -> Response {
    if gate.knows(&headers) || gate.admits(Instant::now()) {
        return Response::text(gate.settings.text.clone());
    }
    let refused = Response::text("That is too often.\n").with_status(429);
    match gate.settings.over {
        Over::Refuse => refused,
        Over::RetryAfter { seconds } => refused.with_header("retry-after", seconds.to_string()),
    }
}

module! {
    handlers: [limits],
    config: Settings,
    create: create,
}

#[cfg(test)]
mod tests;
