//! says: takes too much, or another state than `create` makes, which is `()`
use hotbay_sdk::{handler, module};

fn stop(_state: &u64) {}

#[handler(GET, "/")]
fn hello() {}

module! { handlers: [hello], stop: stop }

fn main() {}
