//! A module's config against the schema of its manifest.
//!
//! Owns the check and the words of its refusals, which name the field and never its value: a config may hold what logs must not. The schema is
//! the module author's, so nothing it says may reach out (references are not fetched) or run long (patterns without backtracking).

use hotbay_api::Reason;
use jsonschema::PatternOptions;
use serde_json::Value;

use crate::Refusal;
use crate::refusal::shortened;

/// The largest config, as JSON.
pub const MAX_CONFIG_BYTES: usize = 64 * 1024;

pub(super) fn check(config: &Value, schema: Option<&Value>) -> Result<(), Refusal> {
    if !config.is_object() {
        return Err(rejected("spec.config is not an object; write fields below it"));
    }
    let bytes = config.to_string().len();
    if bytes > MAX_CONFIG_BYTES {
        return Err(rejected(format!(
            "spec.config has {bytes} bytes as JSON and {MAX_CONFIG_BYTES} are allowed; shorten it"
        )));
    }
    let Some(schema) = schema else { return Ok(()) };
    let validator = jsonschema::options()
        .with_pattern_options(PatternOptions::regex().size_limit(1 << 20))
        .build(schema)
        .map_err(|error| {
            let message = format!(
                "the module's config schema is not valid: {}; mend it and build again",
                error.masked()
            );
            Refusal::of_module(Reason::ManifestInvalid, message)
        })?;
    match validator.iter_errors(config).next() {
        None => Ok(()),
        Some(error) => {
            let field = format!("spec.config{}", error.instance_path().as_str().replace('/', "."));
            // It lists every key that the schema does not know, and a field's name may be as long as the config.
            let why = shortened(&format!("{field}: {}", error.masked()), 512);
            Err(rejected(format!("{why}; correct it to fit the module's schema")))
        }
    }
}

fn rejected(message: impl Into<String>) -> Refusal {
    Refusal::of_module(Reason::ConfigRejected, message)
}
