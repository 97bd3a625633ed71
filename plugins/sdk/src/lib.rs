//! Write a Hotbay module in Rust.
//!
//! ```
//! use hotbay_sdk::{Request, Response, handler, module};
//!
//! /// Greets whoever is named.
//! #[handler(GET, "/hello/{name}")]
//! fn hello(request: Request) -> Response {
//!     let name = request.param("name").unwrap_or("you");
//!     Response::text(format!("Hello, {name}\n"))
//! }
//!
//! module!(hello);
//! ```
//!
//! The crate is built as a `cdylib`, and its `.so` is the module. A handler may be an `async fn`, but there is no runtime in here: a future
//! is polled on the engine's threads and may wait for whatever wakes its waker. The request's body has come whole before a handler is
//! called. A panic costs a 500 and its words reach the log; a crash costs the engine, so that is what it guards against, not security.
//!
//! Owns the module's side of the ABI: views, guards and who frees what. Must not start threads, and must stay small: it is linked into
//! every module. A crate that makes a module may deny `unsafe_code`, but not forbid it: the expansion of [`module!`] allows it for itself.

#![allow(unsafe_code, reason = "the C boundary; each block says why it holds")]

mod answer;
mod call;
mod config;
mod entry;
mod host;
mod instance;
pub mod log;
mod manifest;
mod request;
mod response;
pub mod test;

pub use config::{Config, ConfigError};
pub use hotbay_abi::ABI_MINOR;
pub use hotbay_macros::{handler, module};
pub use request::Request;
pub use response::{Body, Response};

/// What the macros expand to. No part of the contract with authors.
#[doc(hidden)]
pub mod __private {
    pub use crate::call::{Call, Handler};
    pub use crate::entry::{Define, enter, table};
    pub use crate::instance::{Create, erase};
    pub use crate::manifest::{Manifest, Notes};
    pub use hotbay_abi as abi;
}
