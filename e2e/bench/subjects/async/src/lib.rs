//! hello as an async function that has nothing to wait for, as most have not at most times.

use std::convert::Infallible;

use hotbay_sdk::{Config, Request, Response, handler, module};

struct Greeting(String);

fn create(_config: &Config) -> Result<Greeting, Infallible> {
    Ok(Greeting(concat!("Hello from Hotbay ", env!("CARGO_PKG_VERSION"), "\n").to_owned()))
}

#[handler(GET, "/hello")]
async fn hello(request: Request<'_>) -> Response {
    Response::text(request.state::<Greeting>().0.clone())
}

module! {
    handlers: [hello],
    create: create,
}
