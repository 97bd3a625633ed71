//! says: this is no duration; write for example 250ms, 10s or 1m30s
//! says: #[config(default = "10 s")]
use std::time::Duration;

use hotbay_sdk::ModuleConfig;

#[derive(serde::Deserialize, ModuleConfig)]
#[serde(default)]
struct Limits {
    #[config(default = "10 s")]
    pause: Duration,
}

fn main() {
    let Limits { pause } = Limits::default();
    println!("{pause:?}");
}
