//! Write a Hotbay module in Rust.
//!
//! ```
//! use hotbay_sdk::{Path, handler, module, test};
//!
//! /// Greets whoever is named.
//! #[handler(GET, "/hello/{name}")]
//! fn hello(Path(name): Path<String>) -> String {
//!     format!("Hello, {name}\n")
//! }
//!
//! module!(hello);
//!
//! // In a test:
//! let request = test::get("/hello/ada").param("name", "ada");
//! assert_eq!(test::call(hello, &request).body(), b"Hello, ada\n");
//! ```
//!
//! The crate is built as a `cdylib`, and its `.so` is the module. [`extract`] has what a handler may take, [`IntoResponse`] what it may return, and
//! [`test`](mod@test) how it is tested. A handler may be an `async fn`: its future is polled on the engine's threads and may wait for whatever wakes its
//! waker; with the feature `tokio`, each instance has a runtime. A panic costs a 500 and its words reach the log; a crash costs the engine, so
//! that is what it guards against, not security.
//!
//! Owns the module's side of the ABI: views, guards and who frees what. Must not start threads, and must stay small: it is linked into
//! every module. A crate that makes a module may deny `unsafe_code`, but not forbid it: the expansion of [`module!`] allows it for itself.

#![allow(unsafe_code, reason = "the C boundary; each block says why it holds")]

mod alive;
mod answer;
mod body;
mod call;
mod config;
mod entry;
mod error;
pub mod extract;
mod hook;
mod host;
mod instance;
mod into_response;
mod link;
pub mod log;
mod manifest;
pub mod metrics;
mod named;
mod outgoing;
mod owner;
mod piece;
mod rejection;
mod request;
mod request_body;
mod response;
mod runtime;
pub mod sse;
pub mod test;
pub mod time;
#[cfg(feature = "tower")]
pub mod tower;
#[cfg(feature = "tracing")]
mod trace;
mod trailers;
mod upgrade;

pub use body::{Body, Closed, Sender};
pub use call::BodyMode;
pub use config::{Config, ConfigError};
#[cfg(feature = "json")]
pub use config::{config_schema, duration::DurationText, schema::ModuleConfig};
pub use error::{Error, Result};
#[cfg(feature = "json")]
pub use extract::Settings;
#[cfg(feature = "extract")]
pub use extract::{Form, Json, Path, Query};
pub use extract::{FromRequest, Header, Headers, Method, Peer, RequestId, State, TraceParent, Uri};
pub use hotbay_abi::ABI_MINOR;
pub use hotbay_macros::{ModuleConfig, handler, module};
pub use into_response::{Html, IntoResponse, IntoResponseParts, Redirect, StatusCode};
pub use piece::Piece;
pub use rejection::Rejection;
pub use request::Request;
pub use request_body::{BodyError, RequestBody};
pub use response::Response;
pub use trailers::Trailers;
pub use upgrade::{OnUpgraded, Upgrade, Upgraded};

/// What the macros expand to. No part of the contract with authors.
#[doc(hidden)]
pub mod __private {
    pub use crate::call::{BodyMode, Call, Handler};
    pub use crate::config::check::buffered;
    pub use crate::config::duration::duration;
    pub use crate::config::schema::{AppliesTo, Bound, Field, Keywords, Schema};
    pub use crate::entry::{Define, enter, table};
    pub use crate::extract::{Argument, refuse};
    #[cfg(feature = "json")]
    pub use crate::hook::check;
    pub use crate::hook::{AsChained, AsError, AsLocal, AsShared, ErrorOf, unmade};
    pub use crate::hook::{
        Check, Unmade, create, erase, made_by, made_later_by, made_nothing, stop, stopped,
    };
    pub use crate::instance::{Create, Stop};
    pub use crate::manifest::{ConfigSchema, Manifest, Notes};
    pub use crate::named::{Handlers, IsHandler, NoAttribute, handler_of};
    pub use hotbay_abi as abi;
}

/// The examples of the guide. One makes a module of a Router: a workspace's build has that feature, by the example `router`.
#[cfg(all(doctest, feature = "tower"))]
#[doc = include_str!("../../../docs/writing-modules.md")]
mod writing_modules {}
