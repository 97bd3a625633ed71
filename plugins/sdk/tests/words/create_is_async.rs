//! says: of an async function, write `create: async make` in module!
use hotbay_sdk::{handler, module};

async fn create() -> Result<u32, String> {
    Ok(7)
}

#[handler(GET, "/")]
fn hello() {}

module! { handlers: [hello], create: create }

fn main() {}
