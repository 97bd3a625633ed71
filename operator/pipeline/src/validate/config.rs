//! A module's config against the schema of its manifest.
//!
//! Owns the check, and that a refusal names every field that is wrong up to a handful. `words` says what is wrong with one of them. The schema is
//! the module author's, so nothing it says may reach out (references are not fetched), run long (patterns without backtracking) or
//! multiply (`effort`).

mod effort;
mod forms;
mod nearest;
mod path;
mod secrets;
mod words;

use hotbay_api::Reason;
use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

use crate::Refusal;
use crate::refusal::shortened;
use words::Problem;

/// The largest config, as JSON.
pub const MAX_CONFIG_BYTES: usize = 64 * 1024;

/// So many wrong fields are told at once.
const MAX_PROBLEMS: usize = 5;
/// The longest words about one of them: a field's name may be as long as the config.
const MAX_PROBLEM_BYTES: usize = 256;
/// The longest words about all of them; with what stands behind it, it fits into a refusal.
const MAX_BYTES: usize = 640;

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
    let validator = validator(schema)?;
    effort::of_config(schema, config).map_err(invalid)?;
    let problems = words::problems(validator.iter_errors(config), schema, config);
    match &problems[..] {
        [] => Ok(()),
        [one] => Err(rejected(format!("{}; correct it to fit the module's schema", one.shortened()))),
        several => Err(rejected(format!("{}; correct them to fit the module's schema", list(several)))),
    }
}

/// Checks the schema itself, as it is checked before any config is.
///
/// # Errors
/// When it is no JSON Schema, reaches out of itself, or has a pattern that is not matched in linear time.
pub fn check_schema(schema: &Value) -> Result<(), Refusal> {
    validator(schema).map(drop)
}

fn validator(schema: &Value) -> Result<Validator, Refusal> {
    effort::of_schema(schema).map_err(invalid)?;
    jsonschema::options()
        .with_pattern_options(PatternOptions::regex().size_limit(1 << 20))
        .should_validate_formats(true)
        .build(schema)
        .map_err(|error| invalid(error.masked()))
}

fn invalid(why: impl std::fmt::Display) -> Refusal {
    let message = format!("the module's config schema is not valid: {why}; mend it and build again");
    Refusal::of_module(Reason::ManifestInvalid, message)
}

/// As many as there is room for, and how many more there are.
fn list(problems: &[Problem]) -> String {
    let mut told = String::new();
    for (index, problem) in problems.iter().enumerate() {
        let words = problem.shortened();
        if index > 0 && (index == MAX_PROBLEMS || told.len() + words.len() > MAX_BYTES) {
            return format!("{told}; and {} more", problems.len() - index);
        }
        let separator = if index > 0 { "; " } else { "" };
        told.push_str(&format!("{separator}{words}"));
    }
    told
}

impl Problem {
    fn shortened(&self) -> String {
        shortened(&self.to_string(), MAX_PROBLEM_BYTES)
    }
}

fn rejected(message: impl Into<String>) -> Refusal {
    Refusal::of_module(Reason::ConfigRejected, message)
}

#[cfg(test)]
mod tests;
