//! never: no `#[handler(…)]`
//! says: unresolved import `user`
use hotbay_sdk::module;

mod users {
    use hotbay_sdk::handler;

    #[handler(GET, "/users")]
    pub fn list() {}
}

module!(user::list);

fn main() {}
