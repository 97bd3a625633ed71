//! says: if it has one, name it by the path to where it stands: `module!(users::list)`; a `use` brings the function alone
use hotbay_sdk::module;
use users::list;

mod users {
    use hotbay_sdk::handler;

    #[handler(GET, "/users")]
    pub fn list() {}
}

module!(list);

fn main() {}
