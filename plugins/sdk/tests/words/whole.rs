//! compiles
#![warn(unused, unused_qualifications, missing_debug_implementations, non_local_definitions)]
use std::sync::Arc;

use hotbay_sdk::{Config, ConfigError, Path, handler, module};
use users::*;

#[derive(Debug)]
struct Shop {
    name: String,
}

async fn create(config: &Config) -> Result<Arc<Shop>, ConfigError> {
    Ok(Arc::new(Shop { name: config.name().to_owned() }))
}

async fn stop(shop: Arc<Shop>) -> Result<(), std::io::Error> {
    drop(shop);
    Ok(())
}

#[handler(GET, "/")]
fn r#move(shop: &Arc<Shop>) -> String {
    shop.name.clone()
}

/// A name that a trait of the prelude has too.
#[handler(GET, "/into/{name}")]
fn into(Path(name): Path<String>) -> String {
    name
}

mod users {
    pub mod old {
        use hotbay_sdk::handler;

        #[handler(GET, "/old")]
        pub(crate) fn show() {}
    }

    use hotbay_sdk::handler;

    #[handler(GET, "/users")]
    pub fn list() {}

    #[handler(POST, "/users")]
    pub(super) async fn add() {}
}

module! {
    handlers: [r#move, into, list, self::users::old::show, crate::users::add],
    create: async create,
    stop: async stop,
}

fn main() {}
