//! says: this function has no `#[handler(…)]`
use hotbay_sdk::{handler, module};

#[handler(GET, "/")]
pub fn list() {}

mod users {
    pub fn list() {}
}

module!(users::list);

fn main() {}
