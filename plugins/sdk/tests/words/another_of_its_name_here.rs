//! compiles
#![warn(unused, unused_qualifications, non_local_definitions)]
use hotbay_sdk::{handler, module};

/// It is not named below, so it is none of the module's.
#[handler(GET, "/")]
pub fn list() {}

mod users {
    use hotbay_sdk::handler;

    #[handler(GET, "/users")]
    pub fn list() {}
}

module!(users::list);

fn main() {}
