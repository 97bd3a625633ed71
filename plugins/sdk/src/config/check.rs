//! What a schema cannot say is a compile error: bounds that the type cannot have, a pattern on a number, a config that is no object.
//!
//! This compiles, and each of the following has one word more that cannot hold:
//! ```
//! # use hotbay_sdk::{ModuleConfig, Request, Response, handler, module};
//! #[derive(serde::Deserialize, ModuleConfig)]
//! struct Limits { #[config(min = 0, max = 255)] burst: u8, #[config(pattern = "^a")] name: String }
//! # #[handler(GET, "/")] fn hello(_: Request) -> Response { Response::status(204) }
//! module! { handlers: [hello], config: Limits }
//! ```
//! ```compile_fail
//! # use hotbay_sdk::{ModuleConfig, Request, Response, handler, module};
//! #[derive(serde::Deserialize, ModuleConfig)]
//! struct Limits { #[config(min = 0, max = 256)] burst: u8, #[config(pattern = "^a")] name: String }
//! # #[handler(GET, "/")] fn hello(_: Request) -> Response { Response::status(204) }
//! module! { handlers: [hello], config: Limits }
//! ```
//! ```compile_fail
//! # use hotbay_sdk::{ModuleConfig, Request, Response, handler, module};
//! #[derive(serde::Deserialize, ModuleConfig)]
//! struct Limits { #[config(min = 0, max = 255, pattern = "^a")] burst: u8, #[config(pattern = "^a")] name: String }
//! # #[handler(GET, "/")] fn hello(_: Request) -> Response { Response::status(204) }
//! module! { handlers: [hello], config: Limits }
//! ```
//! ```compile_fail
//! # use hotbay_sdk::{ModuleConfig, Request, Response, handler, module};
//! #[derive(serde::Deserialize, ModuleConfig)]
//! struct Limits { #[config(min = 0, max = 255)] burst: u8, #[config(pattern = "^a")] name: String }
//! # #[handler(GET, "/")] fn hello(_: Request) -> Response { Response::status(204) }
//! module! { handlers: [hello], config: Vec<Limits> }
//! ```

use super::schema::{AppliesTo, Bound, Keywords, Schema};

/// A config is an object.
pub(super) const fn whole(schema: &Schema) {
    assert!(
        schema.is_object(),
        "module!: a config is an object with fields, so its type is a struct with named fields, or an enum of such"
    );
}

/// A variant that `#[serde(tag)]` has no place in.
pub(super) const fn not_tagged() {
    panic!("a variant of an enum with #[serde(tag)] holds named fields, or a struct with named fields")
}

/// The shape of an enum whose fields serde reads before it knows their types: a `Duration` in there would be read as two numbers.
pub const fn buffered(schema: &Schema) {
    match schema {
        Schema::Duration { reads_itself } => assert!(
            *reads_itself,
            "in an enum with #[serde(tag)], content or untagged, write hotbay_sdk::DurationText for Duration: serde reads what is in it \
             before it knows the types"
        ),
        Schema::Nullable(inner) | Schema::Map(inner) => buffered(inner),
        Schema::List { items, .. } => buffered(items),
        Schema::Tagged { inner, .. } => buffered(inner),
        Schema::Tuple(parts) | Schema::Forms { forms: parts, .. } => {
            let mut index = 0;
            while index < parts.len() {
                buffered(parts[index]);
                index += 1;
            }
        }
        Schema::Object { fields, .. } => {
            let mut index = 0;
            while index < fields.len() {
                buffered(fields[index].schema);
                index += 1;
            }
        }
        Schema::Any
        | Schema::Null
        | Schema::Bool
        | Schema::Integer { .. }
        | Schema::Number
        | Schema::Text { .. }
        | Schema::Char
        | Schema::Names { .. } => {}
    }
}

/// Keywords that the type cannot have are a compile error.
pub(super) const fn keywords(schema: &Schema, keywords: &Keywords) {
    if let Schema::Nullable(inner) = schema {
        return self::keywords(inner, keywords);
    }
    if keywords.min.is_some() || keywords.max.is_some() {
        match schema {
            Schema::Integer { min, max } => {
                within(keywords.min, *min, *max);
                within(keywords.max, *min, *max);
            }
            Schema::Number => {}
            _ => panic!(
                "#[config(min)] and max are for numbers; texts have min_length and max_length, lists min_items and max_items"
            ),
        }
        if let (Some(Bound { whole: Some(min), .. }), Some(Bound { whole: Some(max), .. })) =
            (keywords.min, keywords.max)
        {
            assert!(min <= max, "#[config(min)] is greater than max");
        }
    }
    match keywords.applies_to {
        AppliesTo::Anything => {}
        AppliesTo::Texts => assert!(
            matches!(schema, Schema::Text { format } if format.is_empty()),
            "#[config(pattern)], format, min_length and max_length are for texts"
        ),
        AppliesTo::Lists => assert!(
            matches!(schema, Schema::List { length: None, .. }),
            "#[config(min_items)] and max_items are for lists whose length is not fixed"
        ),
    }
}

const fn within(bound: Option<Bound>, least: i128, greatest: i128) {
    if let Some(bound) = bound {
        let Some(whole) = bound.whole else {
            panic!("#[config(min)] and max of a whole number are whole numbers");
        };
        assert!(least <= whole && whole <= greatest, "#[config(min)] or max is out of the type's own range");
    }
}
