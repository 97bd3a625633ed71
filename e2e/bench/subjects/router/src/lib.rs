//! hello as an axum Router: the very one that `hotbay-bench-compiled-in` has compiled in.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;

struct Greeting(String);

async fn hello(State(state): State<Arc<Greeting>>) -> String {
    state.0.clone()
}

fn app() -> Router {
    let greeting = Greeting(concat!("Hello from Hotbay ", env!("CARGO_PKG_VERSION"), "\n").to_owned());
    Router::new().route("/hello", get(hello)).with_state(Arc::new(greeting))
}

hotbay_sdk::service!(app);
