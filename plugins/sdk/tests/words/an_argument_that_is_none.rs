//! says: a handler cannot take `Instant` as an argument
//! says: cannot be made of a request
use std::time::Instant;

use hotbay_sdk::{handler, module};

#[handler(GET, "/")]
fn hello(_now: Instant) {}

module!(hello);

fn main() {}
