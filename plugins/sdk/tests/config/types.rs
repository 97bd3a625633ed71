//! The types of these tests: each of serde's forms once.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use hotbay_sdk::{DurationText, ModuleConfig};
use serde::Deserialize;

/// How much one client
/// may do.
///
/// Per address.
#[derive(Debug, Deserialize, ModuleConfig)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Limits {
    /// Requests in a second.
    #[config(min = 1, max = 10_000, default = 10, example = 100)]
    pub rate: u32,
    #[config(min = 0.5, default = 1.5)]
    pub burst_factor: f64,
    #[config(default = "anonymous", min_length = 1, pattern = "^[a-z]+$")]
    pub user: String,
    /// Who may "ask".
    #[config(secret, min_length = 8)]
    pub token: Option<String>,
    #[config(default = 5)]
    pub retries: Option<u8>,
    #[config(max_items = 2)]
    pub hosts: Vec<IpAddr>,
    /// Between two tries.
    #[config(default = "1m30s", example = "250ms")]
    pub pause: Duration,
    #[config(default = "10s")]
    pub longest: Option<Duration>,
    pub shortest: Duration,
    #[serde(skip)]
    pub cache: HashMap<String, u64>,
    /// The type's own words give way to these.
    #[config(as = String)]
    pub color: Color,
}

#[derive(Debug, Default)]
pub struct Color(pub u32);

impl<'de> Deserialize<'de> for Color {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(|text| Self(text.len() as u32))
    }
}

/// Every form of the standard library's types, nothing said beside them.
#[derive(Debug, Deserialize, ModuleConfig)]
#[serde(deny_unknown_fields)]
pub struct Forms {
    flag: bool,
    tiny: i8,
    wide: u64,
    ratio: f32,
    letter: char,
    pair: (u8, String),
    three: [bool; 3],
    list: Vec<u16>,
    map: BTreeMap<String, i32>,
    option: Option<i16>,
    #[serde(default)]
    defaulted: u8,
    nothing: (),
    anything: serde_json::Value,
    nested: Nested,
    maybe: Option<Nested>,
    boxed: Box<Nested>,
    meters: Meters,
    point: Point,
    wait: Duration,
    waits: Vec<Option<Duration>>,
    pause: DurationText,
}

#[derive(Debug, Deserialize, ModuleConfig)]
pub struct Nested {
    pub a: u8,
    pub b: Option<Level>,
}

#[derive(Debug, Deserialize, ModuleConfig)]
pub struct Meters(u16);

#[derive(Debug, Deserialize, ModuleConfig)]
pub struct Point(i8, i8);

/// How loud.
#[derive(Debug, Deserialize, ModuleConfig)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Nothing at all.
    Off,
    QuiteLoud,
    #[serde(rename = "max")]
    Maximum,
    #[serde(skip)]
    Internal,
}

#[derive(Debug, Deserialize, ModuleConfig)]
pub enum External {
    Unit,
    One(u8),
    Many(u8, bool),
    Named { a: u8, b: Option<bool> },
}

#[derive(Debug, Deserialize, ModuleConfig)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Internal {
    /// In this process.
    Memory,
    Redis {
        url: String,
        db: Option<u8>,
        timeout: Option<DurationText>,
    },
    Nested(Nested),
}

#[derive(Debug, Deserialize, ModuleConfig)]
#[serde(tag = "t", content = "c", rename_all_fields = "camelCase")]
pub enum Adjacent {
    Unit,
    One(u8),
    Maybe(Option<u8>),
    Named { max_size: u8 },
}

#[derive(Debug, Deserialize, ModuleConfig)]
#[serde(tag = "t", content = "c", deny_unknown_fields)]
pub enum AdjacentStrict {
    Unit,
    Pair(u8, u8),
}

#[derive(Debug, Deserialize, ModuleConfig)]
#[serde(untagged)]
pub enum Untagged {
    Number(u8),
    Text(String),
    Named { a: bool },
}

#[derive(Debug, Deserialize, ModuleConfig)]
#[serde(try_from = "u8")]
pub struct Even(u8);

impl TryFrom<u8> for Even {
    type Error = String;
    fn try_from(number: u8) -> Result<Self, String> {
        if number.is_multiple_of(2) { Ok(Self(number)) } else { Err("is odd".to_owned()) }
    }
}

#[derive(Debug, Deserialize, ModuleConfig)]
#[serde(transparent)]
pub struct Transparent {
    inner: Option<u8>,
    #[serde(skip)]
    cache: u8,
}

/// The enums, each in a field, because a config is an object.
#[derive(Debug, Deserialize, ModuleConfig)]
pub struct Enums {
    level: Level,
    external: External,
    internal: Internal,
    adjacent: Adjacent,
    strict: AdjacentStrict,
    untagged: Untagged,
    transparent: Transparent,
    maybe: Option<External>,
}

#[derive(Debug, Deserialize, ModuleConfig)]
pub struct ByFunction {
    /// A function reads it, so it may not be missing although it is an `Option`.
    #[serde(deserialize_with = "length")]
    #[config(as = Option<String>)]
    length: Option<usize>,
    even: Even,
}

fn length<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<usize>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.map(|text| text.len()))
}

/// Called as what the derive itself uses.
#[derive(Debug, Deserialize, ModuleConfig)]
pub struct Field {
    schema: Option<Schema>,
}

#[derive(Debug, Deserialize, ModuleConfig)]
pub struct Schema {
    bound: u8,
}
