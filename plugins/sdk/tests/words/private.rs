//! says: function `list` is private
use hotbay_sdk::module;

mod users {
    use hotbay_sdk::handler;

    #[handler(GET, "/users")]
    fn list() {}
}

module!(users::list);

fn main() {}
