//! All parameters of a path: as one value, a sequence, or a map.

use std::fmt::Display;

use hotbay_abi::Header;
use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{self, Deserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::value::Value;

/// In the order of the template.
#[derive(Clone, Copy)]
pub(super) struct Params<'r>(pub &'r [Header]);

/// Why parameters do not fit a type.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    /// What the client sent.
    #[error("{0}")]
    Value(String),
    /// What the author, or the route's, template has.
    #[error("{0}")]
    Template(String),
}

impl de::Error for Unfit {
    fn custom<T: Display>(words: T) -> Self {
        Self::Value(words.to_string())
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Template(format!("there is no {{{field}}}"))
    }

    fn unknown_field(field: &str, _expected: &'static [&'static str]) -> Self {
        Self::Template(format!("{{{field}}} is not expected"))
    }
}

impl<'r> Params<'r> {
    fn one(self) -> Result<Value<'r>, Unfit> {
        match self.0 {
            [only] => Ok(Value::of(only)),
            others => Err(Unfit::Template(format!("it has {}, and one is taken", others.len()))),
        }
    }

    fn values(self) -> impl Iterator<Item = Value<'r>> {
        self.0.iter().map(Value::of)
    }
}

/// A value alone is the only parameter.
macro_rules! one {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'r>>(self, visitor: V) -> Result<V::Value, Unfit> {
            self.one()?.$method(visitor)
        })*
    };
}

impl<'r> Deserializer<'r> for Params<'r> {
    type Error = Unfit;

    one! {
        deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64
        deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf deserialize_identifier
    }

    fn deserialize_enum<V: Visitor<'r>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        self.one()?.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_option<V: Visitor<'r>>(self, visitor: V) -> Result<V::Value, Unfit> {
        if self.0.is_empty() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'r>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'r>>(self, visitor: V) -> Result<V::Value, Unfit> {
        visitor.visit_seq(SeqDeserializer::new(self.values()))
    }

    fn deserialize_tuple<V: Visitor<'r>>(self, len: usize, visitor: V) -> Result<V::Value, Unfit> {
        if self.0.len() != len {
            return Err(Unfit::Template(format!("it has {}, and {len} are taken", self.0.len())));
        }
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'r>>(
        self,
        _name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'r>>(self, visitor: V) -> Result<V::Value, Unfit> {
        visitor.visit_map(MapDeserializer::new(self.values().map(|value| (value.name, value))))
    }

    fn deserialize_struct<V: Visitor<'r>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        self.deserialize_map(visitor)
    }

    forward_to_deserialize_any! { <V: Visitor<'r>> unit unit_struct ignored_any }
}
