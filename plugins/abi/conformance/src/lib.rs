//! The conformance kit: does a module keep the rules of `hotbay.h`?
//!
//! ```text
//! check ──ELF facts──► findings          one child a scenario and handler, so that a crash has a name:
//!   └── child: scenario ──► drive ──► the module, loaded
//!                             ▲            │ calls
//!                             └── host ◄───┘  answers by the scenario's script, remembers, reports what breaks a rule
//! ```
//!
//! Owns the mock host, the scenarios and the C modules of `modules/`, each of which does one thing, right or wrong. Must not know the real
//! host: what the header does not promise is not checked. A module may behave and yet be wrong for what no scenario asks of it.

#![allow(unsafe_code, reason = "the host's side of the C boundary")]

mod arena;
pub mod cases;
mod check;
pub mod child;
mod crash;
mod drive;
mod host;
pub mod kept;
pub mod kit;
mod limits;
mod module;
mod report;
mod request;
mod rule;
mod scenario;
mod threads;

pub use check::{Options, Report, check};
pub use report::Finding;
pub use rule::Rule;
pub use scenario::Scenario;
