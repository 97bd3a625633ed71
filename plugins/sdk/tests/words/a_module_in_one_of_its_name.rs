//! compiles
#![warn(unused, unused_qualifications, non_local_definitions)]
use hotbay_sdk::module;

mod users {
    pub mod users {
        /// No handler, and not the one that is meant.
        pub fn list() {}
    }

    use hotbay_sdk::handler;

    #[handler(GET, "/users")]
    pub fn list() {
        users::list();
    }
}

module!(users::list);

fn main() {}
