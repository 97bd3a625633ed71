//! says: `create` cannot return `u32`
//! says: create returns a Result, whose error can be displayed
use hotbay_sdk::{handler, module};

fn create() -> u32 {
    7
}

#[handler(GET, "/")]
fn hello() {}

module! { handlers: [hello], create: create }

fn main() {}
