//! says: `__Users` is a struct, not a module
use hotbay_sdk::module;

struct Users;

impl Users {
    fn list() {}
}

module!(Users::list);

fn main() {}
