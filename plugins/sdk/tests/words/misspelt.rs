//! never: no `#[handler(…)]`
//! says: cannot find value `helo` in this scope
//! says: a function with a similar name exists
use hotbay_sdk::{handler, module};

#[handler(GET, "/hello")]
fn hello() {}

module!(helo);

fn main() {}
