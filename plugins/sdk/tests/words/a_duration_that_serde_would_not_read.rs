//! says: in an enum with #[serde(tag)], content or untagged, write hotbay_sdk::DurationText for Duration
//! says: enum Store {
use std::time::Duration;

use hotbay_sdk::ModuleConfig;

#[derive(serde::Deserialize, ModuleConfig)]
#[allow(dead_code)]
#[serde(tag = "kind")]
enum Store {
    Redis(Redis),
}

#[derive(serde::Deserialize, ModuleConfig)]
#[allow(dead_code)]
struct Redis {
    timeouts: Vec<Option<Duration>>,
}

fn main() {}
