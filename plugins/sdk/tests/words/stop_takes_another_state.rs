//! says: this function cannot be `stop`
//! says: takes too much, or another state than `create` makes, which is `u32`
use hotbay_sdk::{handler, module};

fn create() -> Result<u32, String> {
    Ok(7)
}

fn stop(_state: &u64) {}

#[handler(GET, "/")]
fn hello() {}

module! { handlers: [hello], create: create, stop: stop }

fn main() {}
