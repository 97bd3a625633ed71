//! The shapes of the standard library's types, as serde reads them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, Hash};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::num::{NonZeroU8, NonZeroU16, NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use super::duration::DurationText;
use super::schema::{ModuleConfig, Schema};

/// Types whose shape has no parts.
macro_rules! plain {
    ($($type:ty: $schema:expr, $default:literal;)*) => { $(
        impl ModuleConfig for $type {
            const SCHEMA: &'static Schema = &$schema;
            const DEFAULT: &'static str = $default;
        }
    )* };
}

macro_rules! integers {
    ($($type:ty)*) => { plain! { $(
        $type: Schema::Integer { min: <$type>::MIN as i128, max: <$type>::MAX as i128 }, "0";
    )* } };
}

macro_rules! nonzero {
    ($($type:ty)*) => { plain! { $(
        $type: Schema::Integer { min: 1, max: <$type>::MAX.get() as i128 }, "";
    )* } };
}

const TEXT: Schema = Schema::Text { format: "" };
const IPV4: Schema = Schema::Text { format: "ipv4" };
const IPV6: Schema = Schema::Text { format: "ipv6" };

integers! { u8 u16 u32 u64 usize i8 i16 i32 i64 isize }
nonzero! { NonZeroU8 NonZeroU16 NonZeroU32 NonZeroU64 NonZeroUsize }
plain! {
    bool: Schema::Bool, "false";
    f32: Schema::Number, "0";
    f64: Schema::Number, "0";
    char: Schema::Char, "";
    String: TEXT, "\"\"";
    Box<str>: TEXT, "\"\"";
    PathBuf: TEXT, "\"\"";
    Ipv4Addr: IPV4, "";
    Ipv6Addr: IPV6, "";
    IpAddr: Schema::Forms { description: "", forms: &[&IPV4, &IPV6] }, "";
    // JSON Schema has no format for an address with a port.
    SocketAddr: TEXT, "";
    SocketAddrV4: TEXT, "";
    SocketAddrV6: TEXT, "";
    Duration: Schema::Duration { reads_itself: false }, "\"0s\"";
    DurationText: Schema::Duration { reads_itself: true }, "\"0s\"";
    (): Schema::Null, "";
    serde_json::Value: Schema::Any, "null";
}

impl ModuleConfig for Cow<'static, str> {
    const SCHEMA: &'static Schema = &TEXT;
    const DEFAULT: &'static str = "\"\"";
}

impl<T: ModuleConfig> ModuleConfig for Option<T> {
    const SCHEMA: &'static Schema = &Schema::Nullable(T::SCHEMA);
    const OPTIONAL: bool = true;
    const DEFAULT: &'static str = "null";
}

impl<T: ModuleConfig> ModuleConfig for Box<T> {
    const SCHEMA: &'static Schema = T::SCHEMA;
    const OPTIONAL: bool = T::OPTIONAL;
    const DEFAULT: &'static str = T::DEFAULT;
}

/// Lists of any length.
macro_rules! lists {
    ($($type:ty where [$($bounds:tt)*];)*) => { $(
        impl<T: ModuleConfig + $($bounds)*> ModuleConfig for $type {
            const SCHEMA: &'static Schema = &Schema::List { items: T::SCHEMA, length: None };
            const DEFAULT: &'static str = "[]";
        }
    )* };
}

lists! {
    Vec<T> where [Sized];
    Box<[T]> where [Sized];
    VecDeque<T> where [Sized];
    BTreeSet<T> where [Ord];
}

impl<T: ModuleConfig + Eq + Hash, S: BuildHasher + Default> ModuleConfig for HashSet<T, S> {
    const SCHEMA: &'static Schema = &Schema::List { items: T::SCHEMA, length: None };
    const DEFAULT: &'static str = "[]";
}

impl<T: ModuleConfig> ModuleConfig for BTreeMap<String, T> {
    const SCHEMA: &'static Schema = &Schema::Map(T::SCHEMA);
    const DEFAULT: &'static str = "{}";
}

impl<T: ModuleConfig, S: BuildHasher + Default> ModuleConfig for HashMap<String, T, S> {
    const SCHEMA: &'static Schema = &Schema::Map(T::SCHEMA);
    const DEFAULT: &'static str = "{}";
}

/// As far as serde reads them.
macro_rules! arrays {
    ($($length:literal)*) => { $(
        impl<T: ModuleConfig> ModuleConfig for [T; $length] {
            const SCHEMA: &'static Schema = &Schema::List { items: T::SCHEMA, length: Some($length) };
        }
    )* };
}

macro_rules! tuples {
    ($(($($part:ident)+))*) => { $(
        impl<$($part: ModuleConfig),+> ModuleConfig for ($($part,)+) {
            const SCHEMA: &'static Schema = &Schema::Tuple(&[$($part::SCHEMA),+]);
        }
    )* };
}

arrays! { 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 }
tuples! { (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H) }
