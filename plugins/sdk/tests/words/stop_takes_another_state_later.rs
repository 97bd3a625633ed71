//! says: this function cannot be `stop`
//! says: takes too much, or another state than `create` makes, which is `Arc<u32>`
use std::sync::Arc;

use hotbay_sdk::{Config, handler, module};

async fn create(_config: &Config) -> Result<Arc<u32>, String> {
    Ok(Arc::new(7))
}

async fn stop(_state: Arc<u64>) {}

#[handler(GET, "/")]
fn hello() {}

module! { handlers: [hello], create: async create, stop: async stop }

fn main() {}
