//! What is wrong with a field, in words.
//!
//! Owns that no text of a config is quoted, as it may be a secret written in the wrong place. A number is, where the schema wants a number
//! and does not call it a secret.

use std::fmt;

use hotbay_api::DurationText;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::{JsonType, ValidationError};
use serde_json::Value;

use super::forms::{self, Meant};
use super::nearest::nearest;
use super::{path, secrets};

/// So many names are listed.
const MAX_NAMES: usize = 8;

/// One field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    field: String,
    why: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.why)
    }
}

/// What all errors are about, each once.
pub(super) fn problems<'e>(
    errors: impl Iterator<Item = ValidationError<'e>>,
    schema: &Value,
    config: &Value,
) -> Vec<Problem> {
    let mut told = Told { schema, config, problems: Vec::new() };
    errors.for_each(|error| told.tell(&error));
    told.problems
}

struct Told<'c> {
    schema: &'c Value,
    config: &'c Value,
    problems: Vec<Problem>,
}

impl Told<'_> {
    fn tell(&mut self, error: &ValidationError<'_>) {
        let at = path::steps(error.instance_path().as_str());
        match error.kind() {
            Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
                let known = self.known(error);
                for field in unexpected {
                    self.add(&[&at[..], std::slice::from_ref(field)].concat(), unknown(field, &known));
                }
            }
            Kind::Required { property } => {
                let field = property.as_str().unwrap_or_default().to_owned();
                self.add(&[&at[..], &[field]].concat(), "is missing".to_owned());
            }
            Kind::AnyOf { context } | Kind::OneOfNotValid { context } => self.tell_forms(&at, context),
            kind => {
                let number = self.number(error, &at);
                let why =
                    simple(kind, error.instance(), &number).unwrap_or_else(|| error.masked().to_string());
                self.add(&at, why);
            }
        }
    }

    fn add(&mut self, at: &[String], why: String) {
        let problem = Problem { field: path::shown(self.config, at), why };
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// The number itself and a space, if it may be shown.
    fn number(&self, error: &ValidationError<'_>, at: &[String]) -> String {
        match error.instance().as_ref() {
            Value::Number(number) if !secrets::is_secret(self.schema, at) => format!("{number} "),
            _ => String::new(),
        }
    }

    /// The fields that the schema knows where it found one that it does not.
    fn known(&self, error: &ValidationError<'_>) -> Vec<String> {
        let keyword = error.schema_path().as_str();
        let parent = keyword.rsplit_once('/').and_then(|(parent, _)| self.schema.pointer(parent));
        let fields = parent.and_then(|schema| schema.get("properties")).and_then(Value::as_object);
        fields.into_iter().flat_map(|fields| fields.keys().cloned()).collect()
    }

    /// Of several forms that a value may have, what is wrong with the one that it was meant to have.
    fn tell_forms(&mut self, at: &[String], forms: &[Vec<ValidationError<'static>>]) {
        match forms::meant(forms, at) {
            Meant::One(errors) => errors.iter().for_each(|error| self.tell(error)),
            Meant::NoneOf { field, names } => self.add(&field, none_of(&names, None)),
            Meant::Missing(field) => self.add(&field, "is missing".to_owned()),
            Meant::Unknown => {
                self.add(at, format!("fits none of the {} forms that it may have", forms.len()))
            }
        }
    }
}

fn unknown(field: &str, known: &[String]) -> String {
    let hint = match nearest(field, known.iter().map(String::as_str)) {
        Some(near) => format!("; did you mean {near}?"),
        None if known.is_empty() || known.len() > MAX_NAMES => String::new(),
        None => format!("; there are {}", known.join(", ")),
    };
    format!("is no field of the module's config{hint}")
}

fn none_of(names: &[Value], written: Option<&str>) -> String {
    let shown: Vec<String> = names.iter().take(MAX_NAMES).map(Value::to_string).collect();
    let more = if names.len() > MAX_NAMES { ", …" } else { "" };
    let near = written.and_then(|written| nearest(written, names.iter().filter_map(Value::as_str)));
    let hint = near.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
    format!("is none of {}{more}{hint}", shown.join(", "))
}

/// For keywords about one value. `number` is shown before what is wrong with it.
fn simple(kind: &Kind, value: &Value, number: &str) -> Option<String> {
    Some(match kind {
        Kind::Type { kind } => format!("is {} and must be {}", kind_of(value), wanted(kind)),
        Kind::Minimum { limit } => format!("{number}is less than the minimum of {limit}"),
        Kind::Maximum { limit } => format!("{number}is greater than the maximum of {limit}"),
        Kind::ExclusiveMinimum { limit } => format!("{number}is not greater than {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("{number}is not less than {limit}"),
        Kind::MultipleOf { multiple_of } => format!("{number}is not a multiple of {multiple_of}"),
        Kind::MinLength { limit } => format!("is shorter than {limit} characters"),
        Kind::MaxLength { limit } => format!("is longer than {limit} characters"),
        Kind::MinItems { limit } => format!("has fewer than {limit} items"),
        Kind::MaxItems { limit } => format!("has more than {limit} items"),
        Kind::MinProperties { limit } => format!("has fewer than {limit} fields"),
        Kind::MaxProperties { limit } => format!("has more than {limit} fields"),
        Kind::UniqueItems => "holds something twice".to_owned(),
        Kind::Pattern { pattern } if pattern == DurationText::pattern() => {
            "is no duration; write for example 250ms, 10s, 1m30s or 2h".to_owned()
        }
        Kind::Pattern { pattern } => format!("does not match {pattern}"),
        Kind::Format { format } => format!("is not of the format {format}"),
        Kind::Constant { expected_value } => format!("must be {expected_value}"),
        Kind::Enum { options } => none_of(options.as_array()?, value.as_str()),
        Kind::FalseSchema => "is not allowed".to_owned(),
        _ => return None,
    })
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn wanted(kind: &TypeKind) -> String {
    let word = |kind: JsonType| match kind {
        JsonType::Null => "null",
        JsonType::Boolean => "true or false",
        JsonType::Integer => "a whole number",
        JsonType::Number => "a number",
        JsonType::String => "a text",
        JsonType::Array => "a list",
        JsonType::Object => "an object",
    };
    match kind {
        TypeKind::Single(kind) => word(*kind).to_owned(),
        TypeKind::Multiple(kinds) => kinds.iter().map(word).collect::<Vec<_>>().join(" or "),
    }
}
