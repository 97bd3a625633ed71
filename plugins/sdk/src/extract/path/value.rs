//! One parameter of a path.

use std::any::type_name;
use std::borrow::Cow;
use std::str::FromStr;

use hotbay_abi::Header;
use percent_encoding::percent_decode;
use serde::de::{Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::whole::Unfit;
use crate::request::pair;

/// As it was sent; decoded when it is looked at.
pub(super) struct Value<'r> {
    pub name: &'r str,
    raw: &'r [u8],
}

impl<'r> Value<'r> {
    pub(super) fn of(param: &'r Header) -> Self {
        let (name, raw) = pair(param).unwrap_or_default();
        Self { name, raw }
    }

    fn text(&self) -> Result<Cow<'r, str>, Unfit> {
        percent_decode(self.raw)
            .decode_utf8()
            .map_err(|_| Unfit::Value(format!("{{{}}} is not UTF-8", self.name)))
    }

    fn parse<T: FromStr>(&self) -> Result<T, Unfit> {
        let text = self.text()?;
        text.parse()
            .map_err(|_| Unfit::Value(format!("{{{}}} is {text:?}, and must be {}", self.name, kind::<T>())))
    }

    /// The visitor's words, with the parameter's name.
    fn named(&self, unfit: Unfit) -> Unfit {
        match unfit {
            Unfit::Value(words) => Unfit::Value(format!("{{{}}}: {words}", self.name)),
            template @ Unfit::Template(_) => template,
        }
    }
}

/// In words for a client.
fn kind<T>() -> &'static str {
    match type_name::<T>() {
        "bool" => "true or false",
        "char" => "one character",
        "f32" | "f64" => "a number",
        "u8" => "a whole number from 0 to 255",
        "i8" => "a whole number from -128 to 127",
        "i16" => "a whole number from -32768 to 32767",
        "u16" => "a whole number from 0 to 65535",
        "u32" | "u64" | "u128" => "a whole number from 0",
        _ => "a whole number",
    }
}

macro_rules! parse {
    ($($method:ident $visit:ident)*) => {
        $(fn $method<V: Visitor<'r>>(self, visitor: V) -> Result<V::Value, Unfit> {
            visitor.$visit(self.parse()?)
        })*
    };
}

impl<'r> Deserializer<'r> for Value<'r> {
    type Error = Unfit;

    fn deserialize_any<V: Visitor<'r>>(self, visitor: V) -> Result<V::Value, Unfit> {
        let read = match self.text()? {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        };
        read.map_err(|unfit| self.named(unfit))
    }

    parse! {
        deserialize_bool visit_bool
        deserialize_i8 visit_i8 deserialize_i16 visit_i16 deserialize_i32 visit_i32 deserialize_i64 visit_i64 deserialize_i128 visit_i128
        deserialize_u8 visit_u8 deserialize_u16 visit_u16 deserialize_u32 visit_u32 deserialize_u64 visit_u64 deserialize_u128 visit_u128
        deserialize_f32 visit_f32 deserialize_f64 visit_f64
        deserialize_char visit_char
    }

    fn deserialize_option<V: Visitor<'r>>(self, visitor: V) -> Result<V::Value, Unfit> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'r>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'r>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        let text: Cow<'r, str> = self.text()?;
        let read =
            IntoDeserializer::<Unfit>::into_deserializer(text).deserialize_enum(name, variants, visitor);
        read.map_err(|unfit| self.named(unfit))
    }

    forward_to_deserialize_any! {
        <V: Visitor<'r>>
        str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'r> IntoDeserializer<'r, Unfit> for Value<'r> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}
