//! JSON as serde reads it for a config, with errors that name the field and never its value.
//!
//! serde_json's own errors quote the value, which may be a secret. This reader also agrees with JSON Schema where serde_json does not: `1.0`
//! is a whole number, and a struct is an object and never a list.

use std::fmt::{self, Display};

use serde::de::{self, DeserializeSeed, IntoDeserializer as _, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Number};

use super::{ConfigError, duration};

/// Up to here every whole `f64` is exactly one whole number.
const EXACT: f64 = 9_007_199_254_740_992.0;

pub(super) struct Value<'a>(pub &'a serde_json::Value);

/// What is wrong, and where: the innermost step first.
#[derive(Debug)]
pub(super) struct Fault {
    path: Vec<String>,
    why: String,
}

impl Fault {
    fn new(why: impl Display) -> Self {
        Self { path: Vec::new(), why: why.to_string() }
    }

    fn below(mut self, step: String) -> Self {
        self.path.push(step);
        self
    }

    pub(super) fn into_error(self) -> ConfigError {
        let mut path = String::new();
        for step in self.path.iter().rev() {
            if !path.is_empty() && !step.starts_with('[') {
                path.push('.');
            }
            path.push_str(step);
        }
        ConfigError { path, why: self.why }
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: Display>(message: T) -> Self {
        Self::new(message)
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(format_args!("is {} and must be {expected}", kind(unexpected)))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(format_args!("is {} that does not fit; it must be {expected}", kind(unexpected)))
    }

    fn invalid_length(length: usize, expected: &dyn de::Expected) -> Self {
        Self::new(format_args!("has {length} items and must be {expected}"))
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format_args!("is none of {}", expected.join(", ")))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let known = expected.join(", ");
        Self::new(format_args!("is no field of the module's config; there are {known}"))
            .below(field.to_owned())
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new("is missing").below(field.to_owned())
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new("is there twice").below(field.to_owned())
    }
}

fn kind(unexpected: Unexpected<'_>) -> &'static str {
    match unexpected {
        Unexpected::Bool(_) => "a boolean",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "a whole number",
        Unexpected::Float(_) => "a number",
        Unexpected::Char(_) | Unexpected::Str(_) | Unexpected::Bytes(_) => "a text",
        Unexpected::Unit | Unexpected::Option => "null",
        Unexpected::Seq => "a list",
        Unexpected::Map => "an object",
        _ => "something",
    }
}

fn number<'de, V: Visitor<'de>>(number: &Number, visitor: V) -> Result<V::Value, Fault> {
    if let Some(number) = number.as_u64() {
        return visitor.visit_u64(number);
    }
    if let Some(number) = number.as_i64() {
        return visitor.visit_i64(number);
    }
    let number = number.as_f64().unwrap_or(f64::NAN);
    if number.fract() == 0.0 && number.abs() <= EXACT {
        return if number < 0.0 {
            visitor.visit_i64(number as i64)
        } else {
            visitor.visit_u64(number as u64)
        };
    }
    visitor.visit_f64(number)
}

fn object<'de, V: Visitor<'de>>(
    fields: &'de Map<String, serde_json::Value>,
    visitor: V,
) -> Result<V::Value, Fault> {
    visitor.visit_map(Fields { left: fields.iter(), current: None })
}

fn list<'de, V: Visitor<'de>>(items: &'de [serde_json::Value], visitor: V) -> Result<V::Value, Fault> {
    let mut left = Items { left: items.iter().enumerate() };
    let value = visitor.visit_seq(&mut left)?;
    match left.left.len() {
        0 => Ok(value),
        more => Err(Fault::new(format_args!("has {} items, which are {more} too many", items.len()))),
    }
}

impl<'de> de::Deserializer<'de> for Value<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0 {
            serde_json::Value::Null => visitor.visit_unit(),
            serde_json::Value::Bool(value) => visitor.visit_bool(*value),
            serde_json::Value::Number(value) => number(value, visitor),
            serde_json::Value::String(text) => visitor.visit_str(text),
            serde_json::Value::Array(items) => list(items, visitor),
            serde_json::Value::Object(fields) => object(fields, visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.0 {
            serde_json::Value::String(text) if duration::is_of_std(name, fields) => {
                duration::visit(text, visitor)
            }
            other if duration::is_of_std(name, fields) => {
                Err(Fault::new(format_args!("is {} and must be {}", kind_of(other), duration::FORM)))
            }
            serde_json::Value::Object(fields) => object(fields, visitor),
            other => Err(Fault::new(format_args!("is {} and must be an object", kind_of(other)))),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.0 {
            serde_json::Value::String(name) => visitor.visit_enum(Variant { name, value: None }),
            serde_json::Value::Object(fields) if fields.len() == 1 => match fields.iter().next() {
                Some((name, value)) => visitor.visit_enum(Variant { name, value: Some(value) }),
                None => Err(Fault::new("is an empty object")),
            },
            _ => Err(Fault::new(format_args!("must be one of {}", variants.join(", ")))),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier
    }
}

fn kind_of(value: &serde_json::Value) -> &'static str {
    match value {
        serde_json::Value::Null => "null",
        serde_json::Value::Bool(_) => "a boolean",
        serde_json::Value::Number(_) => "a number",
        serde_json::Value::String(_) => "a text",
        serde_json::Value::Array(_) => "a list",
        serde_json::Value::Object(_) => "an object",
    }
}

struct Fields<'de> {
    left: serde_json::map::Iter<'de>,
    current: Option<(&'de String, &'de serde_json::Value)>,
}

impl<'de> de::MapAccess<'de> for Fields<'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        self.current = self.left.next();
        let Some((name, _)) = self.current else { return Ok(None) };
        seed.deserialize(name.as_str().into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        match self.current.take() {
            Some((name, value)) => seed.deserialize(Value(value)).map_err(|fault| fault.below(name.clone())),
            None => Err(Fault::new("a value is asked for before its name")),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left.len())
    }
}

struct Items<'de> {
    left: std::iter::Enumerate<std::slice::Iter<'de, serde_json::Value>>,
}

impl<'de> de::SeqAccess<'de> for Items<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some((index, value)) = self.left.next() else { return Ok(None) };
        seed.deserialize(Value(value)).map(Some).map_err(|fault| fault.below(format!("[{index}]")))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left.len())
    }
}

struct Variant<'de> {
    name: &'de str,
    value: Option<&'de serde_json::Value>,
}

impl<'de> de::EnumAccess<'de> for Variant<'de> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        Ok((seed.deserialize(self.name.into_deserializer())?, self))
    }
}

impl<'de> Variant<'de> {
    fn inside<T>(self, read: impl FnOnce(Value<'de>) -> Result<T, Fault>) -> Result<T, Fault> {
        match self.value {
            Some(value) => read(Value(value)).map_err(|fault| fault.below(self.name.to_owned())),
            None => Err(Fault::new("is a text and must be an object with that field")),
        }
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'de> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        match self.value {
            None => Ok(()),
            Some(_) => Err(Fault::new("is an object and must be a text")),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        self.inside(|value| seed.deserialize(value))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        self.inside(|value| de::Deserializer::deserialize_any(value, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.inside(|value| de::Deserializer::deserialize_struct(value, "", fields, visitor))
    }
}
