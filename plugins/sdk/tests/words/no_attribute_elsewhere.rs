//! says: this function has no `#[handler(…)]`
use hotbay_sdk::module;

mod users {
    pub fn list() {}
}

module!(users::list);

fn main() {}
