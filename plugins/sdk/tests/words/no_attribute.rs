//! says: this function has no `#[handler(…)]`
//! says: put the attribute on the function, with its methods and its path: #[handler(GET, "/hello")]
//! says: module!(hello, ping);
use hotbay_sdk::{handler, module};

#[handler(GET, "/hello")]
fn hello() {}

fn ping() {}

module!(hello, ping);

fn main() {}
