//! From a HandlerModule to an entry, in pure steps that operator and CLI share.
//!
//! Owns the decisions: what is fetched, what is refused and why, what an entry says, what a status says. Must not do I/O: bytes come through
//! the trait [`Source`], time comes as an argument, and nothing here knows a Kubernetes client.
//!
//! ```text
//! one module:     resolve → inspect → validate → build          prepare() runs all four
//! a whole pool:   admit, routes::settle                         who may be there, who has which route
//! what became:    status::module_status, status::pool_status
//! ```

pub mod admit;
mod build;
mod inline;
mod inspect;
mod prepare;
mod refusal;
mod resolve;
pub mod routes;
mod source;
pub mod status;
mod validate;

#[cfg(test)]
mod testing;

pub use build::{entry, key_of, last_good};
pub use inline::{InlineBlob, InlineLimits, inline};
pub use inspect::{Inspected, InspectedBuild, inspect};
pub use prepare::{Policy, Prepared, prepare, prepare_digest};
pub use refusal::{Aspect, Refusal};
pub use resolve::{Resolved, resolve};
pub use source::{Artifact, Build, Class, Source, SourceError};
pub use validate::{MAX_CONFIG_BYTES, Validated, check_schema, validate};
